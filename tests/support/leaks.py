"""What a test could leave behind on a machine, as a picture to compare before and after."""

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def mounts(below: str) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split(" ")[4] for line in lines if below in line]


def cgroups(parent: str) -> list[str]:
    """Groups of this name that exist in any hierarchy."""
    name = parent.strip("/")
    trees = [CGROUPS, *(path for path in CGROUPS.iterdir() if path.is_dir())]
    return sorted(str(tree / name) for tree in trees if (tree / name).is_dir())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def command(pid: int) -> str:
    """The process and what it runs, for messages."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"{pid} (gone)"
    return f"{pid} {b' '.join(words).decode(errors='replace')}"
