"""Builds by the stock CLI and by our own, with a whole daemon behind."""

import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import archives
import daemons
import hostimages
import pytest
from daemons import Daemon, poll
from programs import Program, find

pytestmark = pytest.mark.root

DOCKERFILE = """\
FROM box AS first
WORKDIR /src
COPY main.txt .
RUN cat main.txt > made && echo from first >&2

FROM box
COPY --from=first /src/made /made
CMD ["cat", "/made"]
"""


@pytest.fixture(scope="module")
def building() -> Iterator[Daemon]:
    """A daemon of these tests' own."""
    if os.geteuid() != 0:
        pytest.skip("needs root and the real kernel")
    with daemons.running() as daemon:
        assert daemon.load(archives.image("box:latest")).status == 200
        # Is made with the first socket that a step gets, and stays.
        (daemon.exec / "builds").mkdir(0o700)
        yield daemon
        daemon.stop()
        said = daemon.log.read_text()
        assert "unexpected" not in said, said
        assert "Traceback" not in said, said


@pytest.fixture
def daemon(building: Daemon) -> Iterator[Daemon]:
    """What a test has built goes, and nothing else is left of it."""
    find("wherry", f"unix://{building.socket}").ok("builder", "prune", "-af")
    before = building.picture()
    yield building
    building.clear()
    for image in building.get("/images/json?all=1").json:
        if "box:latest" not in (image["RepoTags"] or []):
            assert building.delete(f"/images/{image['Id']}?force=1").status == 200
    find("wherry", f"unix://{building.socket}").ok("builder", "prune", "-af")
    building.settled(before)


@pytest.fixture(params=["docker", "wherry"])
def program(request: pytest.FixtureRequest, daemon: Daemon) -> Program:
    if shutil.which(request.param) is None and request.param == "docker":
        pytest.skip("docker is not installed")
    found = find(request.param, f"unix://{daemon.socket}")
    return Program(found.name, found.path, found.address, {"DOCKER_BUILDKIT": "0"})


@pytest.fixture
def wherry(daemon: Daemon) -> Program:
    return find("wherry", f"unix://{daemon.socket}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "main.txt").write_text("the content\n")
    return folder


def test_an_image_is_built_and_run(program: Program, folder: Path, tmp_path: Path) -> None:
    iid = tmp_path / "iid"
    built = program.run("build", "-t", "made:1", "--iidfile", str(iid), str(folder))
    assert built.code == 0, built
    assert "from first" in built.out + built.err
    identity = program.ok("image", "inspect", "-f", "{{.Id}}", "made:1")
    assert iid.read_text() == identity
    assert program.ok("run", "--rm", "--network", "none", "made:1") == "the content"
    assert program.ok("build", "-q", "-t", "made:1", str(folder)) == identity
    (folder / "main.txt").write_text("another\n")
    assert program.ok("build", "-q", "-t", "made:1", str(folder)) != identity
    assert program.ok("run", "--rm", "--network", "none", "made:1") == "another"


def test_what_docker_prints(daemon: Daemon, folder: Path) -> None:
    docker = find("docker", f"unix://{daemon.socket}")
    docker = Program("docker", docker.path, docker.address, {"DOCKER_BUILDKIT": "0"})
    docker.ok("build", str(folder))
    said = docker.ok("build", "-t", "app", str(folder)).splitlines()
    steps = [line for line in said if line.startswith("Step")]
    assert [line.partition(" : ")[2] for line in steps] == [
        "FROM box AS first", "WORKDIR /src", "COPY main.txt .",
        "RUN cat main.txt > made && echo from first >&2",
        "FROM box", "COPY --from=first /src/made /made", 'CMD ["cat", "/made"]',
    ]  # fmt: skip
    assert said.count(" ---> Using cache") >= 4
    assert said[-1] == "Successfully tagged app:latest"
    # Each step's image can be run.
    step = said[said.index(steps[3]) + 2].removeprefix(" ---> ")
    assert docker.ok("run", "--rm", "--network", "none", step, "cat", "made") == "the content"


def test_a_failing_step(program: Program, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM box\nRUN echo the reason; exit 7\n")
    failed = program.run("build", str(folder))
    assert failed.code == (7 if program.name == "docker" else 1)
    said = failed.out + failed.err
    assert "the reason" in said
    assert "2 | >>> RUN echo the reason; exit 7" in said
    assert "The command '/bin/sh -c echo the reason; exit 7' returned a non-zero code: 7" in said


def test_a_dockerfile_that_is_none(program: Program, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM box\nRUM echo\n")
    failed = program.run("build", str(folder))
    assert failed.code == 1
    assert "unknown instruction: RUM" in failed.err


def test_a_client_that_leaves(daemon: Daemon, program: Program, folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM box\nRUN echo begun; sleep 1000\n")
    before = len(daemon.processes(shims=False))
    with program.popen("build", str(folder)):
        poll(lambda: len(daemon.processes(shims=False)) > before, "the step runs")
    left = time.monotonic()
    poll(lambda: len(daemon.processes(shims=False)) == before, "the step has ended")
    assert time.monotonic() - left < 3


def test_results_that_are_no_image(wherry: Program, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    wherry.ok("build", "-o", str(out), str(folder))
    assert (out / "made").read_text() == "the content\n"
    assert (out / "bin/busybox").stat().st_mode & 0o777 == 0o755
    saved = tmp_path / "saved.tar"
    wherry.ok("build", "-t", "named:1", "-o", f"type=docker,dest={saved}", str(folder))
    with tarfile.open(saved) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        (entry,) = json.load(manifest)
    assert entry["RepoTags"] == ["named:1"]
    poll(lambda: wherry.ok("images", "-aq").count("\n") == 0, "only the base image is left")


def test_secrets_and_further_contexts(wherry: Program, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/part").write_text("of the library\n")
    (tmp_path / "token").write_text("s3cret")
    (folder / "Dockerfile").write_text(
        "FROM box\nCOPY --from=lib part /part\nCOPY . /all\n"
        'RUN --mount=type=secret,id=token test "$(cat /run/secrets/token)" = s3cret\n'
        'CMD ["sh", "-c", "cat /part; ls -A /all"]\n'
    )
    wherry.ok(
        "build", "-t", "x", "--build-context", f"lib={tmp_path}/lib",
        "--secret", f"id=token,src={tmp_path}/token", str(folder),
    )  # fmt: skip
    assert wherry.ok("run", "--rm", "--network", "none", "x").split("\n") == [
        "of the library", "Dockerfile", "main.txt",
    ]  # fmt: skip


@pytest.mark.skipif(
    not (shutil.which("ssh-agent") and shutil.which("ssh-keygen")), reason="needs OpenSSH"
)
def test_an_agent_is_forwarded(
    daemon: Daemon, wherry: Program, folder: Path, tmp_path: Path
) -> None:
    assert daemon.load(hostimages.archive("ssh-tools", "ssh-add", "sh")).status == 200
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mine", "-f", key],
                   check=True)  # fmt: skip
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as agent:
        try:
            poll(socket.exists, "the agent listens")
            inside = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
            subprocess.run(["ssh-add", "-q", key], check=True, env=inside)
            (folder / "Dockerfile").write_text(
                "FROM ssh-tools\nRUN --mount=type=ssh ssh-add -l; ssh-add -l & ssh-add -l; wait\n"
            )
            built = wherry.run("build", "--ssh", f"default={socket}", str(folder))
        finally:
            agent.terminate()
    assert built.code == 0, built
    assert built.err.count("mine (ED25519)") == 3
