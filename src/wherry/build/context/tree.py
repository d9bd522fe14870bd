"""The files of an archive that is kept as it came, found by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

from wherry import errdefs
from wherry.build.context.spool import Content, Extent, Spool
from wherry.layers.files import FileTree, Node
from wherry.layers.tar.names import quoted

_PIECE: Final = 1 << 18


@dataclass(slots=True)
class Item:
    """What the archive holds under one name, or under several: then they share it.

    `extents` say where in the spool its data lies; `place` is another's for no other item, and
    `names` counts the names that it has.
    """

    node: Node
    place: int
    extents: tuple[Extent, ...] = ()
    names: int = 1


class ContextTree(FileTree):
    """A FileTree of the ranges of a spooled archive; see `wherry.layers.files`.

    `directories` has for the path of each directory what is in it, by name. Any number of threads
    may read.
    """

    def __init__(
        self, spool: Spool, root: Node, directories: Mapping[bytes, Mapping[bytes, Item]]
    ) -> None:
        self._spool = spool
        self._root = root
        self._directories = directories
        self._digests: dict[int, bytes] = {}

    def _item(self, path: bytes) -> Item | None:
        parent, _, name = path.rpartition(b"/")
        children = self._directories.get(parent)
        return None if children is None else children.get(name)

    def node(self, path: bytes) -> Node | None:
        if not path:
            return self._root
        item = self._item(path)
        return None if item is None else item.node

    def names(self, path: bytes) -> list[bytes]:
        children = self._directories.get(path)
        if children is None:
            raise errdefs.not_found(f"{quoted(path)} is not a directory of the build context")
        return sorted(children)

    def open(self, path: bytes) -> BinaryIO:
        item = self._file(path)
        return cast("BinaryIO", Content(self._spool, item.extents, item.node.size))

    def read(self, path: bytes) -> bytes:
        """All of a regular file, for one that fits into memory. Raises NotFound as `open`."""
        item = self._file(path)
        size = item.node.size
        if len(item.extents) == 1 and item.extents[0][2] == size:
            data = self._spool.read_at(item.extents[0][1], size)
            if len(data) == size:
                return data
        with self.open(path) as file:
            return file.read()

    def locate(self, path: bytes) -> tuple[int, int] | None:
        """(descriptor, offset) of a regular file's content; None for one with holes.

        Raises NotFound for what is no regular file.
        """
        item = self._file(path)
        if not item.node.size:
            return self._spool.fd, 0
        first = item.extents[0] if item.extents else None
        if first is None or first[0] or first[2] != item.node.size:
            return None
        return self._spool.fd, first[1]

    def content_digest(self, path: bytes) -> bytes:
        """The SHA-256 (32 bytes) of a regular file's content, computed once for all its names.

        Of a file with holes it is the SHA3-256 of its map and its data: a kilobyte can say that it
        is an exabyte of zeros. Raises NotFound for what is no regular file.
        """
        item = self._file(path)
        digest = self._digests.get(item.place)
        if digest is None:
            digest = self._digests[item.place] = self._computed(item)
        return digest

    def _computed(self, item: Item) -> bytes:
        extents, size = item.extents, item.node.size
        found = hashlib.sha256()
        if size != sum(length for _, _, length in extents):
            # By another function: no file can be written whose content has the same digest.
            found = hashlib.sha3_256()
            holes = [(start, length) for start, _, length in extents]
            found.update(f"{size} {holes}\n".encode())
        for _, offset, length in extents:
            end = offset + length
            while offset < end:
                piece = self._spool.read_at(offset, min(end - offset, _PIECE))
                found.update(piece)
                offset += len(piece)
        return found.digest()

    def _file(self, path: bytes) -> Item:
        item = self._item(path) if path else None
        if item is None:
            raise errdefs.not_found(f"{quoted(path)} is not in the build context")
        if item.node.kind != "file":
            raise errdefs.not_found(f"{quoted(path)} in the build context is not a regular file")
        return item

    def close(self) -> None:
        self._spool.close()
