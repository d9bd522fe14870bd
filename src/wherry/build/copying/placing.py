"""Where sources go: BuildKit's rules for what a destination means."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.build.copying.contents import Reader, stream_pieces
from wherry.build.copying.layer import PADS, Layer
from wherry.build.copying.options import GivenFile
from wherry.build.copying.ownership import Attributes
from wherry.build.copying.sources import Selected, Unit, decoded, encoded
from wherry.build.copying.unpacking import unpack
from wherry.build.copying.walking import Item, Walk
from wherry.layers.files import FileTree, Node
from wherry.layers.tar.fields import BLOCK, END_OF_ARCHIVE
from wherry.layers.tar.names import quoted

_SMALL: Final = 1 << 18


class Placing:
    """The tar of one COPY or ADD."""

    def __init__(
        self,
        target: FileTree | None,
        destination: bytes,
        slash: bool,
        attributes: Attributes,
        keyword: str,
    ) -> None:
        """`destination` is normal, and may lead through symlinks of the target. `slash`: it was
        written as a directory."""
        self._layer = Layer(target, attributes)
        self._attributes = attributes
        self._destination = destination
        self._slash = slash
        self._keyword = keyword
        self._replaceable: set[bytes] = set()

    def pieces(self, units: list[tuple[Unit, Walk | None]]) -> Iterator[bytes]:
        """The whole tar. Raises InvalidArgument where sources and target do not fit together."""
        left = len(units)
        for unit, walk in units:
            left -= 1
            if isinstance(unit, GivenFile):
                yield from self._given(unit)
            elif unit.archive:
                yield from self._unpack(unit.name, unit.tree.open(unit.path))
            elif unit.node.kind == "dir":
                assert walk is not None
                yield from self._contents(unit, walk, remember=left > 0)
            else:
                for item in walk or ():
                    yield from self._file(unit, item)
        yield from self._layer.finish()
        yield END_OF_ARCHIVE * 2

    def _begin(self, directory: bool) -> Iterator[bytes]:
        """Make what has to be there before a source comes: the destination or what is above it."""
        destination = self._destination
        if not (directory or self._slash):
            destination = destination.rpartition(b"/")[0]
        found = self._layer.where(destination)
        yield from self._layer.make_directory(found, self._attributes.new_directory())

    def _unpack(self, name: bytes, stream: BinaryIO) -> Iterator[bytes]:
        with stream:
            try:
                yield from self._begin(directory=True)
                yield from unpack(stream, self._layer, self._layer.where(self._destination))
            except errdefs.EngineError as error:
                raise errdefs.EngineError(
                    error.kind, f"unpacking {quoted(name)}: {error.message}"
                ) from error

    # --- files ------------------------------------------------------------------------------------

    def _given(self, given: GivenFile) -> Iterator[bytes]:
        if given.unpack:
            yield from self._unpack(encoded(given.name), given.open())
            return
        node = Node("file", given.mode, mtime_ns=given.mtime_ns, size=given.size)
        node = self._attributes.of(node)
        name = encoded(given.name)
        path = yield from self._place(name, node)
        yield self._layer.header(path, node)
        with given.open() as stream:
            yield from stream_pieces(stream, given.size, name)
        yield PADS[given.size % BLOCK]

    def _file(self, unit: Selected, item: Item) -> Iterator[bytes]:
        node = self._attributes.of(item.node)
        path = yield from self._place(unit.name, node)
        yield self._layer.header(path, node)
        if node.kind == "file":
            yield from Reader(unit.tree).pieces(item.path, node.size)
            yield PADS[node.size % BLOCK]

    def _place(self, name: bytes, node: Node) -> Generator[bytes, None, bytes]:
        """Find the place of a file that is called `name`; returns it."""
        layer = self._layer
        yield from self._begin(directory=False)
        path = layer.where(self._destination)
        found = layer.ground.node(path)
        if found is not None and found.kind == "dir":
            path = path + b"/" + name if path else name
            found = layer.ground.node(path)
            if found is not None and found.kind == "dir":
                raise _file_on_directory(path)
        elif path in self._replaceable:
            raise errdefs.invalid(
                f"When using {self._keyword} with more than one source file, the destination must"
                f" be a directory and end with a /: /{decoded(path)} would be written twice"
            )
        else:
            self._replaceable.add(path)
        yield from layer.make_directory(path.rpartition(b"/")[0], self._attributes.new_directory())
        yield from layer.list_above(path)
        layer.ground.put(path, node)
        return path

    # --- directories ------------------------------------------------------------------------------

    def _contents(self, unit: Selected, walk: Walk, remember: bool) -> Iterator[bytes]:
        """What is in a directory, into the destination."""
        layer = self._layer
        yield from self._begin(directory=False)
        base = layer.where(self._destination)
        found = layer.ground.node(base)
        if found is None:
            yield from layer.make_directory(base, self._attributes.new_directory())
        elif found.kind != "dir":
            raise _directory_on_file(base)
        yield from _Contents(layer, unit.tree, base, fresh=found is None).pieces(walk, remember)


class _Contents:
    """The contents of a directory on their way into another."""

    def __init__(self, layer: Layer, tree: FileTree, base: bytes, fresh: bool) -> None:
        self._layer = layer
        self._reader = Reader(tree)
        self._before = base + b"/" if base else b""
        # In a directory that was not there before, nothing can be in the way.
        self._fresh: bytes | None = self._before if fresh else None
        self._there: dict[bytes, set[bytes]] = {}
        self._links: dict[int, bytes] = {}
        self._begun = False

    def pieces(self, walk: Walk, remember: bool) -> Iterator[bytes]:
        """`remember`: something else may come to the same places. Small files are joined here, for
        each that is passed on costs as much as making it."""
        layer = self._layer
        attributes = layer.attributes.of
        batch: list[bytes] = []
        size = 0
        for item in walk:
            path = self._before + item.below
            if not self._begun:
                self._begun = True
                yield from layer.list_above(path)
            node = attributes(item.node)
            if self._fresh is None or not path.startswith(self._fresh):
                node = self._fitted(path, node, item)
            if node.kind != "file":
                batch += layer.put(path, node)
                continue
            if remember:
                layer.ground.put(path, node)
            link = b"" if node.identity is None else self._linked(path, node.identity)
            batch.append(layer.header(path, node, link))
            if link:
                continue
            if node.size <= _SMALL:
                batch.append(self._reader.small(item.path, node.size))
                batch.append(PADS[node.size % BLOCK])
                size += node.size + BLOCK
                if size < _SMALL:
                    continue
            yield b"".join(batch)
            batch, size = [], 0
            if node.size > _SMALL:
                yield from self._reader.pieces(item.path, node.size)
                yield PADS[node.size % BLOCK]
        yield b"".join(batch)

    def _linked(self, path: bytes, identity: int) -> bytes:
        """Which name of the same file is in the layer already."""
        first = self._links.setdefault(identity, path)
        return b"" if first is path else first

    def _fitted(self, path: bytes, node: Node, item: Item) -> Node:
        """The node, after a look at what is in its way."""
        parent, _, name = path.rpartition(b"/")
        names = self._there.get(parent)
        if names is None:
            names = self._there[parent] = self._layer.ground.names(parent)
        found = self._layer.ground.node(path) if name in names else None
        if node.kind != "dir":
            if found is not None and found.kind == "dir":
                raise _file_on_directory(path)
        elif found is None:
            self._fresh = path + b"/"
        elif found.kind != "dir":
            raise _directory_on_file(path)
        elif item.implied:
            # It was not asked for: only its mode is taken, as BuildKit does.
            return replace(found, mode=item.node.mode)
        return node


def _file_on_directory(path: bytes) -> errdefs.EngineError:
    return errdefs.invalid(f"cannot replace to directory /{decoded(path)} with file")


def _directory_on_file(path: bytes) -> errdefs.EngineError:
    return errdefs.invalid(f"cannot copy to non-directory: /{decoded(path)}")
