"""Reading an image without the kernel: to check a layer file, and to see what a mount would show.

What is read here may have been damaged, or made by an enemy. Nothing is believed: whatever leaves
the file, goes in circles, or is not as `LayerWriter` writes it raises DataLoss.
"""

import os
import stat
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from wherry import errdefs
from wherry.layers.erofs.format import (
    BLOCK,
    BLOCK_BITS,
    CHUNKED,
    COMPAT_MTIME,
    DIRENT,
    FT_BLOCK_DEVICE,
    FT_CHAR_DEVICE,
    FT_DIRECTORY,
    FT_FIFO,
    FT_FILE,
    FT_SYMLINK,
    HOLE,
    INCOMPAT_CHUNKED,
    INLINE,
    INODE,
    MAGIC,
    NID_SIZE,
    PLAIN,
    SUPERBLOCK,
    SUPERBLOCK_OFFSET,
    XATTR_ENTRY,
    XATTR_HEADER,
    XATTR_PREFIXES,
    aligned,
)

_TYPES: Final = {
    stat.S_IFREG: FT_FILE,
    stat.S_IFDIR: FT_DIRECTORY,
    stat.S_IFLNK: FT_SYMLINK,
    stat.S_IFCHR: FT_CHAR_DEVICE,
    stat.S_IFBLK: FT_BLOCK_DEVICE,
    stat.S_IFIFO: FT_FIFO,
}
_XATTR_PREFIXES: Final = {index: prefix for prefix, index in XATTR_PREFIXES}
_MAX_PATH: Final = 4096
_MAX_SYMLINK: Final = 4095
_MAX_CHUNK_BITS: Final = 31
_MAX_SIZE: Final = (1 << 63) - 1
_SECOND: Final = 1_000_000_000
_INDEX_PIECE: Final = 1 << 16
_WINDOW: Final = 4096
_NAME_AT: Final = struct.Struct("<H")
_NAME_AT_IN_DIRENT: Final = 8


class Inode(NamedTuple):
    """A file. `device` is (major, minor); `content` is where `Image.extents` begins to look."""

    nid: int
    mode: int
    size: int
    uid: int
    gid: int
    mtime_ns: int
    nlink: int
    device: tuple[int, int]
    xattrs: dict[bytes, bytes]
    layout: int
    address: int
    content: int

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


class Image:
    """The file system in the open file `fd`, which stays the caller's.

    for path, inode in Image(fd).walk():
        for offset, length in image.extents(inode):
            ...
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        # Files that are looked at one after another mostly lie so, and so do their names.
        self._window = 0, b""
        self._near = -1, b"", b"", b""  # a directory's nid; of a block: first name, last, all
        try:
            self._size = os.fstat(fd).st_size
        except OSError as error:
            raise errdefs.from_os_error("reading a layer", error) from error
        fields = SUPERBLOCK.unpack(self._read(SUPERBLOCK_OFFSET, SUPERBLOCK.size))
        magic, _, compat, bits, extensions, self.root_nid, self.inodes, *rest = fields
        blocks, start, incompat = rest[2], rest[3], rest[7]
        if (magic, compat, bits, extensions) != (MAGIC, COMPAT_MTIME, BLOCK_BITS, 0):
            raise errdefs.data_loss("the layer file has no superblock that Wherry has written")
        if incompat & ~INCOMPAT_CHUNKED or blocks * BLOCK != self._size:
            raise errdefs.data_loss("the superblock does not fit the layer file")
        self._metadata = start * BLOCK

    # --- inodes -----------------------------------------------------------------------------------

    @property
    def root(self) -> Inode:
        root = self.inode(self.root_nid)
        if not root.is_directory:
            raise _damaged(root.nid, "it is the root, but no directory")
        return root

    def inode(self, nid: int) -> Inode:
        at = self._metadata + nid * NID_SIZE
        layout, count, mode, _, size, address, _, uid, gid, seconds, nanoseconds, nlink = (
            INODE.unpack_from(*self._inode_at(at))
        )
        kind = stat.S_IFMT(mode)
        if layout not in (PLAIN, INLINE, CHUNKED) or kind not in _TYPES or not nlink:
            raise _damaged(nid, "it is no inode")
        if layout == CHUNKED and kind != stat.S_IFREG:
            raise _damaged(nid, "it has an index, but is no file")
        if size > _MAX_SIZE or (kind == stat.S_IFLNK and not 0 < size <= _MAX_SYMLINK):
            raise _damaged(nid, f"its size is {size}")
        if nanoseconds >= _SECOND:
            raise _damaged(nid, "its time has more than a second in nanoseconds")
        at += INODE.size
        length = XATTR_HEADER.size + 4 * (count - 1) if count else 0
        device = (0, 0)
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            device = address >> 8 & 0xFFF, address & 0xFF | address >> 12 & 0xFFF00
        return Inode(
            nid,
            mode,
            size,
            uid,
            gid,
            seconds * _SECOND + nanoseconds,
            nlink,
            device,
            self._xattrs(nid, self._read(at, length)) if length else {},
            layout,
            address,
            at + length,
        )

    def _inode_at(self, at: int) -> tuple[bytes, int]:
        """Bytes in which the inode at `at` is whole, and where."""
        start, window = self._window
        if not start <= at <= start + len(window) - INODE.size:
            if at + INODE.size > self._size:
                raise errdefs.data_loss(f"the layer file has nothing at byte {at}")
            start, window = at, self._read(at, min(_WINDOW, self._size - at))
            self._window = start, window
        return window, at - start

    def _xattrs(self, nid: int, data: bytes) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        _, shared = XATTR_HEADER.unpack_from(data)
        at = XATTR_HEADER.size
        if shared:
            raise _damaged(nid, "it shares xattrs")
        while at < len(data):
            length, index, size = XATTR_ENTRY.unpack_from(data, at)
            name_at = at + XATTR_ENTRY.size
            value_at = name_at + length
            at = aligned(value_at + size, 4)
            prefix = _XATTR_PREFIXES.get(index)
            if prefix is None or at > len(data):
                raise _damaged(nid, "its xattrs are damaged")
            found[prefix + data[name_at:value_at]] = data[value_at : value_at + size]
        return found

    # --- directories ------------------------------------------------------------------------------

    def names(self, directory: Inode) -> Iterator[tuple[bytes, int, int]]:
        """(name, nid, type) of each file in it, sorted, the directory and its parent included."""
        if directory.size % BLOCK or directory.layout != PLAIN:
            raise _damaged(directory.nid, "its names are not in blocks")
        before = b""
        for offset, length in self.extents(directory):
            assert offset is not None  # only an index has holes
            for at in range(offset, offset + length, BLOCK):
                for entry in self._names_in(directory.nid, self._read(at, BLOCK)):
                    if entry[0] <= before:
                        raise _damaged(directory.nid, "its names are not in order")
                    before = entry[0]
                    yield entry

    def find(self, directory: Inode, name: bytes) -> tuple[int, int] | None:
        """(nid, type) of the file `name` in it, None if there is none.

        By bisection, as the kernel does it: names are in order over all blocks.
        """
        if directory.size % BLOCK or not directory.size or directory.layout != PLAIN:
            raise _damaged(directory.nid, "its names are not in blocks")
        nid, first, last, block = self._near
        if nid != directory.nid or not first <= name <= last:
            block = self._block_for(directory, name)
        return _find_in(directory.nid, block, name)

    def _block_for(self, directory: Inode, name: bytes) -> bytes:
        """The block of the directory that has `name`, if any does."""
        start = self._inside(directory, directory.address * BLOCK, directory.size)
        low, high = 0, directory.size // BLOCK
        block = self._read(start, BLOCK)
        while high - low > 1:
            middle = (low + high) // 2
            other = self._read(start + middle * BLOCK, BLOCK)
            if _name_in(other, 0, _count_in(directory.nid, other)) <= name:
                low, block = middle, other
            else:
                high = middle
        count = _count_in(directory.nid, block)
        self._near = (
            directory.nid,
            _name_in(block, 0, count),
            _name_in(block, count - 1, count),
            block,
        )
        return block

    def _names_in(self, nid: int, block: bytes) -> Iterator[tuple[bytes, int, int]]:
        first = DIRENT.unpack_from(block)[1]
        if first % DIRENT.size or not 0 < first < BLOCK:
            raise _damaged(nid, "a block of its names is damaged")
        entries = list(DIRENT.iter_unpack(block[:first]))
        ends = [entry[1] for entry in entries[1:]]
        end = first
        for number, (child, start, kind) in enumerate(entries):
            if start != end:
                raise _damaged(nid, "a block of its names is damaged")
            if number < len(ends):
                end = ends[number]
                name = block[start:end]
            else:
                name, _, rest = block[start:].partition(b"\0")
                if rest.strip(b"\0"):
                    raise _damaged(nid, "after a block of its names comes something else")
            if not 0 < len(name) <= 255 or b"/" in name or b"\0" in name:
                raise _damaged(nid, f"it has the name {name[:60]!r}")
            yield name, child, kind

    def walk(self) -> Iterator[tuple[bytes, Inode]]:
        """Every name with its inode, a directory before what is in it; b"" is the root.

        A hardlinked file comes as often as it has names.
        """
        seen = {self.root_nid}
        names = 0
        pending = [(b"", self.root, self.root_nid)]
        yield b"", self.root
        while pending:
            path, directory, parent = pending.pop()
            dots = {b".": directory.nid, b"..": parent}
            for name, nid, kind in self.names(directory):
                names += 1
                if names * DIRENT.size > self._size:
                    raise _damaged(directory.nid, "directories share their names")
                if name in dots:
                    if (nid, kind) != (dots.pop(name), FT_DIRECTORY):
                        raise _damaged(directory.nid, f"its {name.decode()} leads elsewhere")
                    continue
                child = path + b"/" + name if path else name
                inode = self._child(directory, child, nid, kind)
                yield child, inode
                if inode.is_directory:
                    if nid in seen:
                        raise _damaged(nid, "it is in two directories")
                    seen.add(nid)
                    pending.append((child, inode, directory.nid))
            if dots:
                raise _damaged(directory.nid, "it lacks . or ..")

    def _child(self, directory: Inode, path: bytes, nid: int, kind: int) -> Inode:
        if len(path) > _MAX_PATH:
            raise _damaged(directory.nid, "its path is too long")
        return self.child(nid, kind)

    def child(self, nid: int, kind: int) -> Inode:
        """The inode that a directory has as `nid` and of the type `kind` (FT_*)."""
        inode = self.inode(nid)
        if _TYPES[stat.S_IFMT(inode.mode)] != kind:
            raise _damaged(nid, "it is of another type than its directory says")
        return inode

    # --- content ----------------------------------------------------------------------------------

    def extents(self, inode: Inode, start: int = 0) -> Iterator[tuple[int | None, int]]:
        """(offset in the layer file, length) of the content's pieces in order; None is a hole.

        `start` is the byte of the content to begin with.
        """
        if start >= inode.size or stat.S_IFMT(inode.mode) not in (
            stat.S_IFREG,
            stat.S_IFDIR,
            stat.S_IFLNK,
        ):
            return
        if inode.layout == CHUNKED:
            yield from self._chunks(inode, start)
            return
        yield self._start_of(inode) + start, inode.size - start

    def _start_of(self, inode: Inode) -> int:
        """Where the content begins that is in one piece."""
        if inode.layout == PLAIN:
            return self._inside(inode, inode.address * BLOCK, inode.size)
        if inode.content % BLOCK + inode.size > BLOCK:
            raise _damaged(inode.nid, "its content crosses a block's end")
        return self._inside(inode, inode.content, inode.size)

    def _chunks(self, inode: Inode, start: int) -> Iterator[tuple[int | None, int]]:
        if inode.address > _MAX_CHUNK_BITS:
            raise _damaged(inode.nid, "its index is of a form that is not known")
        bits = inode.address + BLOCK_BITS
        count = -(-inode.size >> bits)
        first = start >> bits
        left = inode.size - (first << bits)
        skip = start - (first << bits)
        for done in range(first, count, _INDEX_PIECE):
            piece = self._read(inode.content + 4 * done, 4 * min(_INDEX_PIECE, count - done))
            for (address,) in struct.iter_unpack("<I", piece):
                length = min(left, 1 << bits)
                left -= length
                if address == HOLE:
                    yield None, length - skip
                else:
                    yield self._inside(inode, address * BLOCK, length) + skip, length - skip
                skip = 0

    def read(self, inode: Inode, limit: int = 1 << 24) -> bytes:
        """The content, or as much of it as `limit` allows; holes are zeros."""
        if inode.layout != CHUNKED and stat.S_IFMT(inode.mode) in (stat.S_IFREG, stat.S_IFLNK):
            return self._read(self._start_of(inode), min(inode.size, limit)) if inode.size else b""
        pieces = []
        for offset, length in self.extents(inode):
            size = min(length, limit)
            pieces.append(bytes(size) if offset is None else self._read(offset, size))
            limit -= size
            if not limit:
                break
        return b"".join(pieces)

    def _inside(self, inode: Inode, offset: int, length: int) -> int:
        if offset + length > self._size:
            raise _damaged(inode.nid, "its content leaves the layer file")
        return offset

    def _read(self, offset: int, size: int) -> bytes:
        if offset + size > self._size:
            raise errdefs.data_loss(f"the layer file has nothing at byte {offset}")
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as error:
            raise errdefs.from_os_error("reading a layer", error) from error
        if len(data) != size:
            raise errdefs.data_loss(f"the layer file ends before byte {offset + size}")
        return data


def _count_in(nid: int, block: bytes) -> int:
    """How many names the block of a directory holds."""
    (first,) = _NAME_AT.unpack_from(block, _NAME_AT_IN_DIRENT)
    if first % DIRENT.size or not 0 < first < BLOCK:
        raise _damaged(nid, "a block of its names is damaged")
    return int(first) // DIRENT.size


def _name_in(block: bytes, number: int, count: int) -> bytes:
    at = number * DIRENT.size + _NAME_AT_IN_DIRENT
    (start,) = _NAME_AT.unpack_from(block, at)
    if number + 1 < count:
        (end,) = _NAME_AT.unpack_from(block, at + DIRENT.size)
        return block[start:end]
    return block[start:].partition(b"\0")[0]


def _find_in(nid: int, block: bytes, name: bytes) -> tuple[int, int] | None:
    count = _count_in(nid, block)
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        found = _name_in(block, middle, count)
        if found == name:
            child, _, kind = DIRENT.unpack_from(block, middle * DIRENT.size)
            return child, kind
        if found < name:
            low = middle + 1
        else:
            high = middle
    return None


def _damaged(nid: int, what: str) -> errdefs.EngineError:
    return errdefs.data_loss(f"the layer file is damaged at inode {nid}: {what}")
