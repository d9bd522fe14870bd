"""A tree of some of the host's files, with the reason for each, and the layer that it makes.

A path is taken with every symlink on the way to it (`/bin` is one on many hosts), so that it means
the same in the image. Owners and directories' times are set to nothing in particular: equal files
make an equal layer.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator
from typing import Final

from wherry import errdefs
from wherry.layers.tar import DIRECTORY, FILE, SYMLINK, Entry, encode

_SECOND: Final = 1_000_000_000
_LINKS_MAX: Final = 40
_BLOCK: Final = 512
_PIECE: Final = 1 << 18


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """An entry, with why it is there, and its content: bytes, or the path of the host's file.

    `group` is the directory that it came with, if it came with one.
    """

    entry: Entry
    why: str
    content: bytes | str = b""
    group: str = ""

    @property
    def path(self) -> str:
        return "/" + os.fsdecode(self.entry.name)


class HostTree:
    """What the layer will hold, by absolute path. What is there first stays, with its reason."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._nodes

    def has(self, path: str) -> bool:
        """Whether there is something at a path, by the links that the tree has."""
        parent, name = os.path.split(path)
        return os.path.join(self._settled(parent), name) in self

    def __len__(self) -> int:
        return len(self._nodes)

    def nodes(self) -> list[Node]:
        """Sorted by path, as they will be in the layer."""
        return [node for _, node in sorted(self._nodes.items())]

    def add_directory(self, path: str, why: str = "", mode: int = 0o755, group: str = "") -> None:
        self._add(self._settled(path), Entry(b"", DIRECTORY, mode=mode), why, group=group)

    def add_file(self, path: str, content: bytes, why: str, mode: int = 0o644) -> None:
        """A file that is made here."""
        entry = Entry(b"", FILE, mode=mode, size=len(content))
        self._add(self._settled(path), entry, why, content)

    def add_link(self, path: str, target: str, why: str, group: str = "") -> None:
        parent, name = os.path.split(path)
        entry = Entry(b"", SYMLINK, mode=0o777, link=os.fsencode(target))
        self._add(os.path.join(self._settled(parent), name), entry, why, group=group)

    def add_from_host(self, path: str, why: str, group: str = "") -> str:
        """The file at an absolute path, and all links that lead to it; answers its real path.

        It may be read by all, and executed if the host's may: bits that lend rights (set-user-ID)
        and file capabilities stay behind. Raises NotFound, or InvalidArgument for what is neither
        a file nor a link to one.
        """
        real = self.add_links_to(path, why, group)
        status = _status(real, path)
        mode = 0o755 if status.st_mode & 0o111 else 0o644
        self._add_copy(real, real, status, mode, why, group)
        return real

    def add_copy(self, source: str, path: str, why: str, group: str = "") -> None:
        """The host's file at `source` as `path`, with its permissions for owner, group, others."""
        status = _status(source, source)
        self._add_copy(self._settled(path), source, status, status.st_mode & 0o777, why, group)

    def add_links_to(self, path: str, why: str, group: str = "") -> str:
        """Add every link on the way to an absolute path; answers the path without links."""
        at = "/"
        names = _parts(path)
        followed = 0
        while names:
            name = names.pop(0)
            here = os.path.normpath(os.path.join(at, name))
            if name != ".." and os.path.islink(here):
                followed += 1
                if followed > _LINKS_MAX:
                    raise errdefs.invalid(f"{path} leads through more than {_LINKS_MAX} links")
                target = os.readlink(here)
                self.add_link(here, target, why, group)
                names = _parts(target) + names
                here = "/" if target.startswith("/") else at
            at = here
        return at

    def layer_size(self) -> int:
        """How many bytes `layer` yields."""
        sizes = (len(encode(node.entry)) + _padded(node.entry.size) for node in self.nodes())
        return sum(sizes) + 2 * _BLOCK

    def layer(self) -> Iterator[bytes]:
        """The layer's tar, in pieces. Raises Conflict if a file changes meanwhile."""
        waiting: list[bytes] = []
        size = 0
        for node in self.nodes():
            for piece in _pieces(node):
                waiting.append(piece)
                size += len(piece)
                if size >= _PIECE:
                    yield b"".join(waiting)
                    waiting.clear()
                    size = 0
        waiting.append(bytes(2 * _BLOCK))
        yield b"".join(waiting)

    def _add_copy(
        self, path: str, source: str, status: os.stat_result, mode: int, why: str, group: str
    ) -> None:
        # The time stays: Python compares it with what its compiled files remember.
        mtime = max(int(status.st_mtime), 0) * _SECOND
        entry = Entry(b"", FILE, mode=mode, mtime_ns=mtime, size=status.st_size)
        self._add(path, entry, why, source, group)

    def _add(
        self, path: str, entry: Entry, why: str, content: bytes | str = b"", group: str = ""
    ) -> None:
        if path == "/" or path in self._nodes:
            return
        for parent in _above(path):
            if parent not in self._nodes:
                above = Entry(_name(parent), DIRECTORY, mode=0o755)
                self._nodes[parent] = Node(above, "", b"", group)
        self._nodes[path] = Node(dataclasses.replace(entry, name=_name(path)), why, content, group)

    def _settled(self, path: str) -> str:
        """Where a path leads in this tree, by the links that it has."""
        at = "/"
        names = _parts(path)
        followed = 0
        while names:
            name = names.pop(0)
            here = os.path.normpath(os.path.join(at, name))
            node = self._nodes.get(here)
            if node is not None and node.entry.kind == SYMLINK:
                followed += 1
                if followed > _LINKS_MAX:
                    raise errdefs.invalid(f"{path} leads through more than {_LINKS_MAX} links")
                target = os.fsdecode(node.entry.link)
                names = _parts(target) + names
                here = "/" if target.startswith("/") else at
            at = here
        return at


def _pieces(node: Node) -> Iterator[bytes]:
    yield encode(node.entry)
    size = node.entry.size
    if isinstance(node.content, bytes):
        yield node.content
    else:
        try:
            with open(node.content, "rb") as file:
                left = size
                while left and (piece := file.read(min(left, _PIECE))):
                    yield piece
                    left -= len(piece)
        except OSError as error:
            raise errdefs.from_os_error(f"reading {node.content}", error) from error
        if left:
            raise errdefs.conflict(f"{node.content} became shorter while it was read")
    yield bytes(_padded(size) - size)


def _status(real: str, path: str) -> os.stat_result:
    try:
        status = os.stat(real)
    except OSError as error:
        raise errdefs.not_found(f"{path} is not on this host") from error
    if not stat.S_ISREG(status.st_mode):
        raise errdefs.invalid(f"{path} is not a regular file")
    return status


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _parts(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _above(path: str) -> Iterator[str]:
    parent = os.path.dirname(path)
    while parent != "/":
        yield parent
        parent = os.path.dirname(parent)


def _name(path: str) -> bytes:
    return os.fsencode(path[1:])
