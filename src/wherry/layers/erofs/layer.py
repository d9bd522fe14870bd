"""A layer file: the tar byte for byte, and around it what makes it a file system.

    0          1024           4096                         a multiple of 4096
    | record   | superblock   | the tar, byte for byte | 0 | metadata | overflow |
    `-- ours, EROFS leaves these bytes alone

The record says what the file holds, with the digests that it can be checked by; its own checksum
covers the superblock too. Both are written last: before that, the file is neither a layer nor a
file system.
"""

import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from typing import Final

from wherry import errdefs
from wherry.layers.erofs.directories import ROOT_NID, metadata_of
from wherry.layers.erofs.format import (
    BLOCK,
    MAX_BLOCKS,
    PAGE,
    SUPERBLOCK,
    SUPERBLOCK_OFFSET,
    aligned,
    superblock,
)
from wherry.layers.erofs.tree import Tree
from wherry.layers.tar import Readable, TarReader
from wherry.layers.tar.names import quoted
from wherry.linux.sync import start_writing
from wherry.spec.digest import Digest

TAR_OFFSET: Final = 4096  # a file system can share whole blocks of a file only (FICLONERANGE)
MAX_ENTRIES: Final = 4_000_000

_RECORD: Final = struct.Struct("<16sIIQQQQQ32s32s")
_CRC: Final = struct.Struct("<I")
_HEAD: Final = SUPERBLOCK_OFFSET + SUPERBLOCK.size
_MAGIC: Final = b"wherry layer\n\0\0\0"
_VERSION: Final = 1
_OPAQUE: Final = 1
_MAX_SIZE: Final = MAX_BLOCKS * BLOCK
_CHUNK: Final = 1 << 20
_WRITE_STEP: Final = 1 << 23


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """What a layer file's record says. Sizes and offsets in bytes.

    `bytes` and `inodes` are the layer's usage: the lengths of regular files, a hardlinked one
    counted once, and files of every kind, the root included and whiteouts not. `opaque_root` says
    that the layer hides all that lies under it (overlayfs does not look for that sign on a root).
    `metadata_digest` is that of all
    that follows the tar.
    """

    diff_id: Digest
    tar_size: int
    metadata_offset: int
    metadata_size: int
    bytes: int
    inodes: int
    opaque_root: bool
    metadata_digest: Digest


class LayerWriter:
    """Makes a layer file of a tar, in one pass over it.

        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        writer = LayerWriter(fd)
        writer.copy(stream)               # to its end; decompressing and hashing as it is read
        ...                               # the digest is what it should be?
        info = writer.finish(diff_id)     # now it can be mounted
        os.fsync(fd)

    `fd` is of an empty regular file, open for reading and writing, and stays the caller's. After
    an error the file is of no use. Nothing is made durable here.
    """

    def __init__(self, fd: int, max_entries: int = MAX_ENTRIES) -> None:
        self._fd = fd
        self._tree = Tree(max_entries, TAR_OFFSET)
        self._tar_size = 0

    def copy(self, tar: Readable) -> None:
        """Write the tar to its place, and learn what is in it.

        Raises InvalidArgument naming the entry that breaks the rules (snapshots/protocol.py, "How a
        layer is read"), ResourceExhausted for too many entries or a full disk; errors of `tar`
        pass through.
        """
        tee = _Tee(tar, self._fd, TAR_OFFSET)
        tree = self._tree
        for entry in TarReader(tee):
            try:
                tree.add(entry)
            except errdefs.EngineError as error:
                raise errdefs.EngineError(
                    error.kind, f"entry {quoted(entry.name)}: {error.message}"
                ) from error
        tree.finish()
        self._tar_size = tee.at - TAR_OFFSET

    def finish(self, diff_id: Digest) -> LayerInfo:
        """Write what makes the tar a file system. The caller vouches for the tar's digest.

        The same tar gives the same file, byte for byte. Raises ResourceExhausted for a full disk.
        """
        tree = self._tree
        start = aligned(TAR_OFFSET + self._tar_size, PAGE)
        pieces = metadata_of(tree, start)
        end = start + sum(map(len, pieces))
        if end + tree.overflow.size > _MAX_SIZE:
            raise errdefs.invalid(f"a layer may have {_MAX_SIZE} bytes")
        try:
            at = start
            for piece in pieces:
                _write(self._fd, piece, at)
                at += len(piece)
            tree.overflow.write(self._fd, end)
            end += tree.overflow.size
            info = LayerInfo(
                diff_id=diff_id,
                tar_size=self._tar_size,
                metadata_offset=start,
                metadata_size=end - start,
                bytes=tree.bytes,
                inodes=tree.count,
                opaque_root=tree.root.opaque,
                metadata_digest=digest_of(self._fd, start, end - start),
            )
            filesystem = superblock(
                root_nid=ROOT_NID,
                inodes=tree.count + tree.whiteouts,
                blocks=end // BLOCK,
                metadata_block=start // BLOCK,
                uuid=bytes.fromhex(diff_id.hex)[:16],
                chunked=tree.chunked,
            )
            _write(self._fd, seal(info, filesystem), 0)
        except OSError as error:
            raise errdefs.from_os_error("writing a layer", error) from error
        return info


class _Tee:
    """The tar on its way into the file, for a reader that looks at the headers only."""

    def __init__(self, tar: Readable, fd: int, at: int) -> None:
        self._tar = tar
        self._fd = fd
        self.at = at
        self._begun = at

    def read(self, size: int, /) -> bytes:
        data = self._tar.read(size)
        if self.at + len(data) > _MAX_SIZE:
            raise errdefs.invalid(f"a layer may have {_MAX_SIZE} bytes")
        try:
            _write(self._fd, data, self.at)
        except OSError as error:
            raise errdefs.from_os_error("writing a layer", error) from error
        self.at += len(data)
        if self.at - self._begun >= _WRITE_STEP:
            # The disk is at work while the rest is read; else all of it would wait for the end.
            start_writing(self._fd, self._begun, self.at - self._begun)
            self._begun = self.at
        return data


def read_info(fd: int) -> LayerInfo:
    """What the layer file's record says.

    Raises DataLoss if there is none, if it or the superblock is damaged, or the file cut off.
    """
    try:
        head = os.pread(fd, _HEAD, 0)
        size = os.fstat(fd).st_size
    except OSError as error:
        raise errdefs.from_os_error("reading a layer", error) from error
    if len(head) < _HEAD or _CRC.unpack_from(head, _RECORD.size)[0] != _checksum(head):
        raise errdefs.data_loss("the layer file has no record, or a damaged one")
    magic, version, flags, tar_size, start, length, count, inodes, diff_id, metadata = (
        _RECORD.unpack_from(head)
    )
    if magic != _MAGIC or version != _VERSION or flags & ~_OPAQUE:
        raise errdefs.data_loss("the layer file is of another version")
    if TAR_OFFSET + tar_size > start or start + length != size:
        raise errdefs.data_loss("the layer file has not the size that its record says")
    return LayerInfo(
        diff_id=Digest.from_hex(diff_id.hex()),
        tar_size=tar_size,
        metadata_offset=start,
        metadata_size=length,
        bytes=count,
        inodes=inodes,
        opaque_root=bool(flags & _OPAQUE),
        metadata_digest=Digest.from_hex(metadata.hex()),
    )


def tar_extent(fd: int) -> tuple[int, int]:
    """(offset, size) of the tar in the layer file. Raises DataLoss."""
    return TAR_OFFSET, read_info(fd).tar_size


def digest_of(fd: int, offset: int, size: int) -> Digest:
    """The digest of a part of the file. Raises DataLoss if it ends before; may raise OSError."""
    hasher = hashlib.sha256()
    while size:
        piece = os.pread(fd, min(size, _CHUNK), offset)
        if not piece:
            raise errdefs.data_loss("the layer file ends early")
        hasher.update(piece)
        offset, size = offset + len(piece), size - len(piece)
    return Digest.from_hex(hasher.hexdigest())


def seal(info: LayerInfo, filesystem: bytes) -> bytes:
    """The beginning of a layer file: its record and the superblock."""
    record = _RECORD.pack(
        _MAGIC,
        _VERSION,
        _OPAQUE if info.opaque_root else 0,
        info.tar_size,
        info.metadata_offset,
        info.metadata_size,
        info.bytes,
        info.inodes,
        bytes.fromhex(info.diff_id.hex),
        bytes.fromhex(info.metadata_digest.hex),
    )
    head = record.ljust(SUPERBLOCK_OFFSET, b"\0") + filesystem
    return record + _CRC.pack(_checksum(head)) + head[_RECORD.size + _CRC.size :]


def _checksum(head: bytes) -> int:
    return zlib.crc32(head[SUPERBLOCK_OFFSET:], zlib.crc32(head[: _RECORD.size]))


def _write(fd: int, data: bytes | bytearray, at: int) -> None:
    written = 0
    while written < len(data):
        rest = memoryview(data)[written:] if written else data
        written += os.pwrite(fd, rest, at + written)
