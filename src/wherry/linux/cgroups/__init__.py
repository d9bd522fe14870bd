"""Control groups: what a container may use of the machine, and a handle on all its processes.

`Cgroups` (protocol.py) is where to read first; `detect()` answers the one for this host.
"""

from wherry import errdefs
from wherry.linux.cgroups import files, hierarchies
from wherry.linux.cgroups.protocol import (
    BlockIOEntry,
    BlockIOStats,
    Cgroups,
    CPUStats,
    MemoryStats,
    PidsStats,
    Stats,
)
from wherry.linux.cgroups.v1 import CgroupsV1
from wherry.linux.cgroups.v2 import CgroupsV2

__all__ = [
    "BlockIOEntry",
    "BlockIOStats",
    "CPUStats",
    "Cgroups",
    "CgroupsV1",
    "CgroupsV2",
    "MemoryStats",
    "PidsStats",
    "Stats",
    "detect",
]


def detect(root: str = "") -> Cgroups:
    """The host's control groups: v1 if any controller is mounted so, else v2.

    `root` is put before every path, for a test's tree with /proc and /sys in it. Raises
    UNAVAILABLE if neither is mounted.
    """
    try:
        mountinfo = files.read(f"{root}/proc/self/mountinfo")
        try:
            known = files.read(f"{root}/proc/cgroups")
        except FileNotFoundError:
            known = ""  # a kernel without v1
    except OSError as error:
        raise errdefs.from_os_error("looking for control groups", error) from error
    found = [one._replace(mount=root + one.mount) for one in hierarchies.parse(mountinfo, known)]
    v1 = [one for one in found if not one.unified]
    if any(not name.startswith("name=") for one in v1 for name in one.controllers):
        return CgroupsV1(v1)
    for one in found:
        if one.unified:
            return CgroupsV2(one.mount)
    raise errdefs.unavailable(
        "no control groups are mounted, which containers need: mount cgroup2 at /sys/fs/cgroup"
        " (mount -t cgroup2 cgroup2 /sys/fs/cgroup)"
    )
