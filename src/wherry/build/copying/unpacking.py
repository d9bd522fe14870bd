"""Archives that ADD unpacks: their entries become those of the layer."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.build.copying.contents import Reader, stream_pieces
from wherry.build.copying.ground import Chroot
from wherry.build.copying.layer import PADS, Layer
from wherry.layers.compression import open_layer
from wherry.layers.files import Node, resolve
from wherry.layers.tar import Entry, Readable, TarReader
from wherry.layers.tar.fields import BLOCK, Malformed
from wherry.layers.tar.header import fields_of
from wherry.layers.tar.names import quoted

_IMPLICIT: Final = Node("dir", 0o755)


def is_archive(stream: Readable) -> bool:
    """Whether it is a tar, plain or compressed by gzip, bzip2, xz or zstd: by what it holds, as
    names say nothing. One without entries is a file like any other."""
    try:
        head = open_layer(stream).read(BLOCK)
        if len(head) < BLOCK:
            return False
        fields_of(head)
    except (errdefs.EngineError, Malformed):
        return False
    return True


def unpack(stream: BinaryIO, layer: Layer, directory: bytes) -> Iterator[bytes]:
    """The archive's files, put into the directory, which exists.

    The directory is the archive's root: neither a name nor a symlink, be it the archive's own or
    one that was there before, leads out of it. What is there is replaced, but a directory keeps
    what is in it. Owners are the archive's, if `--chown` does not say otherwise; `--chmod` is not
    for archives. Raises InvalidArgument with the entry's name.
    """
    return _Unpacking(layer, directory).pieces(TarReader(open_layer(stream), rooted=True))


class _Unpacking:
    def __init__(self, layer: Layer, directory: bytes) -> None:
        self._layer = layer
        self._root = Chroot(layer.ground, directory)

    def pieces(self, reader: TarReader) -> Iterator[bytes]:
        for entry in reader:
            if not entry.name:
                continue  # the root itself stays as it is
            try:
                path = yield from self._open(entry.name)
                if entry.kind == "hardlink":
                    yield from self._link(path, entry)
                else:
                    yield from self._put(path, entry, reader)
            except errdefs.EngineError as error:
                raise errdefs.EngineError(
                    error.kind, f"entry {quoted(entry.name)}: {error.message}"
                ) from error

    def _open(self, name: bytes) -> Generator[bytes, None, bytes]:
        """Make what is above the name; returns where in the layer it leads."""
        parent, _, last = name.rpartition(b"/")
        found = self._root.whole(resolve(self._root, parent))
        yield from self._layer.make_directory(found, _IMPLICIT)
        path = found + b"/" + last if found else last
        yield from self._layer.list_above(path)
        return path

    def _put(self, path: bytes, entry: Entry, reader: TarReader) -> Iterator[bytes]:
        node = self._node(entry)
        if node.kind != "file":
            yield from self._layer.put(path, node)
            return
        self._layer.ground.put(path, node)
        yield self._layer.header(path, node)
        yield from stream_pieces(reader, node.size, entry.name)
        yield PADS[node.size % BLOCK]

    def _node(self, entry: Entry) -> Node:
        assert entry.kind != "hardlink"
        attributes = self._layer.attributes
        uid, gid = entry.uid, entry.gid
        if attributes.chowned:
            uid, gid = attributes.uid, attributes.gid
        return Node(
            entry.kind,
            0o777 if entry.kind == "symlink" else entry.mode,
            uid,
            gid,
            entry.mtime_ns,
            entry.size,
            entry.link,
            entry.major,
            entry.minor,
            entry.xattrs,
        )

    def _link(self, path: bytes, entry: Entry) -> Iterator[bytes]:
        ground = self._layer.ground
        target = self._root.whole(resolve(self._root, entry.link, last=False))
        node = ground.node(target)
        if node is None or node.kind == "dir":
            what = "a directory" if node else "not there"
            raise errdefs.invalid(f"it is a hardlink to {quoted(entry.link)}, which is {what}")
        if target == path:
            return
        if target.startswith(path + b"/"):
            raise errdefs.invalid(
                f"it is a hardlink to {quoted(entry.link)}, which it would replace"
            )
        if ground.made(target) is None:
            yield from self._copy_up(target, node)
        ground.put(path, node)
        yield self._layer.header(path, node, target)

    def _copy_up(self, path: bytes, node: Node) -> Iterator[bytes]:
        """Bring a file of the tree below into the layer: a hardlink's target has to be in it."""
        tree = self._layer.ground.tree
        assert tree is not None
        yield from self._layer.list_above(path)
        self._layer.ground.put(path, node)
        yield self._layer.header(path, node)
        if node.kind == "file":
            yield from Reader(tree).pieces(path, node.size)
            yield PADS[node.size % BLOCK]
