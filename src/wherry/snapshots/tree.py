"""Walking a tree that a container may be changing at the same time."""

import os
import stat
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from wherry import errdefs
from wherry.snapshots.protocol import Usage

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Item:
    """A file met on the walk: `name` in the open directory `parent`, until the walk goes on.

    `path` is relative to the tree's root, which itself is met first as ``b""``, named ``b"."``.
    """

    path: bytes
    name: bytes
    parent: int
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


class _Frame:
    """A directory that the walk is inside of."""

    def __init__(self, path: bytes, fd: int) -> None:
        self.path = path
        self.identity = _identity(os.fstat(fd))
        self.names = iter(sorted(map(os.fsencode, os.listdir(fd))))


def walk(root: int) -> Generator[Item, None, None]:
    """Every file below the directory `root`, a directory before what is in it, names in order.

    No symlink is followed, and one descriptor is open however deep the tree is: the way up goes by
    `..`, checked to be where we came from. Files that vanish under way are left out. Raises
    Conflict if a directory is moved while the walk is inside of it.
    """
    fd = os.open(".", _DIRECTORY, dir_fd=root)
    try:
        yield Item(b"", b".", fd, os.fstat(fd))
        frames = [_Frame(b"", fd)]
        while frames:
            frame = frames[-1]
            name = next(frame.names, None)
            if name is None:
                frames.pop()
                if frames:
                    fd = _replace(fd, _up(fd, frames[-1]))
                continue
            path = frame.path + b"/" + name if frame.path else name
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                yield Item(path, name, fd, status)
                if stat.S_ISDIR(status.st_mode):
                    fd = _replace(fd, os.open(name, _DIRECTORY, dir_fd=fd))
                    frames.append(_Frame(path, fd))
            except (FileNotFoundError, NotADirectoryError):
                continue
    finally:
        os.close(fd)


def usage_of(root: int) -> Usage:
    """What the tree below `root` takes, overlayfs's signs for removed files left out."""
    size = inodes = 0
    linked: set[int] = set()
    for item in walk(root):
        status = item.status
        if is_whiteout(status):
            continue
        if status.st_nlink > 1 and not item.is_directory:
            if status.st_ino in linked:
                continue
            linked.add(status.st_ino)
        inodes += 1
        if stat.S_ISREG(status.st_mode):
            size += status.st_size
    return Usage(size, inodes)


def is_whiteout(status: os.stat_result) -> bool:
    """Whether overlayfs takes the file for a removed one: character device 0/0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _up(fd: int, frame: _Frame) -> int:
    parent = os.open("..", _DIRECTORY, dir_fd=fd)
    if _identity(os.fstat(parent)) != frame.identity:
        os.close(parent)
        raise errdefs.conflict(
            f"the directory {frame.path!r} was moved while it was read; pause the container"
        )
    return parent


def _replace(old: int, new: int) -> int:
    os.close(old)
    return new


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
