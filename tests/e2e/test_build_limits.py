"""Builds that are too large, too long, or broken off: memory, disk, clients and daemons that go."""

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import builders
import leaks
import pytest
from confined import MB, PIECE, Group, confined_daemon, high_water, noise
from daemons import Daemon, poll, running
from programs import Program

SOAK = bool(os.environ.get("WHERRY_SOAK"))

pytestmark = [pytest.mark.root, pytest.mark.timeout(1800 if SOAK else 120)]

# --- Memory ---------------------------------------------------------------------------------------

SIZE, LIMIT, MANY = (1024 * MB, 200 * MB, 20_000) if SOAK else (192 * MB, 90 * MB, 2_000)


def large_context(dockerfile: str, size: int, many: int) -> Iterator[bytes]:
    """A tar of one large file and many small ones, as it is made."""
    yield from builders.member("Dockerfile", len(dockerfile), [dockerfile.encode()])
    if size:
        yield from builders.member("data/large", size, (noise(n) for n in range(size // PIECE)))
    for number in range(many):
        yield from builders.member(f"data/{number % 50}/{number}", 500, [b"%499d\n" % number])
    yield bytes(1024)


COPIED = "FROM box\nCOPY data /data\n"
WRITTEN = f"""\
FROM box AS made
RUN for n in 1 2 3 4; do dd if=/dev/urandom bs=1M count={SIZE // MB // 4} >> /f; done 2>/dev/null
FROM box
COPY --from=made /f /g
"""


@pytest.mark.parametrize(
    ("text", "size", "many"), [(COPIED, SIZE, MANY), (WRITTEN, 0, 0)], ids=["context", "layer"]
)
def test_a_build_in_little_memory(text: str, size: int, many: int) -> None:
    with confined_daemon(LIMIT) as (daemon, group):
        builders.ready(daemon)
        idle = high_water(daemon.pid)
        began = time.monotonic()
        pieces = large_context(text, size, many)
        said = builders.build(daemon, pieces, "t=large&networkmode=none")
        _tell(daemon, group, idle, time.monotonic() - began)
        assert said[-1] == {"stream": "Successfully tagged large:latest\n"}, said
        assert daemon.get("/images/large/json").json["Size"] >= SIZE
        assert high_water(daemon.pid) < LIMIT


def _tell(daemon: Daemon, group: Group, idle: int, seconds: float) -> None:
    print(
        f"\n{SIZE // MB} MB with {LIMIT // MB} MB: {seconds:.1f} s; the daemon had"
        f" {high_water(daemon.pid) // MB} MB at most, {idle // MB} MB before;"
        f" its group {group.peak() // MB} MB with page cache"
    )


# --- A disk that is full --------------------------------------------------------------------------


@pytest.fixture
def small() -> Iterator[Daemon]:
    """A daemon whose data root is a file system of 64 MB."""
    if os.geteuid() != 0:
        pytest.skip("needs root and the real kernel")
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("needs mkfs.ext4")
    daemon = Daemon()
    disk = daemon.folder / "disk"
    daemon.data.mkdir()
    disk.touch()
    os.truncate(disk, 64 * MB)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    if subprocess.run(["mount", "-o", "loop", disk, daemon.data], capture_output=True).returncode:
        shutil.rmtree(daemon.folder)
        pytest.skip("needs loop devices")
    try:
        daemon.start()
        builders.ready(daemon)
        yield daemon
        daemon.stop()
        builders.quiet(daemon)
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()
        leaks.clear_cgroups(daemon.cgroup)
        subprocess.run(["umount", daemon.data], check=True)
        daemon.destroy()


def used(daemon: Daemon) -> int:
    room = os.statvfs(daemon.data)
    return (room.f_blocks - room.f_bfree) * room.f_frsize


FULL = [
    ("FROM box\nRUN echo one > /one\nRUN dd if=/dev/zero of=/f bs=1M\n", 0, "No space left"),
    # Whoever does not look at errors gets no layer either.
    ("FROM box\nRUN echo one > /one\nRUN dd if=/dev/zero of=/f bs=1M; true\n", 0,
     "no space left|MB left of"),
    ("FROM box\nRUN echo one > /one\nRUN dd if=/dev/zero of=/f bs=1M count=36\n", 0, "MB left of"),
    ("FROM box\nRUN echo one > /one\nCOPY data /data\n", 32 * MB, "MB left of"),
    ("FROM box\nRUN --mount=type=cache,target=/c dd if=/dev/zero of=/c/f bs=1M\n", 0,
     "No space left"),
]  # fmt: skip


def test_a_disk_that_fills_up(small: Daemon) -> None:
    before = small.picture()
    empty = used(small)
    for text, size, error in FULL:
        said = builders.build(small, large_context(text, size, 0), "networkmode=none")
        shown = "".join(str(one.get("stream", one.get("error", ""))) for one in said)
        assert "error" in said[-1], text
        assert re.search(error, shown), shown
        cached = small.get("/wherry/builds/cache").json
        assert {entry["Description"] for entry in cached} <= {
            "RUN echo one > /one", 'cached mount with id "/c"',
        }  # fmt: skip
        small.post("/build/prune?all=1")
        poll(lambda: used(small) < empty + 8 * MB, "the space is free again")
    answer = small.request("POST", "/build", b"".join(large_context("FROM box\n", 80 * MB, 0)))
    assert answer.status >= 400
    assert "the build context: the file system of" in answer.message
    # Nothing of all this is in the way of a build that has room.
    text = "FROM box\nRUN echo one > /one\nCOPY data /data\nRUN test $(cat /one) = one\n"
    said = builders.build(small, large_context(text, 8 * PIECE // 8, 10), "networkmode=none")
    assert str(said[-1]["stream"]).startswith("Successfully built"), said
    builders.clear(small)
    small.settled(before)


# --- Who leaves -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared() -> Iterator[Daemon]:
    if os.geteuid() != 0:
        pytest.skip("needs root and the real kernel")
    with builders.building() as daemon:
        yield daemon


@contextlib.contextmanager
def building(docker: Program, folder: Path, text: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A build whose output is read, so that the program can go on."""
    (folder / "Dockerfile").write_text(text)
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **docker.environment}
    words = docker.command("build", "--network", "none", str(folder))
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def steps(daemon: Daemon, word: str) -> list[int]:
    """Processes of steps with this in their command line."""
    return [pid for pid in daemon.processes(shims=False) if word in leaks.command(pid)]


def seen(daemon: Daemon, word: str, count: int = 1) -> Callable[[], bool]:
    return lambda: len(steps(daemon, word)) >= count


def copying(daemon: Daemon) -> Callable[[], bool]:
    """A layer is being made."""
    return lambda: bool(
        [*daemon.data.glob("snapshots/*/ingest/*"), *daemon.data.glob("content/ingest/*")]
    )


STAGES = """\
RUN sleep 1001
FROM box AS b
RUN sleep 1002
FROM box
COPY --from=0 / /a
COPY --from=b / /b"""
BROKEN_OFF: list[tuple[str, Iterable[object]]] = [
    ("RUN trap '' INT TERM HUP; sleep 1001", (seen, "sleep")),
    ("RUN for n in 1 2 3 4 5; do sleep 1001 & done; wait", (seen, "sleep", 5)),
    ("RUN yes", (seen, "yes")),
    ("RUN yes > /full", (seen, "yes")),
    ("RUN --mount=target=/context --mount=type=tmpfs,target=/t sleep 1001", (seen, "sleep")),
    (STAGES, (seen, "sleep", 2)),
    ("COPY large /", (copying,)),
]


@pytest.mark.parametrize(("text", "begun"), BROKEN_OFF, ids=[text for text, _ in BROKEN_OFF])
def test_a_client_that_leaves(
    shared: Daemon, tmp_path: Path, text: str, begun: Iterable[object]
) -> None:
    before = shared.picture()
    if "large" in text:
        (tmp_path / "large").write_bytes(noise(1) * 12)
    look, *rest = begun
    assert callable(look)
    with building(builders.classic(shared), tmp_path, f"FROM box\n{text}\n") as process:
        poll(look(shared, *rest), "it is at work")
        process.send_signal(signal.SIGINT)
        process.wait()
        left = time.monotonic()
        poll(lambda: not shared.processes(shims=False), "its processes are gone")
        assert time.monotonic() - left < 2  # and not one second: there are other tests beside this
    shared.settled(before)
    assert shared.get("/wherry/builds/cache").json == []


def test_a_client_that_leaves_while_it_sends(shared: Daemon) -> None:
    before = shared.picture()

    def broken_off() -> Iterator[bytes]:
        yield from itertools.islice(builders.member("data", 100 * PIECE, [noise(0)]), 2)
        raise ConnectionAbortedError  # in the midst of the file's data

    with pytest.raises(ConnectionAbortedError):
        builders.build(shared, broken_off())
    shared.settled(before)


def test_a_daemon_that_is_ended_in_a_build(tmp_path: Path) -> None:
    text = "FROM box\nRUN echo one > /one\nRUN sleep 1001\n"
    with running() as daemon:
        builders.ready(daemon)
        docker = builders.classic(daemon)
        before = daemon.picture()
        with building(docker, tmp_path, text) as process:
            poll(seen(daemon, "sleep"), "it is at work")
            began = time.monotonic()
            daemon.stop()
            assert time.monotonic() - began < 5
            assert process.wait(10) != 0
        assert daemon.processes() == []
        assert leaks.mounts(str(daemon.folder)) == []
        # A daemon that is killed has no time to end the step: the next one does.
        daemon.start()
        with building(docker, tmp_path, text) as process:
            poll(seen(daemon, "sleep"), "it is at work")
            daemon.kill()
            assert process.wait(10) != 0
        daemon.start()
        poll(lambda: not daemon.processes(shims=False), "the step has ended")
        text = text.replace("sleep 1001", "cat /one")
        built = docker.run("build", "--network", "none", "-", stdin=text.encode())
        assert built.out.count("Using cache") == 1, built
        assert "\none\n" in built.out
        builders.clear(daemon)
        (daemon.exec / "builds").mkdir(0o700, exist_ok=True)
        daemon.settled(before)
        daemon.stop()
        builders.quiet(daemon)
