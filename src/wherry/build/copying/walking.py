"""The files of one source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from wherry.build.copying.sources import Selected, decoded
from wherry.ignore import Patterns
from wherry.layers.files import Node, walk

_KEPT: Final = 1 << 16


class Item(NamedTuple):
    """`below` is the path from where the source's contents go, b"" for a source that is a file.

    `implied` is a directory that comes only because of what is in it.
    """

    below: bytes
    path: bytes
    node: Node
    implied: bool = False


class Walk:
    """All items of a source, as often as they are wanted. A directory comes before what is in it,
    names in order; the source's own directory is no item.

    The digest goes over them, and the layer: what is not too many is kept between the two.
    """

    def __init__(self, source: Selected, excludes: Sequence[str]) -> None:
        self._source = source
        self._excludes = excludes
        self._kept: list[Item] | None = None

    def __iter__(self) -> Iterator[Item]:
        if self._kept is not None:
            return iter(self._kept)
        return self._walk()

    def _walk(self) -> Iterator[Item]:
        kept: list[Item] = []
        for item in self._chosen():
            if len(kept) < _KEPT:
                kept.append(item)
            yield item
        if len(kept) < _KEPT:
            self._kept = kept

    def _chosen(self) -> Iterator[Item]:
        source = self._source
        excludes = Patterns(self._excludes) if self._excludes else None
        if source.node.kind != "dir":
            if excludes is None or not excludes.matches(decoded(source.name)):
                yield Item(b"", source.path, source.node)
        elif excludes is None and not source.include:
            cut = len(source.path) + 1 if source.path else 0
            everything = walk(source.tree, source.path)
            next(everything, None)
            for path, node in everything:
                yield Item(path[cut:], path, node)
        else:
            include = Patterns([source.include]) if source.include else None
            yield from _filtered(source, include, excludes)


def _filtered(
    source: Selected, include: Patterns | None, exclude: Patterns | None
) -> Iterator[Item]:
    """What matches; a directory that does not comes with the first that does of what is in it."""
    cut = len(source.path) + 1 if source.path else 0
    waiting: list[Item] = []
    todo = _inside(source, source.path)
    while todo:
        path = todo.pop()
        node = source.tree.node(path)
        if node is None:
            continue
        item = Item(path[cut:], path, node)
        while waiting and not path.startswith(waiting[-1].path + b"/"):
            waiting.pop()
        if node.kind == "dir":
            todo += _inside(source, path)
        text = decoded(item.below)
        if (include is None or include.matches(text)) and not (exclude and exclude.matches(text)):
            yield from (parent._replace(implied=True) for parent in waiting)
            waiting.clear()
            yield item
        elif node.kind == "dir":
            waiting.append(item)


def _inside(source: Selected, path: bytes) -> list[bytes]:
    before = path + b"/" if path else b""
    return [before + name for name in reversed(source.tree.names(path))]
