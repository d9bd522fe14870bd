"""Directories below a root, opened by path without ever following a symlink."""

import os
from collections.abc import Callable
from typing import Final

from wherry import errdefs

_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Archives are written directory by directory: few open ones serve nearly every entry.
_OPEN_AT_ONCE: Final = 64


class Directories:
    """Descriptors of directories below `root`, of which the latest stay open.

    A descriptor is good until the next call. Each component is opened by itself in the directory
    before it, so a symlink in a path is an error and never a way (O_NOFOLLOW judges only the last).
    """

    def __init__(self, root: int, made: Callable[[bytes], None]) -> None:
        """`made` is told of each directory that `open` had to make: mode 0700, ours."""
        self._root = root
        self._made = made
        self._open: dict[bytes, int] = {}

    def open(self, path: bytes) -> int:
        """Missing directories are made. Raises InvalidArgument where something else is."""
        return self._descend(path, make=True)

    def find(self, path: bytes) -> int:
        """Raises FileNotFoundError, or InvalidArgument where something else is."""
        return self._descend(path, make=False)

    def forget(self, path: bytes) -> None:
        """The directory at `path` is about to go."""
        fd = self._open.pop(path, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def _descend(self, path: bytes, make: bool) -> int:
        if not path:
            return self._root
        fd = self._open.get(path)
        if fd is not None:
            return fd
        missing = [path]
        ancestor = path.rpartition(b"/")[0]
        while ancestor and ancestor not in self._open:
            missing.append(ancestor)
            ancestor = ancestor.rpartition(b"/")[0]
        fd = self._open[ancestor] if ancestor else self._root
        for step in reversed(missing):
            fd = self._step(fd, step, make)
        return fd

    def _step(self, parent: int, path: bytes, make: bool) -> int:
        name = path.rpartition(b"/")[2]
        try:
            fd = os.open(name, _FLAGS, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
            os.mkdir(name, 0o700, dir_fd=parent)
            self._made(path)
            fd = os.open(name, _FLAGS, dir_fd=parent)
        except NotADirectoryError:
            raise errdefs.invalid(f"its parent {shown(path)} is not a directory") from None
        self._keep(path, fd)
        return fd

    def _keep(self, path: bytes, fd: int) -> None:
        """The one added last is the last to go, so that it can be descended from."""
        if len(self._open) >= _OPEN_AT_ONCE:
            os.close(self._open.pop(next(iter(self._open))))
        self._open[path] = fd


def shown(path: bytes) -> str:
    """A path in an error message: quoted, one line, cut if it is absurdly long."""
    text = repr(path)[1:]
    return text if len(text) <= 200 else text[:200] + "...'"
