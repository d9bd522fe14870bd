"""Mount options as the OCI runtime specification (config-linux.md, "Mounts") writes them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from wherry.linux import syscalls as sc
from wherry.linux.mounts import unescaped

# option -> (attribute bits to set, to clear)
_ATTRIBUTES = {
    "ro": (sc.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, sc.MOUNT_ATTR_RDONLY),
    "nosuid": (sc.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, sc.MOUNT_ATTR_NOSUID),
    "nodev": (sc.MOUNT_ATTR_NODEV, 0),
    "dev": (0, sc.MOUNT_ATTR_NODEV),
    "noexec": (sc.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, sc.MOUNT_ATTR_NOEXEC),
    "noatime": (sc.MOUNT_ATTR_NOATIME, sc.MOUNT_ATTR__ATIME),
    "relatime": (0, sc.MOUNT_ATTR__ATIME),
    "atime": (0, sc.MOUNT_ATTR__ATIME),
    "strictatime": (sc.MOUNT_ATTR_STRICTATIME, sc.MOUNT_ATTR__ATIME),
    "nodiratime": (sc.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, sc.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (sc.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, sc.MOUNT_ATTR_NOSYMFOLLOW),
}
_PROPAGATION = {
    "private": sc.MS_PRIVATE,
    "rprivate": sc.MS_PRIVATE | sc.MS_REC,
    "shared": sc.MS_SHARED,
    "rshared": sc.MS_SHARED | sc.MS_REC,
    "slave": sc.MS_SLAVE,
    "rslave": sc.MS_SLAVE | sc.MS_REC,
    "unbindable": sc.MS_UNBINDABLE,
    "runbindable": sc.MS_UNBINDABLE | sc.MS_REC,
}
_NOTHING = frozenset(("defaults", "bind", "rbind", "async", "norelatime", "remount"))


def propagation(name: str) -> int:
    """The MS_* bits of a propagation's name. Raises KeyError if it is none."""
    return _PROPAGATION[name]


@dataclass
class MountOptions:
    """What a mount's options ask for; `data` is what only the file system understands."""

    bind: bool = False
    recursive: bool = False
    attr_set: int = 0
    attr_clear: int = 0
    recursive_set: int = 0
    recursive_clear: int = 0
    propagation: int = 0
    data: list[str] = field(default_factory=list)

    @property
    def read_only(self) -> bool:
        return bool(self.attr_set & sc.MOUNT_ATTR_RDONLY)


def parse(options: Sequence[str]) -> MountOptions:
    """Later options win over earlier ones, as mount(8) reads them."""
    parsed = MountOptions()
    for option in options:
        if option in _ATTRIBUTES:
            on, off = _ATTRIBUTES[option]
            parsed.attr_set = parsed.attr_set & ~off | on
            parsed.attr_clear = parsed.attr_clear & ~on | off
        elif option[:1] == "r" and option[1:] in _ATTRIBUTES:
            on, off = _ATTRIBUTES[option[1:]]
            parsed.recursive_set = parsed.recursive_set & ~off | on
            parsed.recursive_clear = parsed.recursive_clear & ~on | off
        elif option in _PROPAGATION:
            parsed.propagation = _PROPAGATION[option]
        elif option not in _NOTHING:
            parsed.data.append(option)
        if option in ("bind", "rbind"):
            parsed.bind = True
            parsed.recursive = option == "rbind"
    return parsed


def mount_point_of(path: str, mountinfo: str) -> str:
    """The mount point that `path` (absolute, resolved) lies on, by the text of mountinfo(5)."""
    best = "/"
    for line in mountinfo.splitlines():
        point = unescaped(line.split(" ")[4])
        if os.path.commonpath((point, path)) == point and len(point) >= len(best):
            best = point
    return best
