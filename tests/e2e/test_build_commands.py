"""`docker build` in the forms that people type, and what it says where they are wrong."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import archives
import builders
import pytest
from daemons import Daemon
from programs import Done, Program, find

pytestmark = pytest.mark.root

DOCKERFILE = 'FROM box\nCOPY . /all\nCMD ["ls", "/all"]\n'


@pytest.fixture(scope="module")
def shared() -> Iterator[Daemon]:
    if os.geteuid() != 0:
        pytest.skip("needs root and the real kernel")
    with builders.building() as daemon:
        yield daemon


@pytest.fixture
def daemon(shared: Daemon) -> Iterator[Daemon]:
    """What a test has built goes, and nothing else is left of it."""
    before = shared.picture()
    yield shared
    builders.clear(shared)
    shared.settled(before)


@pytest.fixture
def docker(daemon: Daemon) -> Program:
    return builders.classic(daemon)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return builders.context(
        tmp_path / "context",
        Dockerfile=DOCKERFILE,
        main="main\n",
        other__Dockerfile="FROM box AS first\nRUN echo one\nFROM first\nRUN echo zwei-ü\n",
    )


def image(docker: Program, name: str, field: str) -> str:
    return docker.ok("image", "inspect", "-f", f"{{{{{field}}}}}", name)


def runs(docker: Program, name: str, *command: str) -> list[str]:
    return docker.ok("run", "--rm", "--network", "none", name, *command).splitlines()


# --- Where the context and the Dockerfile come from -----------------------------------------------


def test_a_dockerfile_on_stdin(docker: Program) -> None:
    built = docker.run("build", "-", stdin="FROM box\nRUN echo grüß dich\n".encode())
    assert built.code == 0, built
    assert "grüß dich\n" in built.out
    assert built.out.splitlines()[-1].startswith("Successfully built ")


@pytest.mark.parametrize("form", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_on_stdin(docker: Program, folder: Path, form: str) -> None:
    packed = io.BytesIO()
    # Docker's command line takes a plain tar that begins with a PAX header for a Dockerfile.
    with tarfile.open(fileobj=packed, mode=form, format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder, ".")
    docker.ok("build", "-q", "-t", "x", "-", stdin=packed.getvalue())
    assert runs(docker, "x") == ["Dockerfile", "main", "other"]
    built = docker.run("build", "-f", "other/Dockerfile", "-", stdin=packed.getvalue())
    assert "zwei-ü\n" in built.out


def test_only_the_dockerfile_on_stdin(docker: Program, folder: Path) -> None:
    docker.ok("build", "-t", "x", "-f", "-", str(folder), stdin=DOCKERFILE.encode())
    assert runs(docker, "x") == ["Dockerfile", "main", "other"]


def test_a_dockerfile_elsewhere(docker: Program, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text(DOCKERFILE + "LABEL from=outside\n")
    (folder / ".dockerignore").write_text("other\n.dockerignore\n")
    docker.ok("build", "-t", "x", "-f", str(outside), str(folder))
    assert image(docker, "x", 'index .Config.Labels "from"') == "outside"
    assert runs(docker, "x") == ["Dockerfile", "main"]


def test_a_dockerfile_of_another_name(docker: Program, folder: Path) -> None:
    named = str(folder / "other/Dockerfile")
    built = docker.run("build", "-f", named, "--target", "first", str(folder))
    assert "Step 2/2 : RUN echo one" in built.out, built
    assert "zwei" not in built.out
    built = docker.run("build", "-f", named, str(folder))
    assert "Step 4/4 : RUN echo zwei-ü" in built.out, built


# --- Options --------------------------------------------------------------------------------------

SHOWS = """\
FROM box
ARG WHO=nobody
ENV A=b
RUN echo WHO=$WHO; grep added /etc/hosts; df -k /dev/shm | tail -1; ulimit -n; ip link | grep -c :
"""


def test_what_a_step_sees_of_the_options(docker: Program, tmp_path: Path) -> None:
    iid = tmp_path / "iid"
    built = docker.run(
        "build", "--build-arg", "WHO=me", "--add-host", "added:1.2.3.4", "--shm-size", "32m",
        "--ulimit", "nofile=100:200", "--memory", "64m", "--cpuset-cpus", "0", "--network", "none",
        "--label", "one=1", "--label", "two=zwei ü", "--iidfile", str(iid), "-t", "x", "-t", "y:2",
        "--no-cache", "--rm", "--force-rm", "-", stdin=SHOWS.encode(),
    )  # fmt: skip
    assert built.code == 0, built
    said = built.out[built.out.index("WHO=me") :].splitlines()
    assert said[:2] == ["WHO=me", "1.2.3.4\tadded"]
    assert said[2].split()[1] == "32768"
    assert said[3:5] == ["100", "2"]  # "2": lo alone, a line for it and one for its address
    assert iid.read_text() == image(docker, "x", ".Id") == image(docker, "y:2", ".Id")
    assert image(docker, "x", "json .Config.Labels") == '{"one":"1","two":"zwei ü"}'
    assert image(docker, "x", "json .Config.Env") == '["PATH=/bin:/usr/bin","A=b"]'


def test_the_memory_of_a_step_is_limited(docker: Program) -> None:
    text = b"FROM box\nRUN exec dd if=/dev/zero of=/dev/null bs=64M count=1\n"
    built = docker.run("build", "--memory", "16m", "--memory-swap", "16m", "-", stdin=text)
    assert built.code == 137, built


def test_quiet_builds_say_the_image_alone(docker: Program) -> None:
    built = docker.run("build", "-q", "-", stdin=b"FROM box\nRUN echo not shown\n")
    assert built.out == image(docker, built.out.strip(), ".Id") + "\n"
    failed = docker.run("build", "-q", "-", stdin=b"FROM box\nRUN echo is shown; exit 3\n")
    assert failed.code == 3
    assert failed.out == ""
    assert "is shown" in failed.err
    assert failed.err.endswith(
        "The command '/bin/sh -c echo is shown; exit 3' returned a non-zero code: 3\n"
    )


def test_the_cache_is_used_and_can_be_passed_over(docker: Program) -> None:
    text = b"FROM box\nENV A=b\nRUN date +%N > /x\nLABEL c=d\n"
    first = docker.run("build", "-", stdin=text)
    assert "Using cache" not in first.out
    again = docker.run("build", "-", stdin=text)
    assert again.out.count(" ---> Using cache\n") == 3
    assert again.out.splitlines()[-1] == first.out.splitlines()[-1]
    anew = docker.run("build", "--no-cache", "-", stdin=text)
    assert "Using cache" not in anew.out
    assert anew.out.splitlines()[-1] != first.out.splitlines()[-1]


# --- What is wrong --------------------------------------------------------------------------------


def fails(done: Done, *, code: int = 1) -> str:
    """The error, which is one sentence; below that of a Dockerfile stands the line in question."""
    assert done.code == code, done
    assert "Traceback" not in done.out + done.err
    assert "internal error" not in done.err
    lines = done.err.rstrip().splitlines()
    prefix = "Error response from daemon: "
    refusals = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    return refusals[0] if refusals else lines[-1]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "the Dockerfile cannot be empty"),
        ("FORM box\n", "unknown instruction: FORM (did you mean FROM?)"),
        ("FROM box\nCOPY --form=x a b\n", "unknown flag: --form (did you mean from?)"),
        ("FROM box\nCOPY --from=nothere a b\n", "nothere"),
        ("FROM nothere\n", "nothere"),
        ("FROM box AS a\nCOPY --from=b /x /\nFROM box AS b\nCOPY --from=a /x /\n",
         "circular dependency detected on stage: b"),
        ("FROM box\nCOPY mian /\n", "mian"),
        ("FROM box\nCOPY ignored /\n", ".dockerignore"),
        ("FROM box\nCOPY ../up /\n", "up"),
        ("FROM box\nCOPY leaving/passwd /\n", "leaving/passwd"),
        ("FROM box\nUSER nobody-here\nRUN true\n", "nobody-here"),
        ("FROM box\nRUN [\"/not/there\"]\n", "/not/there"),
        ("FROM scratch\nRUN true\n", "/bin/sh"),
        ("FROM box\nRUN exit 300\n", "non-zero code: 44"),
        ("FROM box\nRUN sh -c 'kill -9 $$'; exit $?\n", "non-zero code: 137"),
        (f"FROM box\nADD --checksum=sha256:{'0' * 64} main /\n", "checksum is for what is fetched"),
    ],
)  # fmt: skip
def test_mistakes_in_a_dockerfile(docker: Program, folder: Path, text: str, error: str) -> None:
    (folder / "Dockerfile").write_text(text)
    (folder / ".dockerignore").write_text("ignored\n")
    (folder / "ignored").write_text("x")
    (folder / "leaving").symlink_to("/etc")
    done = docker.run("build", str(folder))
    code = {"exit 300": 44, "kill -9": 137}
    expected = next((code[word] for word in code if word in text), 1)
    assert error in fails(done, code=expected)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--target", "nothere"), "target stage \"nothere\" could not be found"),
        (("--network", "mine"), "building in the network 'mine': not supported"),
        (("--network", "container:x"), "'container:x': not supported"),
        (("--platform", "foobar"), "unknown operating system or architecture 'foobar'"),
        (("--memory", "1k"), "Minimum memory limit allowed is 6MB"),
        (("--cpuset-cpus", "999"), "Requested CPUs are not available"),
        (("--security-opt", "x"), "security options are not supported on linux"),
        (("--isolation", "hyperv"), 'unsupported isolation: "hyperv"'),
    ],
)  # fmt: skip
def test_mistakes_in_options(docker: Program, words: tuple[str, ...], error: str) -> None:
    done = docker.run("build", *words, "-", stdin=b"FROM box\nRUN true\n")
    assert error in fails(done)


def test_mistakes_in_contexts(docker: Program, daemon: Daemon, tmp_path: Path) -> None:
    whole = archives.pack({"Dockerfile": b"FROM box\nCOPY . /\n", "a": b"x" * 4000})

    def named(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        return info.tobuf() + whole

    lying = bytearray(tarfile.TarInfo("a").tobuf())
    lying[124:136] = b"77777777777\0"
    lying[148:156] = b"%06o\0 " % (sum(lying[:148] + lying[156:]) + 8 * 32)
    for data, error in [
        (whole[:2500], "the archive ends inside it"),
        (bytes(lying) + whole, "the archive ends inside it"),
        (named("../../etc/passwd"), "../../etc/passwd"),
        (named("h", tarfile.LNKTYPE, "../../etc/passwd"), "../../etc/passwd"),
        (archives.pack({"other": b""}), "Cannot locate specified Dockerfile: Dockerfile"),
        (archives.pack({"Dockerfile": b"#" * (10 << 20)}), "Dockerfile"),
        (b"", "Dockerfile"),
    ]:
        answer = daemon.request("POST", "/build", data, {"Content-Type": "application/x-tar"})
        assert answer.status == 400, answer
        assert error in answer.message
    missing = docker.run("build", str(tmp_path))
    assert missing.code == 1
    assert "Dockerfile: no such file or directory" in missing.err


def test_a_failing_step_shows_where_and_why(docker: Program) -> None:
    done = docker.run("build", "-", stdin=b"FROM box\nENV A=b\nRUN echo the reason >&2; exit 42\n")
    assert done.code == 42
    assert "\x1b[91mthe reason\n\x1b[0m" in done.out
    assert "   3 | >>> RUN echo the reason >&2; exit 42\n" in done.out
    assert fails(done, code=42) == (
        "The command '/bin/sh -c echo the reason >&2; exit 42' returned a non-zero code: 42"
    )


def test_the_same_of_wherry(daemon: Daemon, folder: Path) -> None:
    wherry = find("wherry", f"unix://{daemon.socket}")
    built = wherry.run("build", "-t", "x", "-f", "-", str(folder), stdin=DOCKERFILE.encode())
    assert built.code == 0, built
    assert runs(wherry, "x") == ["Dockerfile", "main", "other"]
    with io.BytesIO() as packed:
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            tar.add(folder, ".")
        built = wherry.run("build", "-t", "x", "-", stdin=packed.getvalue())
    assert built.code == 0, built
    done = wherry.run("build", "--network", "mine", "-", stdin=b"FROM box\n")
    assert done.code == 1
    assert "building in the network 'mine': not supported" in done.err
