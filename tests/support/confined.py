"""A daemon with little memory, and how much of it it has had."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from daemons import Daemon, poll

MB = 1 << 20
PIECE = 16 * MB


class Group:
    """A cgroup whose members have so much memory together, page cache included."""

    def __init__(self, limit: int) -> None:
        v1 = leaks.CGROUPS / "memory"
        top, names = (
            (v1, ("limit_in_bytes", "max_usage_in_bytes"))
            if v1.is_dir()
            else (leaks.CGROUPS, ("max", "peak"))
        )
        self.name = leaks.cgroup_name("test")
        self._folder = top / self.name.strip("/")
        self._folder.mkdir()
        self._limit, self._peak = (self._folder / f"memory.{name}" for name in names)
        if not self._limit.exists():
            self._folder.rmdir()
            pytest.skip("no memory controller")
        self._limit.write_text(str(limit))
        for name, swap in (("memsw.limit_in_bytes", limit), ("swap.max", 0)):
            if (self._folder / f"memory.{name}").exists():
                (self._folder / f"memory.{name}").write_text(str(swap))

    def add(self, pid: int) -> None:
        (self._folder / "cgroup.procs").write_text(str(pid))

    def peak(self) -> int:
        """The most memory it has had, in bytes; reclaimed page cache counted while it was there."""
        return int(self._peak.read_text()) if self._peak.exists() else 0


@contextlib.contextmanager
def confined_daemon(limit: int) -> Iterator[tuple[Daemon, Group]]:
    group = Group(limit)
    daemon = Daemon()
    try:
        # It has not imported anything yet when it is moved.
        group.add(daemon.launch().pid)
        daemon.up()
        yield daemon, group
    finally:
        daemon.destroy()
        poll(lambda: not leaks.cgroup_members(group.name), "the daemon is gone")
        leaks.clear_cgroups(group.name)


def noise(number: int) -> bytes:
    """`PIECE` bytes that nothing can compress or share; the same for the same number."""
    return random.Random(number).randbytes(MB) * (PIECE // MB)


def high_water(pid: int) -> int:
    """The most memory that the process has had for itself and for mapped files, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) << 10
