"""The index of an archive, made of its entries as they pass: what the tree of them is."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from wherry import errdefs
from wherry.build.context.spool import Extent, Spool
from wherry.build.context.tree import ContextTree, Item
from wherry.layers.files import Node
from wherry.layers.tar import Entry
from wherry.layers.tar.names import quoted

IMPLICIT: Final = Node("dir", 0o755)
"""A directory that an archive needs and does not mention, as who unpacks it makes it."""

_NO_XATTRS: Final = MappingProxyType[bytes, bytes]({})
_BUDGET: Final = 512 << 20
_COST: Final = 400  # bytes of memory for an entry, without its names
_COST_OF_EXTENT: Final = 160


class Index:
    """Takes entries in the archive's order; what comes later under a name replaces what was there.

    A name whose parent is no directory is refused, whatever an unpacking program would do: the
    same bytes must not mean different files. So is a hardlink to what has not come before it.
    Memory is bounded: an archive whose index would take over 512 MiB, which is over a million
    files, is refused.
    """

    def __init__(self) -> None:
        self._root = IMPLICIT
        self._directories: dict[bytes, dict[bytes, Item]] = {b"": {}}
        self._spent = 0

    def add(self, entry: Entry) -> None:
        """Raises InvalidArgument with the name of an entry that has no place in the tree."""
        path = entry.name
        self._spend(len(path) + len(entry.link))
        if not path:
            self._root = self._node(entry)
            return
        parent, _, name = path.rpartition(b"/")
        children = self._directories.get(parent)
        if children is None:
            children = self._make(parent, path)
        if entry.kind == "hardlink":
            self._link(children, name, entry)
            return
        item = Item(self._node(entry), entry.offset, self._extents(entry))
        before = children.get(name)
        if before is not None and self._replaced(path, before, item):
            return
        children[name] = item
        if entry.kind == "dir":
            self._directories[path] = {}

    def tree(self, spool: Spool) -> ContextTree:
        """Of all that was added; nothing can be added afterwards."""
        return ContextTree(spool, self._root, self._directories)

    def _spend(self, size: int) -> None:
        self._spent += _COST + size
        if self._spent > _BUDGET:
            raise errdefs.invalid(
                f"the index of its files would take over {_BUDGET >> 20} MB of memory: leave out"
                " what the build does not need, by .dockerignore"
            )

    def _node(self, entry: Entry) -> Node:
        assert entry.kind != "hardlink"
        xattrs = entry.xattrs
        if xattrs:
            self._spend(sum(len(name) + len(value) + _COST for name, value in xattrs.items()))
        return Node(
            entry.kind,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.mtime_ns,
            entry.size,
            entry.link,
            entry.major,
            entry.minor,
            xattrs or _NO_XATTRS,
        )

    def _extents(self, entry: Entry) -> tuple[Extent, ...]:
        if entry.sparse is None:
            return ((0, entry.offset, entry.size),) if entry.size else ()
        self._spend(len(entry.sparse) * _COST_OF_EXTENT)
        extents: list[Extent] = []
        offset = entry.offset
        for start, length in entry.sparse:
            extents.append((start, offset, length))
            offset += length
        return tuple(extents)

    def _make(self, path: bytes, wanted: bytes) -> dict[bytes, Item]:
        """The directory `path`, with those above it, that no entry has mentioned."""
        missing: list[bytes] = []
        while path not in self._directories:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        children = self._directories[path]
        for path in reversed(missing):
            name = path.rpartition(b"/")[2]
            if name in children:
                raise errdefs.invalid(
                    f"tar entry {quoted(wanted)}: {quoted(path)} above it is a"
                    f" {children[name].node.kind} in the same archive, not a directory"
                )
            self._spend(2 * len(path))
            children[name] = Item(IMPLICIT, 0)
            children = self._directories[path] = {}
        return children

    def _replaced(self, path: bytes, before: Item, item: Item) -> bool:
        """Put `item` in the place of what was there under the same name; False if that is left to
        do. A directory that comes again keeps what is in it."""
        if before.node.kind == item.node.kind == "dir":
            before.node = item.node
            return True
        self._drop(path, before)
        return False

    def _drop(self, path: bytes, item: Item) -> None:
        dropped = [(path, item)]
        while dropped:
            path, item = dropped.pop()
            if item.node.kind == "dir":
                children = self._directories.pop(path)
                dropped += [(path + b"/" + name, child) for name, child in children.items()]
                continue
            item.names -= 1
            if item.names == 1:
                item.node = replace(item.node, identity=None)

    def _link(self, children: dict[bytes, Item], name: bytes, entry: Entry) -> None:
        parent, _, last = entry.link.rpartition(b"/")
        target = self._directories.get(parent, {}).get(last)
        if target is None or target.node.kind == "dir":
            what = "a directory" if target else "nothing that came before it"
            raise errdefs.invalid(
                f"tar entry {quoted(entry.name)}: it is a hardlink to {quoted(entry.link)}, which"
                f" is {what} in the archive"
            )
        before = children.get(name)
        if before is target:
            return
        if before is not None:
            self._drop(entry.name, before)
        target.names += 1
        if target.node.identity is None:
            target.node = replace(target.node, identity=target.place)
        children[name] = target
