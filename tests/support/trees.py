"""Pictures of directory trees, to be compared: everything that a layer keeps of its files."""

import os
import stat
from typing import NamedTuple


class Picture(NamedTuple):
    kind: str
    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    content: bytes
    xattrs: dict[str, bytes]
    names: tuple[bytes, ...]
    """All names of the file, if it has more than one."""


def picture(root: int, ghosts: bool = False) -> dict[bytes, Picture]:
    """Every file below the directory descriptor `root` by its path; the root is ``b""``.

    With `ghosts` a name that is listed though it is not there is left out: overlayfs lists a
    whiteout in a directory that nothing below is merged with, unless the layer's maker knew.
    """
    top = b"/proc/self/fd/%d" % root
    paths = [b""]
    for path in paths:
        full = os.path.join(top, path)
        if not os.path.islink(full) and os.path.isdir(full):
            names = sorted(os.listdir(full))
            if ghosts:
                names = [name for name in names if os.path.lexists(os.path.join(full, name))]
            paths += [os.path.join(path, name) for name in names]
    inodes: dict[tuple[int, int], list[bytes]] = {}
    for path in paths:
        inodes.setdefault(_identity(os.lstat(os.path.join(top, path))), []).append(path)
    return {path: _one(top, path, inodes) for path in paths}


def _one(top: bytes, path: bytes, inodes: dict[tuple[int, int], list[bytes]]) -> Picture:
    full = os.path.join(top, path)  # with a slash at the end for the root, which is a magic link
    status = os.lstat(full)
    mode = status.st_mode
    content = b""
    if stat.S_ISREG(mode):
        with open(full, "rb") as file:
            content = file.read()
    elif stat.S_ISLNK(mode):
        content = os.readlink(full)
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        content = b"%d:%d" % (os.major(status.st_rdev), os.minor(status.st_rdev))
    xattrs = {
        name: os.getxattr(full, name, follow_symlinks=False)
        for name in os.listxattr(full, follow_symlinks=False)
    }
    names = inodes[_identity(status)]
    return Picture(
        stat.filemode(mode)[0],
        stat.S_IMODE(mode),
        (status.st_uid, status.st_gid),
        status.st_mtime_ns,
        content,
        xattrs,
        tuple(names) if len(names) > 1 and not stat.S_ISDIR(mode) else (),
    )


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
