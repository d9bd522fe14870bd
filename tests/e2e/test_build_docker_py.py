"""Builds by docker-py, as programs have done them for years, and by docker-compose 1.29."""

import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import builders
import pytest
from daemons import Daemon, poll
from programs import Program, find

docker = pytest.importorskip("docker", reason="needs docker-py")
errors = pytest.importorskip("docker.errors")

pytestmark = pytest.mark.root


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
def client(daemon: Daemon) -> Iterator["docker.DockerClient"]:
    client = docker.DockerClient(base_url=f"unix://{daemon.socket}", timeout=30)
    yield client
    client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return builders.context(
        tmp_path / "context",
        Dockerfile='FROM busybox\nCOPY . /all\nWORKDIR /all\nCMD ["ls", "-A"]\n',
        main="main\n",
        sub__Dockerfile="FROM busybox AS first\nLABEL stage=1\nFROM first\nLABEL stage=2\n",
    )


def listed(client: "docker.DockerClient", image: str) -> list[str]:
    output = client.containers.run(image, remove=True, network_mode="none")
    return str(output.decode()).split()


def packed(**files: str) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    stream.seek(0)
    return stream


def test_a_folder(client: "docker.DockerClient", folder: Path) -> None:
    image, log = client.images.build(path=str(folder), tag="app:1", rm=True, forcerm=True)
    log = list(log)
    assert image.tags == ["app:1"]
    assert log[0] == {"stream": "Step 1/4 : FROM busybox"}
    assert log[1] == {"stream": "\n"}
    assert {"aux": {"ID": image.id}} in log
    assert log[-1] == {"stream": "Successfully tagged app:1\n"}
    assert listed(client, "app:1") == ["Dockerfile", "main", "sub"]
    (folder / ".dockerignore").write_text("sub\nDockerfile\n.dockerignore\n")
    image, _ = client.images.build(path=str(folder))
    assert image.tags == []
    assert listed(client, image.id) == ["main"]


def test_a_dockerfile_in_memory(client: "docker.DockerClient") -> None:
    text = "FROM busybox\nARG who\nRUN echo grüße $who\nUSER $who\n"
    image, log = client.images.build(
        fileobj=io.BytesIO(text.encode()), buildargs={"who": "bob"}, labels={"a": "ü"},
        nocache=True, shmsize=1 << 25, extra_hosts={"x": "1.2.3.4"}, network_mode="none",
        container_limits={"memory": 1 << 26, "memswap": 1 << 26, "cpushares": 512,
                          "cpusetcpus": "0"},
    )  # fmt: skip
    assert {"stream": "grüße bob\n"} in list(log)
    assert image.attrs["Config"]["User"] == "bob"
    assert image.labels == {"a": "ü"}


def test_a_context_of_ones_own(client: "docker.DockerClient") -> None:
    files = {"Other": "FROM busybox\nCOPY main /\n", "main": "x"}
    plain = packed(**files)
    image, _ = client.images.build(fileobj=plain, custom_context=True, dockerfile="Other")
    compressed = io.BytesIO(gzip.compress(plain.getvalue()))
    same, log = client.images.build(
        fileobj=compressed, custom_context=True, encoding="gzip", dockerfile="Other"
    )
    assert same.id == image.id
    assert [one for one in log if one.get("stream") == " ---> Using cache\n"]


def test_dockerfiles_elsewhere(client: "docker.DockerClient", folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("FROM busybox\nCOPY . /src\nCMD ls -A /src\n")
    image, _ = client.images.build(path=str(folder), dockerfile=str(tmp_path / "outside"))
    assert listed(client, image.id) == ["Dockerfile", "main", "sub"]
    image, _ = client.images.build(path=str(folder), dockerfile="sub/Dockerfile")
    assert image.labels == {"stage": "2"}
    image, _ = client.images.build(
        path=str(folder), dockerfile=str(folder / "sub/Dockerfile"), target="first", gzip=True
    )
    assert image.labels == {"stage": "1"}


def test_a_failing_build(client: "docker.DockerClient") -> None:
    text = b"FROM busybox\nRUN echo out; echo err >&2; exit 3\n"
    with pytest.raises(errors.BuildError) as failed:
        client.images.build(fileobj=io.BytesIO(text), tag="never")
    command = "/bin/sh -c echo out; echo err >&2; exit 3"
    assert failed.value.msg == f"The command '{command}' returned a non-zero code: 3"
    log = list(failed.value.build_log)
    said = "".join(one.get("stream", "") for one in log)
    assert "out\n" in said
    assert "\x1b[91merr\n\x1b[0m" in said
    assert log[-1]["errorDetail"] == {"code": 3, "message": failed.value.msg}
    with pytest.raises(errors.ImageNotFound):
        client.images.get("never")


def test_what_is_no_build(client: "docker.DockerClient") -> None:
    for text, message in (
        (b"FORM busybox\n", "unknown instruction: FORM"),
        (b"FROM nothere\nRUN true\n", "nothere"),
    ):
        with pytest.raises((errors.APIError, errors.BuildError), match=message):
            client.images.build(fileobj=io.BytesIO(text))
    with pytest.raises(errors.APIError, match="unknown operating system") as refused:
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\n"), platform="foobar")
    assert refused.value.is_client_error()
    with pytest.raises(errors.APIError, match="squash: not supported"):
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\n"), squash=True)


def test_the_low_level_stream(client: "docker.DockerClient") -> None:
    """What of the cache's use docker-py's own tests count."""
    text = b"FROM busybox\nENV FOO=bar\nRUN touch baz\nRUN touch bax\n"
    for expected in (0, 3):
        stream = client.api.build(fileobj=io.BytesIO(text), decode=True, quiet=False)
        said = [chunk.get("stream", "") for chunk in stream]
        assert sum("Using cache" in one for one in said) == expected
    quiet = list(client.api.build(fileobj=io.BytesIO(text), decode=True, quiet=True))
    assert quiet[-1]["stream"].startswith("sha256:")
    raw = b"".join(client.api.build(fileobj=io.BytesIO(text)))
    assert all(line.endswith(b"\r") for line in raw.split(b"\n")[:-1])
    assert [json.loads(line) for line in raw.splitlines()]
    assert isinstance(client.api.prune_builds()["SpaceReclaimed"], int)


def test_a_program_that_looks_away(client: "docker.DockerClient", daemon: Daemon) -> None:
    """Who stops reading, and drops the stream, has left."""
    before = len(daemon.processes(shims=False))
    text = b"FROM busybox\nRUN yes | head -c 1000000; sleep 1000\n"
    stream = client.api.build(fileobj=io.BytesIO(text))
    next(stream)
    poll(lambda: len(daemon.processes(shims=False)) > before, "the step runs")
    stream.close()
    client.close()
    poll(lambda: len(daemon.processes(shims=False)) == before, "the step has ended")


# --- docker-compose -------------------------------------------------------------------------------

COMPOSE = """\
version: "2.4"
services:
  web:
    image: web:built
    build:
      context: .
      dockerfile: sub/Dockerfile
      target: first
      args: {A: b}
      labels: {from: compose}
      shm_size: 32m
      extra_hosts: ["x:1.2.3.4"]
      network: none
  other:
    build: .
"""


@pytest.fixture
def compose(daemon: Daemon) -> Program:
    """docker-compose 1.29, from PATH or named by WHERRY_COMPOSE."""
    path = os.environ.get("WHERRY_COMPOSE") or shutil.which("docker-compose")
    if path is None:
        pytest.skip("docker-compose 1.29 is not installed (or named by WHERRY_COMPOSE)")
    found = find("docker", f"unix://{daemon.socket}", DOCKER_HOST=f"unix://{daemon.socket}",
                 COMPOSE_DOCKER_CLI_BUILD="0", DOCKER_BUILDKIT="0")  # fmt: skip
    program = Program("docker-compose", path, found.address, found.environment)
    if "docker-compose version 1.29" not in program.run("version").out:
        pytest.skip(f"{path} is not docker-compose 1.29")
    return program


def test_compose_builds(compose: Program, client: "docker.DockerClient", folder: Path) -> None:
    (folder / "compose.yml").write_text(COMPOSE)
    project = ("-f", str(folder / "compose.yml"), "-p", "shop")
    built = compose.run(*project, "build")
    assert built.code == 0, built
    assert client.images.get("web:built").labels == {"stage": "1", "from": "compose"}
    assert "main" in listed(client, "shop_other")
    (folder / "Dockerfile").write_text("FROM busybox\nRUN exit 5\n")
    failed = compose.run(*project, "build", "other")
    assert failed.code == 1
    assert "returned a non-zero code: 5" in failed.err
