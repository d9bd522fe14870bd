"""A tree of some of the host's files, and the layer that it makes.

A path is taken with every symlink on the way to it (`/bin` is one on many hosts), so that it means
the same in the image. Owners and directories' times are set to nothing in particular: equal files
make an equal layer.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wherry import errdefs
from wherry.layers.tar import DIRECTORY, FILE, SYMLINK, Entry, TarWriter, Writable

_SECOND: Final = 1_000_000_000
_LINKS_MAX: Final = 40


@dataclasses.dataclass(frozen=True, slots=True)
class _Node:
    """An entry, with its content: bytes, or the host's file."""

    entry: Entry
    content: bytes | Path = b""


class HostTree:
    """What the layer will hold, by absolute path."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._nodes

    def add_directory(self, path: str, mode: int = 0o755) -> None:
        self._parents(path)
        self._nodes[path] = _Node(Entry(_name(path), DIRECTORY, mode=mode))

    def add_file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        self._parents(path)
        self._nodes[path] = _Node(Entry(_name(path), FILE, mode=mode, size=len(content)), content)

    def add_link(self, path: str, target: str) -> None:
        self._parents(path)
        self._nodes[path] = _Node(Entry(_name(path), SYMLINK, mode=0o777, link=target.encode()))

    def add_from_host(self, path: str) -> str:
        """The file at an absolute path, and all links that lead to it; answers its real path.

        Raises NotFound, or InvalidArgument for what is neither a file nor a link to one.
        """
        real = self.add_links_to(path)
        try:
            status = os.stat(real)
        except OSError as error:
            raise errdefs.not_found(f"{path} is not on this host") from error
        if not stat.S_ISREG(status.st_mode):
            raise errdefs.invalid(f"{path} is not a regular file")
        mode = 0o755 if status.st_mode & 0o111 else 0o644
        # The time stays: Python compares it with what its compiled files remember.
        mtime = int(status.st_mtime) * _SECOND
        entry = Entry(os.fsencode(real[1:]), FILE, mode=mode, mtime_ns=mtime, size=status.st_size)
        self._nodes[real] = _Node(entry, Path(real))
        return real

    def add_links_to(self, path: str) -> str:
        """Add every link on the way to an absolute path; answers the path without links."""
        at = "/"
        names = [name for name in path.split("/") if name not in ("", ".")]
        followed = 0
        while names:
            name = names.pop(0)
            here = os.path.normpath(os.path.join(at, name))
            if name != ".." and os.path.islink(here):
                followed += 1
                if followed > _LINKS_MAX:
                    raise errdefs.invalid(f"{path} leads through more than {_LINKS_MAX} links")
                target = os.readlink(here)
                self.add_link(here, target)
                names = [part for part in target.split("/") if part not in ("", ".")] + names
                here = "/" if target.startswith("/") else at
            at = here
        self._parents(at)
        return at

    def write(self, stream: Writable) -> None:
        """The layer's tar, sorted by name. Raises Conflict if a file changes meanwhile."""
        writer = TarWriter(stream)
        for path, node in sorted(self._nodes.items()):
            if isinstance(node.content, bytes):
                writer.add(node.entry, node.content)
                continue
            try:
                with node.content.open("rb") as file:
                    writer.add(node.entry, file)
            except OSError as error:
                raise errdefs.from_os_error(f"reading {path}", error) from error
        writer.finish()

    def _parents(self, path: str) -> None:
        for parent in _above(path):
            if parent not in self._nodes:
                self._nodes[parent] = _Node(Entry(_name(parent), DIRECTORY, mode=0o755))


def _above(path: str) -> Iterator[str]:
    parent = os.path.dirname(path)
    while parent != "/":
        yield parent
        parent = os.path.dirname(parent)


def _name(path: str) -> bytes:
    return os.fsencode(path[1:])
