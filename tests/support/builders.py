"""Daemons that build, for tests of whole builds, and contexts to send to them."""

import contextlib
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import archives
import pytest
from daemons import Daemon, UnixConnection, poll, running
from programs import Program, find

_HOST_IMAGE = Path(__file__).parents[2] / "examples" / "host_image.py"
BASES = ("box:latest", "busybox:latest")


@contextlib.contextmanager
def building() -> Iterator[Daemon]:
    """A daemon with the image `box`, also called `busybox`, that says nothing it should not."""
    with running() as daemon:
        ready(daemon)
        yield daemon
        daemon.stop()
        quiet(daemon)


def ready(daemon: Daemon) -> None:
    """Give a daemon its base image, and the folders that its first build would make."""
    assert daemon.load(archives.docker_archive(BASES, [archives.busybox_layer()])).status == 200
    find("wherry", f"unix://{daemon.socket}").ok("build", "-q", "-", stdin=b"FROM box\nRUN true\n")
    (daemon.exec / "builds").mkdir(0o700, exist_ok=True)
    clear(daemon)


def quiet(daemon: Daemon) -> None:
    """Fail if a daemon's log tells of a mistake of ours."""
    said = daemon.log.read_text()
    assert "unexpected" not in said, said
    assert "Traceback" not in said, said


def clear(daemon: Daemon, keep: Iterable[str] = BASES) -> None:
    """Remove containers, what was built, and the cache; images of these names stay."""
    daemon.clear()
    for image in daemon.get("/images/json?all=1").json:
        if not set(image["RepoTags"] or ()) & set(keep):
            assert daemon.delete(f"/images/{image['Id']}?force=1").status in (200, 404)
    assert daemon.post("/build/prune?all=1").status == 200
    poll(lambda: not [*daemon.data.glob("snapshots/*/trash/*")], "what was removed is deleted")


def classic(daemon: Daemon) -> Program:
    """Docker's command line with its own builder, or a skip."""
    return find("docker", f"unix://{daemon.socket}", DOCKER_BUILDKIT="0")


def host_image(daemon: Daemon, name: str, *programs: str) -> None:
    """Give the daemon an image of programs of this host."""
    if not _HOST_IMAGE.exists():
        pytest.skip("needs the example that makes images of host programs")
    made = subprocess.run([sys.executable, _HOST_IMAGE, name, *programs], capture_output=True)
    assert made.returncode == 0, made.stderr.decode()
    assert daemon.load(made.stdout).status == 200


def context(folder: Path, **files: str | bytes) -> Path:
    """A folder with files; `__` in a name is a slash, `_` at its end a dot before it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


# --- Requests without a command line --------------------------------------------------------------


def member(name: str, size: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A file of a tar, never whole in memory."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    yield info.tobuf()
    yield from pieces
    yield bytes(-size % tarfile.BLOCKSIZE)


def build(
    daemon: Daemon, pieces: Iterable[bytes], query: str = "", seconds: float = 600
) -> list[dict[str, object]]:
    """Send a context as it is made; answers the messages of the classic stream."""
    with contextlib.closing(UnixConnection(daemon.socket, timeout=seconds)) as connection:
        connection.request(
            "POST",
            f"/build?{query}",
            iter(pieces),
            {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"},
            encode_chunked=True,
        )
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said
        return [json.loads(line) for line in said.splitlines()]
