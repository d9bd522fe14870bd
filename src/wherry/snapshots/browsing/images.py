"""Layers of the driver `erofs`: read as the kernel would read them, where they lie."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

from wherry import errdefs
from wherry.layers.attributes import is_content
from wherry.layers.erofs import Image, Inode
from wherry.layers.erofs.format import (
    FT_BLOCK_DEVICE,
    FT_CHAR_DEVICE,
    FT_DIRECTORY,
    FT_FIFO,
    FT_FILE,
    FT_SYMLINK,
)
from wherry.layers.erofs.xattrs import OPAQUE
from wherry.layers.files import Kind, Node
from wherry.snapshots.browsing.layer import Descriptor, FileKind
from wherry.spec.digest import Digest

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_KINDS: Final[dict[int, Kind]] = {
    FT_FILE: "file",
    FT_DIRECTORY: "dir",
    FT_SYMLINK: "symlink",
    FT_CHAR_DEVICE: "char",
    FT_BLOCK_DEVICE: "block",
    FT_FIFO: "fifo",
}
_OPAQUE, _YES = OPAQUE
_REMOVED: Final = (0, 0)
_DOTS: Final = (b".", b"..")
_SMALL: Final = 1 << 16
_BUFFER: Final = 1 << 18
_NO_XATTRS: Final[dict[bytes, bytes]] = {}


class ImageLayer:
    """A layer file, open for reading. `number` is the layer's own in its stack."""

    def __init__(self, descriptor: Descriptor, diff_id: Digest, number: int) -> None:
        """Raises DataLoss if it is no layer file."""
        self.descriptor = descriptor
        self.number = number
        self._diff_id = diff_id
        try:
            self.image = Image(descriptor.fd)
        except errdefs.EngineError as error:
            raise self._named(error) from error

    @property
    def root(self) -> ImageFile:
        return ImageFile(self, self.image.root_nid, FT_DIRECTORY, "dir")

    def inode(self, nid: int, entry_type: int) -> Inode:
        try:
            return self.image.child(nid, entry_type)
        except errdefs.EngineError as error:
            raise self._named(error) from error

    def find(self, directory: Inode, name: bytes) -> ImageFile | None:
        try:
            found = self.image.find(directory, name)
        except errdefs.EngineError as error:
            raise self._named(error) from error
        return self._file(*found) if found else None

    def entries(self, directory: Inode) -> Iterator[tuple[bytes, ImageFile]]:
        try:
            for name, nid, entry_type in self.image.names(directory):
                if name not in _DOTS:
                    yield name, self._file(nid, entry_type)
        except errdefs.EngineError as error:
            raise self._named(error) from error

    def read(self, inode: Inode) -> bytes:
        try:
            return self.image.read(inode)
        except errdefs.EngineError as error:
            raise self._named(error) from error

    def pieces(self, inode: Inode, start: int) -> Iterator[tuple[int | None, int]]:
        try:
            yield from self.image.extents(inode, start)
        except errdefs.EngineError as error:
            raise self._named(error) from error

    def _file(self, nid: int, entry_type: int) -> ImageFile:
        kind: FileKind | None = _KINDS.get(entry_type)
        if kind is None:
            raise self._named(errdefs.data_loss(f"inode {nid} is of an unknown type"))
        if kind == "char" and self.inode(nid, entry_type).device == _REMOVED:
            kind = "whiteout"
        return ImageFile(self, nid, entry_type, kind)

    def _named(self, error: errdefs.EngineError) -> errdefs.EngineError:
        return errdefs.EngineError(error.kind, f"layer {self._diff_id}: {error.message}")


class ImageFile:
    """A file by what its directory says of it; its inode is read when it is asked for."""

    __slots__ = ("_entry_type", "_layer", "_nid", "kind")

    def __init__(self, layer: ImageLayer, nid: int, entry_type: int, kind: FileKind) -> None:
        self._layer = layer
        self._nid = nid
        self._entry_type = entry_type
        self.kind = kind

    def node(self) -> Node:
        layer = self._layer
        inode = layer.inode(self._nid, self._entry_type)
        entry_type = self._entry_type
        xattrs = inode.xattrs
        if xattrs:
            xattrs = {name: xattrs[name] for name in xattrs if is_content(os.fsdecode(name))}
        shared = inode.nlink > 1 and entry_type != FT_DIRECTORY
        return Node(
            _KINDS[entry_type],
            stat.S_IMODE(inode.mode),
            inode.uid,
            inode.gid,
            inode.mtime_ns,
            inode.size if entry_type == FT_FILE else 0,
            layer.read(inode) if entry_type == FT_SYMLINK else b"",
            *inode.device,
            xattrs or _NO_XATTRS,
            layer.number << 64 | self._nid if shared else None,
        )

    def directory(self) -> ImageDirectory:
        if self._entry_type != FT_DIRECTORY:
            raise errdefs.not_found("it is no directory")
        return ImageDirectory(self._layer, self._layer.inode(self._nid, FT_DIRECTORY))

    def open(self) -> BinaryIO:
        if self._entry_type != FT_FILE:
            raise errdefs.not_found("it is no regular file")
        inode = self._layer.inode(self._nid, FT_FILE)
        if inode.size <= _SMALL:
            return io.BytesIO(self._layer.read(inode))
        return io.BufferedReader(_Content(self._layer, inode), _BUFFER)


class ImageDirectory:
    __slots__ = ("_inode", "_layer", "opaque")

    def __init__(self, layer: ImageLayer, inode: Inode) -> None:
        self._layer = layer
        self._inode = inode
        self.opaque = inode.xattrs.get(_OPAQUE) == _YES

    def find(self, name: bytes) -> ImageFile | None:
        return self._layer.find(self._inode, name)

    def entries(self) -> Iterator[tuple[bytes, ImageFile]]:
        return self._layer.entries(self._inode)


class _Content(io.RawIOBase):
    """A file's content, read where it lies in the layer file, holes as zeros.

    It holds the layer file open, whatever becomes of the tree.
    """

    def __init__(self, layer: ImageLayer, inode: Inode) -> None:
        self._layer = layer
        self._inode = inode
        self._at = 0
        self._pieces = layer.pieces(inode, 0)
        self._piece: tuple[int | None, int] = None, 0  # what is left of the one that we are in

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._inode.size}[whence]
        self._at = max(0, base + offset)
        self._pieces = self._layer.pieces(self._inode, self._at)
        self._piece = None, 0
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        room = memoryview(buffer).cast("B")
        done = 0
        while done < len(room):
            offset, length = self._piece
            if not length:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._piece = piece
                continue
            part = room[done : done + length]
            count = self._fill(part, offset)
            self._piece = None if offset is None else offset + count, length - count
            done += count
        self._at += done
        return done

    def _fill(self, part: memoryview, offset: int | None) -> int:
        if offset is None:
            part[:] = bytes(len(part))
            return len(part)
        try:
            count = os.preadv(self._layer.descriptor.fd, [part], offset)
        except OSError as error:
            raise errdefs.from_os_error("reading a layer", error) from error
        if not count:
            raise errdefs.data_loss(f"the layer file ends before byte {offset + len(part)}")
        return count
