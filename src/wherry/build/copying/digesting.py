"""The digest of what is copied: a component of a cache key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, Protocol, runtime_checkable

from wherry.build.copying.contents import Reader
from wherry.build.copying.options import GivenFile
from wherry.build.copying.ownership import Attributes, kept_xattrs
from wherry.build.copying.sources import Unit
from wherry.build.copying.walking import Item
from wherry.layers.files import FileTree, Node

_SMALL: Final = 1 << 16


@runtime_checkable
class Hashed(Protocol):
    """A tree that knows the digests of its files, or remembers them."""

    def content_digest(self, path: bytes) -> bytes:
        """The SHA-256 (32 bytes) of a regular file's content, or what is as good as it."""


class Tally:
    """A digest in the making, and the number and the bytes of what it was made of.

    For each source, and for each file of it: its path below the destination, type, mode, owner,
    xattrs, content, text of a symlink, device, and which names are one file. Never a time, nor
    anything of the destination.
    """

    def __init__(self, attributes: Attributes) -> None:
        # The owner of new directories too, whatever files there are; and an archive's files keep
        # theirs unless they are given one.
        owner = b"%d:%d\n" % (attributes.uid, attributes.gid) if attributes.chowned else b""
        self._sha256 = hashlib.sha256(owner)
        self._attributes = attributes
        self.files = 0
        self.bytes = 0

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()

    def add(self, unit: Unit, walk: Iterable[Item]) -> None:
        """Raises what reading the source raises."""
        if isinstance(unit, GivenFile):
            node = Node("file", unit.mode, size=unit.size)
            kind, name = _kind_of(unit.unpack), unit.name.encode("utf-8", "surrogateescape")
            self._begin(kind, name)
            self._record(b"", self._attributes.of(node), unit.digest)
        elif unit.node.kind == "dir":
            self._begin(b"d", b"")
            self._tree(unit.tree, walk)
        else:
            self._begin(_kind_of(unit.archive), unit.name)
            self._tree(unit.tree, walk)

    def _begin(self, kind: bytes, name: bytes) -> None:
        self._sha256.update(b"%b %d:%b" % (kind, len(name), name))

    def _tree(self, tree: FileTree, walk: Iterable[Item]) -> None:
        contents = _Contents(tree)
        links: dict[int, bytes] = {}
        for below, path, node, implied in walk:
            content = b""
            if node.kind == "file":
                if node.identity is None:
                    content = contents.digest(path, node.size)
                else:
                    first = links.setdefault(node.identity, below)
                    if first is not below:
                        self._sha256.update(
                            b"= %d:%b %d:%b" % (len(below), below, len(first), first)
                        )
                        self.files += 1
                        continue
                    content = contents.digest(path, node.size)
            elif implied:
                content = b"implied"
            self._record(below, self._attributes.of(node), content)

    def _record(self, below: bytes, node: Node, content: bytes) -> None:
        self._sha256.update(
            b"%b %d:%b %o %d:%d %d:%b %d:%b"
            % (
                node.kind.encode(),
                len(below),
                below,
                node.mode,
                node.uid,
                node.gid,
                len(node.link),
                node.link,
                len(content),
                content,
            )
        )
        if node.kind in ("char", "block"):
            self._sha256.update(b"%d %d" % (node.major, node.minor))
        if node.xattrs:
            kept = kept_xattrs(node.xattrs)
            parts = [b"%d:%b %d:%b" % (len(n), n, len(v), v) for n, v in kept.items()]
            self._sha256.update(b"x%d " % len(parts) + b"".join(parts))
        self.files += 1
        self.bytes += node.size


def _kind_of(unpacked: bool) -> bytes:
    return b"a" if unpacked else b"f"


class _Contents:
    """Digests of a tree's files, by what the tree knows or by reading them."""

    def __init__(self, tree: FileTree) -> None:
        self._known = tree.content_digest if isinstance(tree, Hashed) else None
        self._reader = Reader(tree)

    def digest(self, path: bytes, size: int) -> bytes:
        if self._known is not None:
            return self._known(path)
        if size <= _SMALL:
            return hashlib.sha256(self._reader.small(path, size)).digest()
        sha256 = hashlib.sha256()
        for piece in self._reader.pieces(path, size):
            sha256.update(piece)
        return sha256.digest()
