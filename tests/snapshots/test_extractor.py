"""The extractor's child: what it cannot reach, and what its end looks like from outside."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import leaks
import pytest
from layertars import device, file, layer, symlink

import wherry
from wherry.errdefs import EngineError, Kind
from wherry.linux import capabilities
from wherry.snapshots.extractor import feed
from wherry.spec.digest import Digest

pytestmark = pytest.mark.root

SOURCE = str(Path(wherry.__file__).parent.parent)


CONFINED = """
import json, os, resource, socket, sys
sys.path.insert(0, sys.argv[1])
from wherry.linux import capabilities
from wherry.snapshots.extractor.child import confine

def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True

def can_import(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True

spare = os.open("/", os.O_RDONLY)
confine(sys.argv[2])
sets = capabilities.get()
print(json.dumps({
    "root": os.listdir("/"),
    "above": os.listdir("/.."),
    "cwd": os.getcwd(),
    "descriptors": list(filter(is_open, range(100))),
    "links": [name for _, name in socket.if_nameindex()],
    "permitted": sets.permitted,
    "effective": sets.effective,
    "imported": can_import("wave"),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
}))
"""


def extract(tar: bytes, target: Path, max_entries: int = 1000, diff_id: Digest | None = None):
    return feed.extract(
        io.BytesIO(tar),
        diff_id or Digest.of(tar),
        target,
        whiteouts="devices",
        max_entries=max_entries,
    )


@pytest.fixture
def target(tmp_path: Path) -> Path:
    target = tmp_path / "target"
    target.mkdir()
    return target


def test_the_child_has_nothing_but_its_target(target):
    (target / "only").mkdir()
    child = subprocess.run(
        [sys.executable, "-I", "-S", "-c", CONFINED, SOURCE, str(target)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    seen = json.loads(child.stdout)
    kept = capabilities.mask(
        f"CAP_{name}" for name in ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"]
    )
    assert seen == {
        "root": ["only"],
        "above": ["only"],
        "cwd": "/",
        "descriptors": [0, 1, 2],
        "links": ["lo"],
        "permitted": kept,
        "effective": kept,
        "imported": False,
        "core": [0, 0],
    }


def test_a_refusal_travels_back(target):
    diff_id, tar = layer(symlink("out", "/tmp"), file("out/evil"))
    with pytest.raises(EngineError, match=rf"{diff_id}: .*'out/evil'.*'out'") as failure:
        extract(tar, target)
    assert failure.value.kind is Kind.INVALID_ARGUMENT
    assert os.listdir(target) == ["out"]


def test_a_truncated_archive_is_refused(target):
    _, tar = layer(file("file", b"x" * 100_000))
    with pytest.raises(EngineError) as failure:
        extract(tar[:50_000], target)
    assert failure.value.kind is Kind.INVALID_ARGUMENT


def test_a_bomb_of_devices_stops_at_the_limit(target):
    _, tar = layer(*(device(f"bomb{number}", 1, number) for number in range(300)))
    with pytest.raises(EngineError, match="250 entries") as failure:
        extract(tar, target, max_entries=250)
    assert failure.value.kind is Kind.RESOURCE_EXHAUSTED
    assert len(os.listdir(target)) == 250


def test_a_bomb_is_not_read_to_its_end_once_refused(target, monkeypatch):
    monkeypatch.setattr(feed, "_READ_AFTER_REFUSAL", 1 << 20)
    served = []

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1, /) -> bytes:
            served.append(size)
            return b"\xff" * size

    with pytest.raises(EngineError) as failure:
        feed.extract(Endless(), Digest.of(b""), target, whiteouts="devices", max_entries=10)
    assert failure.value.kind is Kind.INVALID_ARGUMENT
    assert sum(served) < 1 << 26


def test_a_full_disk_is_said_to_be_full(tmp_path: Path, target):
    """A tiny tmpfs, in the mount namespace of a thread."""
    from wherry.linux import syscalls

    _, tar = layer(file("big", b"x" * 400_000))
    caught: list[EngineError] = []

    def on_a_small_disk() -> None:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("tmpfs", str(target), "tmpfs", 0, "size=64k")
        try:
            extract(tar, target)
        except EngineError as error:
            caught.append(error)

    thread = threading.Thread(target=on_a_small_disk)
    thread.start()
    thread.join()
    assert caught[0].kind is Kind.RESOURCE_EXHAUSTED
    assert "no space left" in caught[0].message
    assert "'big'" in caught[0].message


class Interrupting(io.RawIOBase):
    """A stream that does something to the child when half of it was read."""

    def __init__(self, tar: bytes, act: Callable[[], None]) -> None:
        self._tar = io.BytesIO(tar)
        self._act = act
        self._half = len(tar) // 2

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if self._half and self._tar.tell() >= self._half:
            self._half = 0
            self._act()
        return self._tar.read(min(size, 4096))


def children() -> list[int]:
    return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]


def test_a_killed_child_is_a_clear_error(target):
    diff_id, tar = layer(file("file", b"x" * 1_000_000))
    before = set(children())

    def kill() -> None:
        for pid in set(children()) - before:
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(EngineError, match="killed by signal 9") as failure:
        feed.extract(Interrupting(tar, kill), diff_id, target, whiteouts="devices", max_entries=10)
    assert failure.value.kind is Kind.INTERNAL
    assert set(children()) == before


def test_nothing_stays_after_an_error_of_the_stream(target):
    diff_id, tar = layer(file("file", b"x" * 1_000_000))
    before, descriptors = set(children()), leaks.descriptors()

    def fail() -> None:
        raise EngineError(Kind.UNAVAILABLE, "gone")

    with pytest.raises(EngineError, match="gone"):
        feed.extract(Interrupting(tar, fail), diff_id, target, whiteouts="devices", max_entries=10)
    assert set(children()) == before
    assert leaks.descriptors() == descriptors


def test_a_broken_child_says_so(target, monkeypatch):
    monkeypatch.setattr(feed, "_SOURCE", "/nowhere")
    _, tar = layer(file("file"))
    with pytest.raises(EngineError, match="wherry") as failure:
        extract(tar, target)
    assert failure.value.kind is Kind.INTERNAL
