"""`wherry build` against a builder that only pretends: what is sent, and what is shown."""

import base64
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from buildserver import BuildServer
from fakebuilds import IMAGE, step

from wherry import errdefs
from wherry.build.events import (
    BuildFailedError,
    BuildStarted,
    BuildWarning,
    Built,
    Excerpt,
    Failure,
    Fetchable,
    VertexCached,
    VertexDone,
    VertexFailed,
    VertexOutput,
    VertexStarted,
)
from wherry.build.request import Output
from wherry.errdefs import Kind


@pytest.fixture
def server(short_path: Path) -> Iterator[BuildServer]:
    server = BuildServer(short_path / "build.sock")
    yield server
    server.close()


@pytest.fixture
def wherry(server: BuildServer, short_path: Path, invocation):
    return invocation(server.path, str(short_path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM busybox\nRUN make\n")
    (folder / "main.c").write_text("int main;")
    return folder


def sent(server: BuildServer) -> dict[str, bytes]:
    assert server.builds.context is not None
    with tarfile.open(fileobj=io.BytesIO(server.builds.context)) as tar:
        return {
            member.name: tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in tar
            if member.isfile()
        }


def test_progress_in_plain_lines(wherry, folder: Path) -> None:
    result = wherry("build", "-t", "app", str(folder))
    assert (result.returncode, result.stdout) == (0, b"")
    said = re.sub(r"(?m)^(#\d+) \d+\.\d{3} ", r"\1 0.000 ", result.stderr.decode())
    assert said == (
        "#1 [1/2] FROM busybox\n#1 DONE 0.0s\n\n"
        "#2 [2] RUN make\n#2 0.000 out 2\n#2 DONE 0.2s\n\n"
        f"Built {IMAGE[7:19]} app:latest\n"
    )


def test_quiet_is_the_id_alone(wherry, folder: Path) -> None:
    result = wherry("build", "-q", str(folder))
    assert (result.returncode, result.stdout.decode(), result.stderr) == (0, f"{IMAGE}\n", b"")


def test_progress_as_events(wherry, folder: Path) -> None:
    result = wherry("build", "--progress=json", str(folder))
    events = [json.loads(line) for line in result.stderr.splitlines()]
    assert [event["type"] for event in events][:2] == ["build-started", "vertex-started"]
    assert events[-1]["image"] == IMAGE


def test_progress_on_a_terminal(wherry, folder: Path) -> None:
    result = wherry("build", "--progress=tty", str(folder))
    last = result.stderr.decode().rpartition("\x1b[34m[+]")[2]
    assert "(2/2) FINISHED" in last
    assert "=> [2] RUN make" in last


def test_every_option_is_said(wherry, server: BuildServer, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"s3cret\n")
    wherry.environment["FROM_HERE"] = "yes"
    result = wherry(
        "build", "-t", "a", "-t", "b:2", "--build-arg", "X=1", "--build-arg", "FROM_HERE",
        "--build-arg", "NOWHERE", "--label", "l=m", "--target", "last", "--no-cache",
        "--no-cache-filter", "one,two", "--pull", "--platform", "linux/amd64", "--network", "none",
        "--add-host", "h:1.2.3.4", "--shm-size", "1m", "-m", "64m", "--memory-swap", "-1",
        "--cpuset-cpus", "0", "-c", "5", "--cpu-quota", "7", "--ulimit", "nofile=1:2",
        "--secret", f"id=token,src={tmp_path}/token", "--secret", "id=e,env=FROM_HERE",
        "--cache-from", "x", "--rm", "--provenance=false", str(folder),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (asked,) = server.builds.requests
    assert asked.tags == ("a", "b:2")
    assert asked.build_args == {"X": "1", "FROM_HERE": "yes", "NOWHERE": None}
    assert (asked.labels, asked.target) == ({"l": "m"}, "last")
    assert (asked.no_cache, asked.no_cache_filter, asked.pull) == (True, ("one", "two"), True)
    assert (asked.platforms, asked.network) == (("linux/amd64",), "none")
    assert asked.extra_hosts == (("h", "1.2.3.4"),)
    limits = asked.limits
    assert (limits.shm_size, limits.memory, limits.memory_swap) == (1 << 20, 64 << 20, -1)
    assert (limits.cpuset_cpus, limits.cpu_shares, limits.cpu_quota) == ("0", 5, 7)
    assert limits.ulimits[0].hard == 2
    assert asked.secrets == {"token": b"s3cret\n", "e": b"yes"}
    assert asked.cache_from == ("x",)
    assert not asked.step_images


def test_a_folder_is_sent_without_what_is_ignored(wherry, server, folder: Path) -> None:
    (folder / ".dockerignore").write_text("*\n!main.c\n")
    (folder / "big").write_text("no")
    assert wherry("build", str(folder)).returncode == 0
    assert sent(server) == {
        "Dockerfile": b"FROM busybox\nRUN make\n",
        "main.c": b"int main;",
        ".dockerignore": b"*\n!main.c\n",
    }
    assert server.builds.requests[0].dockerfile == "Dockerfile"


def test_a_dockerfile_with_its_own_ignore_file(wherry, server, folder: Path) -> None:
    (folder / "ci").mkdir()
    (folder / "ci/Other").write_text("FROM x")
    (folder / "ci/Other.dockerignore").write_text("main.c\nci\n")
    (folder / ".dockerignore").write_text("*\n")
    assert wherry("build", "-f", str(folder / "ci/Other"), str(folder)).returncode == 0
    assert server.builds.requests[0].dockerfile == "ci/Other"
    assert set(sent(server)) == {
        "Dockerfile", ".dockerignore", "ci/Other", "ci/Other.dockerignore",
    }  # fmt: skip


@pytest.mark.parametrize("way", ["elsewhere", "stdin", "link"])
def test_a_dockerfile_that_is_not_in_the_folder(
    wherry, server, folder: Path, tmp_path: Path, way: str
) -> None:
    elsewhere = tmp_path / "Else"
    elsewhere.write_text("FROM other")
    (folder / ".dockerignore").write_text("big")
    (folder / "Link").symlink_to(elsewhere)
    file = {"elsewhere": str(elsewhere), "stdin": "-", "link": str(folder / "Link")}[way]
    assert wherry("build", "-f", file, str(folder), stdin=b"FROM other").returncode == 0
    name = server.builds.requests[0].dockerfile
    assert re.fullmatch(r"\.dockerfile\.[0-9a-f]{20}", name)
    there = sent(server)
    assert there[name] == b"FROM other"
    assert there[".dockerignore"].splitlines()[:2] == [b"big", name.encode()]


def test_contexts_from_standard_input_and_elsewhere(wherry, server) -> None:
    assert wherry("build", "-", stdin=b"FROM x\n").returncode == 0
    assert server.builds.context == b"FROM x\n"
    assert wherry("build", "https://example.com/x.git#main:sub").returncode == 0
    assert server.builds.requests[1].remote == "https://example.com/x.git#main:sub"
    url = "https://example.com/x.git"
    assert wherry("build", "-f", "-", url, stdin=b"FROM y").returncode == 0
    assert server.builds.requests[2].inline == b"FROM y"


def test_further_contexts(wherry, server, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/a").write_text("lib")
    (tmp_path / "lib/b").write_text("lib")
    (tmp_path / "lib/.dockerignore").write_text("b")
    result = wherry(
        "build", "--build-context", f"lib={tmp_path}/lib", "--build-context",
        "base=docker-image://busybox", str(folder),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert server.builds.requests[0].contexts == {
        "base": "docker-image://busybox", "lib": "upload:.wherry-context-0",
    }  # fmt: skip
    assert sent(server)[".wherry-context-0/a"] == b"lib"
    assert ".wherry-context-0/b" not in sent(server)


def failing(exit_code: int):
    async def script(request, emit):
        emit(BuildStarted(1))
        emit(VertexStarted("v1", "[1/1] RUN make", 1, "RUN make"))
        emit(VertexOutput("v1", "stderr", b"no rule\nto make"))
        excerpt = Excerpt("Dockerfile", 1, ("FROM a", "RUN make", ""), 2, 2)
        failure = Failure(
            message=f'process "make" did not complete successfully: exit code: {exit_code}',
            command="make", exit_code=exit_code, tail=("no rule", "to make"), excerpt=excerpt,
            hint="(install make)",
        )  # fmt: skip
        emit(VertexFailed("v1", failure, 0.5))
        raise BuildFailedError(Kind.INTERNAL, failure)

    return script


def test_a_failure_is_shown_with_its_place(wherry, server, folder: Path) -> None:
    server.builds.script = failing(2)
    result = wherry("build", "-q", str(folder))
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.decode() == (
        "------\n > [1/1] RUN make:\nno rule\nto make\n------\n"
        "Dockerfile:2\n--------------------\n   1 |     FROM a\n   2 | >>> RUN make\n   3 |\n"
        "--------------------\n"
        'wherry: process "make" did not complete successfully: exit code: 2\n(install make)\n'
    )
    plain = wherry("build", str(folder)).stderr.decode()
    assert re.search(r"#1 \d\.\d{3} no rule\n#1 \d\.\d{3} to make\n#1 ERROR: process", plain)


def test_a_refusal_is_one_line(wherry, server, folder: Path) -> None:
    async def script(request, emit):
        raise errdefs.invalid("dockerfile parse error on line 1")

    server.builds.script = script
    result = wherry("build", str(folder))
    assert result.returncode == 1
    assert result.stderr == b"Error response from daemon: dockerfile parse error on line 1\n"


async def warned(request, emit):
    emit(BuildStarted(1))
    excerpt = Excerpt("Dockerfile", 1, ("MAINTAINER me",), 1, 1)
    emit(
        BuildWarning(
            "Maintainer instruction is deprecated",
            "MaintainerDeprecated",
            "The MAINTAINER instruction is deprecated",
            "https://x/y",
            excerpt,
        )
    )
    step(emit, 1, "FROM a")
    return Built() if request.check else Built(image=IMAGE)


def test_warnings_at_the_end_and_at_length(wherry, server, folder: Path) -> None:
    server.builds.script = warned
    said = wherry("build", str(folder)).stderr.decode()
    assert " 1 warning found" in said
    assert "\n - MaintainerDeprecated: Maintainer instruction is deprecated (line 1)\n" in said
    result = wherry("build", "--check", "--progress=quiet", str(folder))
    assert result.returncode == 1
    assert result.stdout.decode() == (
        "WARNING: MaintainerDeprecated - https://x/y\n"
        "The MAINTAINER instruction is deprecated\nMaintainer instruction is deprecated\n"
        "Dockerfile:1\n--------------------\n   1 | >>> MAINTAINER me\n--------------------\n\n"
        "Check complete, 1 warning has been found!\n"
    )


def test_a_check_that_finds_nothing(wherry, server, folder: Path) -> None:
    async def script(request, emit):
        return Built()

    server.builds.script = script
    result = wherry("build", "--check", str(folder))
    assert (result.returncode, result.stdout) == (0, b"Check complete, no warnings found.\n")


def test_steps_side_by_side_stay_readable(wherry, server, folder: Path) -> None:
    async def script(request, emit):
        emit(BuildStarted(2))
        emit(VertexStarted("a", "[a 1/1] FROM a", 1, "FROM a"))
        emit(VertexStarted("b", "[b 1/1] FROM b", 2, "FROM b"))
        emit(VertexCached("b"))
        emit(VertexDone("b"))
        emit(VertexOutput("a", "stdout", b"part"))
        emit(VertexOutput("a", "stdout", b"ial\rlast\r\nrest"))
        emit(VertexDone("a"))
        return Built(image=IMAGE)

    server.builds.script = script
    said = wherry("build", str(folder)).stderr.decode()
    assert re.sub(r" \d\.\d{3} ", " T ", said).startswith(
        "#1 [b 1/1] FROM b\n#1 CACHED\n\n#2 [a 1/1] FROM a\n#2 T last\n#2 T rest\n#2 DONE 0.0s\n"
    )


def test_files_about_the_result(wherry, server, folder: Path, tmp_path: Path) -> None:
    async def script(request, emit):
        return Built(image=IMAGE, metadata={"containerimage.digest": "sha256:x"})

    server.builds.script = script
    iid, meta = tmp_path / "iid", tmp_path / "meta"
    wherry("build", "-q", "--iidfile", str(iid), "--metadata-file", str(meta), str(folder))
    assert iid.read_text() == IMAGE
    assert json.loads(meta.read_text()) == {"containerimage.digest": "sha256:x"}


def archive() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        info = tarfile.TarInfo("bin")
        info.type, info.mode = tarfile.DIRTYPE, 0o555
        tar.addfile(info)
        info = tarfile.TarInfo("bin/app")
        info.size, info.mode, info.mtime = 3, 0o4755, 1000
        tar.addfile(info, io.BytesIO(b"elf"))
        for name, kind, link in (("bin/same", tarfile.LNKTYPE, "bin/app"),
                                 ("out", tarfile.SYMTYPE, "/etc"),
                                 ("out/passwd", tarfile.REGTYPE, ""),
                                 ("dev", tarfile.CHRTYPE, "")):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            tar.addfile(info)
    return stream.getvalue()


@pytest.fixture
def with_outputs(server):
    async def script(request, emit):
        outputs = tuple(
            Fetchable(index, "files", "/wherry/builds/there/output")
            for index, output in enumerate(request.outputs)
            if output.type != "image"
        )
        return Built(image=IMAGE, outputs=outputs)

    async def output(output_id):
        for at in range(0, len(archive()), 700):
            yield archive()[at : at + 700]

    server.builds.script = script
    server.builds.output = output
    return server


def test_a_folder_of_files(wherry, with_outputs, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("stays")
    (out / "bin").symlink_to("/proc/nowhere")
    result = wherry("build", "-o", str(out), str(folder))
    assert result.returncode == 0, result.stderr
    assert b"1 device nodes are not extracted" in result.stderr
    assert b"Built" not in result.stderr
    assert with_outputs.builds.requests[0].outputs == (Output("local"),)
    assert (out / "bin/app").read_bytes() == b"elf"
    assert (out / "bin/app").stat().st_mode & 0o7777 == 0o755
    assert (out / "bin/app").stat().st_mtime == 1000
    assert (out / "bin/same").samefile(out / "bin/app")
    assert (out / "bin").stat().st_mode & 0o7777 == 0o555
    # The symlink to /etc went when a file had to be put below its name.
    assert (out / "out").is_dir()
    assert not (out / "out").is_symlink()
    assert (out / "mine").read_text() == "stays"


def test_archives_to_files_and_standard_output(
    wherry, with_outputs, folder: Path, tmp_path: Path
) -> None:
    result = wherry("build", "-q", "-o", "-", str(folder))
    assert result.stdout == archive()
    result = wherry(
        "build", "-q", "-o", f"type=oci,dest={tmp_path}/x.tar,name=n", "-o", "type=image",
        str(folder),
    )  # fmt: skip
    assert result.stdout.decode() == f"{IMAGE}\n"
    assert (tmp_path / "x.tar").read_bytes() == archive()
    oci = Output("oci", {"name": "n"})
    assert with_outputs.builds.requests[1].outputs == (oci, Output("image"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--squash"], 125, "--squash is not supported yet"),
        (["--push"], 125, "--push is not supported yet"),
        (["--isolation=hyperv"], 125, "--isolation is not supported yet"),
        (["--provenance=true"], 125, "attestations are not supported yet"),
        (["-o", "type=registry"], 125, "pushing is not supported yet"),
        (["-o", "type=zip"], 125, "type must be one of"),
        (["-o", "-", "-o", "type=tar"], 125, "only one --output"),
        (["--secret", "id=a,src=/proc/nowhere"], 1, "open /proc/nowhere: no such file"),
        (["--secret", "src=a"], 125, "it needs an id"),
        (["--secret", "id=a,x=y"], 125, "unknown key 'x'"),
        (["--secret", "id=a,env=NOT_SET"], 125, "there is no environment variable NOT_SET"),
        (["--ssh", "default"], 125, "SSH_AUTH_SOCK is not set"),
        (["--ssh", "a=/etc/passwd"], 125, "is no socket of an agent"),
        (["--progress", "fancy"], 125, "must be auto, plain, tty, json or quiet"),
        (["-f", "/proc/nowhere"], 1, "no such file (-f names another)"),
        (["--build-context", "a"], 125, "expected name=source"),
        (["--build-context", "a=/proc/nowhere"], 1, "there is no directory /proc/nowhere"),
        (["--add-host", "a"], 125, "bad format for add-host"),
    ],
)
def test_what_makes_no_sense(wherry, server, folder: Path, words, code, said) -> None:
    result = wherry("build", *words, str(folder))
    assert result.returncode == code
    assert said in result.stderr.decode()
    assert not server.builds.requests


def test_no_folder_and_no_dockerfile(wherry, tmp_path: Path) -> None:
    result = wherry("build", "/proc/nowhere")
    assert (result.returncode, b'path "/proc/nowhere" not found' in result.stderr) == (1, True)
    (tmp_path / "empty").mkdir()
    result = wherry("build", str(tmp_path / "empty"))
    assert b"unable to read the Dockerfile" in result.stderr
    result = wherry("build", "-f", "-", "-")
    assert b"can't use stdin for both" in result.stderr
    assert wherry("build").returncode == 1


def test_secrets_that_are_too_large(wherry, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(30_000))
    result = wherry("build", "--secret", f"id=a,src={tmp_path}/big", str(folder))
    assert b"30000 bytes are too many" in result.stderr


def test_a_small_secret_may_be_any_bytes(wherry, server, folder: Path, tmp_path: Path) -> None:
    content = bytes(range(256)) * 70
    (tmp_path / "key").write_bytes(content)
    result = wherry("build", "--secret", f"id=a,src={tmp_path}/key", str(folder))
    assert result.returncode == 0, result.stderr
    assert server.builds.requests[0].secrets == {"a": content}
    assert base64.b64encode(content[:30]) not in result.stderr


def test_the_cache_is_listed_and_pruned(wherry, server) -> None:
    lines = wherry("builder", "ls").stdout.decode().splitlines()
    assert lines[0].split() == ["ID", "TYPE", "SIZE", "LAST", "USED", "USAGE", "DESCRIPTION"]
    assert lines[1].split()[:3] == ["0a1b2c", "regular", "51B"]
    assert lines[-1] == "Total: 2MB, 51B can be reclaimed"
    only = wherry("builder", "ls", "-q", "--filter", "type=exec.cachemount").stdout
    assert only == b"ffee\n"
    assert wherry("builder", "ls", "--format", "{{.ID}} {{.Shared}}").stdout == (
        b"0a1b2c false\nffee true\n"
    )
    result = wherry("builder", "prune", "-af", "--filter", "until=1h", "--max-used-space", "1k")
    assert result.stdout == b"0a1b2c\nTotal reclaimed space: 51B\n"
    (asked,) = server.builds.pruned
    assert (asked.all, asked.max_used_space, asked.until > 0) == (True, 1024, True)
    assert wherry("builder", "prune").returncode == 1


@pytest.mark.parametrize("words", [["image", "build"], ["builder", "build"]])
def test_docker_s_other_names(wherry, folder: Path, words) -> None:
    assert wherry(*words, "-q", str(folder)).stdout.decode() == f"{IMAGE}\n"
