"""What a test could leave behind on a machine, as a picture to compare before and after."""

import contextlib
import errno
import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def mounts(below: str) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split(" ")[4] for line in lines if below in line]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# --- Processes ----------------------------------------------------------------------------------


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
    return "Z" not in stat.rpartition(")")[2].split()[0]


def command(pid: int) -> str:
    """The process and what it runs, for messages."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"{pid} (gone)"
    return f"{pid} {b' '.join(words).decode(errors='replace')}"


def mentioning(word: str) -> set[int]:
    """Processes with `word` in their command line; none that has ended."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and word.encode() in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
    return found


# --- Cgroups ------------------------------------------------------------------------------------


def cgroup_name(kind: str) -> str:
    """A new name for a group that this test process answers for, by `own_cgroups`."""
    return f"/wherry-{kind}-{os.getpid()}-{secrets.token_hex(4)}"


def own_cgroups() -> list[str]:
    """What is left of the groups that this test process has named.

    Walked by os.walk, which passes over what goes meanwhile: other tests' groups do.
    """
    ours = re.compile(rf"wherry-.*-{os.getpid()}(-|$)")
    return sorted(
        f"{folder}/{name}"
        for folder, names, _ in os.walk(CGROUPS)
        for name in names
        if ours.match(name)
    )


def cgroups(parent: str) -> list[str]:
    """Groups of this name that exist in any hierarchy."""
    name = parent.strip("/")
    trees = [CGROUPS, *(path for path in CGROUPS.iterdir() if path.is_dir())]
    return sorted(str(tree / name) for tree in trees if (tree / name).is_dir())


def cgroup_tree(parent: str) -> Iterator[str]:
    """The groups of this name and all below, in every hierarchy, parents first.

    One that goes while we look is passed over.
    """
    for top in cgroups(parent):
        for folder, _, _ in os.walk(top):
            yield folder


def cgroup_members(parent: str) -> set[int]:
    pids: set[int] = set()
    for group in cgroup_tree(parent):
        with contextlib.suppress(OSError):
            pids.update(int(pid) for pid in Path(group, "cgroup.procs").read_text().split())
    return pids


def clear_cgroups(parent: str, seconds: float = 30) -> None:
    """End all that is in the groups or is about to join them, and remove the groups.

    A launcher makes its group some time after it was started, whatever has become of who started
    it. It is known by its command line, which names the group; so are its forks.
    """
    deadline = time.monotonic() + seconds
    while left := _clear_once(parent):
        if time.monotonic() > deadline:
            raise AssertionError(f"{parent} can't be cleared: {left}")
        time.sleep(0.005)


def _clear_once(parent: str) -> list[str]:
    """What was there to be cleared, and may still be."""
    pids = cgroup_members(parent) | mentioning(parent)
    groups = sorted(cgroup_tree(parent), reverse=True)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    left = [command(pid) for pid in sorted(pids)]
    for group in groups:
        _thaw(group)
        try:
            os.rmdir(group)
        except FileNotFoundError:
            continue
        except OSError as error:
            # The last process may have to be reaped first, and the kernel to let go of it.
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
            left.append(group)
    return left


def _thaw(group: str) -> None:
    """Who was killed while it killed others has left them frozen, and so they do not end."""
    with contextlib.suppress(OSError):
        fd = os.open(f"{group}/freezer.state", os.O_WRONLY)
        try:
            os.write(fd, b"THAWED")
        finally:
            os.close(fd)
