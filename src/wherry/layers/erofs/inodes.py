"""The inodes of a layer in the making, as bytes from the first moment: that is all they take."""

from typing import Final

from wherry.layers.erofs.format import (
    BLOCK,
    CHUNKED,
    INLINE,
    INODE,
    INODE_ALIGN,
    NLINK_AT,
    PLAIN,
    aligned,
)

_SECOND: Final = 1_000_000_000
_ROOM_INLINE: Final = BLOCK - INODE.size


class InodeTable:
    """Inodes one after another. A position is relative to the table's own beginning, which will
    lie at a block's; each inode begins at a multiple of INODE_ALIGN."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(
        self,
        mode: int,
        size: int,
        address: int,
        uid: int,
        gid: int,
        mtime_ns: int,
        xattrs: bytes = b"",
        form: int = PLAIN,
        nlink: int = 1,
    ) -> int:
        """The position of a new inode. `mode` has the type of file, `xattrs` are encoded."""
        data = self.data
        position = len(data)
        seconds, nanoseconds = divmod(mtime_ns, _SECOND)
        data += INODE.pack(
            form,
            xattr_count(xattrs) if xattrs else 0,
            mode,
            0,
            size,
            address,
            0,
            uid,
            gid,
            seconds,
            nanoseconds,
            nlink,
        )
        if xattrs:
            data += xattrs
            data += bytes(-len(data) % INODE_ALIGN)
        return position

    def add_inline(
        self, mode: int, uid: int, gid: int, mtime_ns: int, xattrs: bytes, content: bytes
    ) -> int:
        """As `add`, for content that `fits_inline`."""
        data = self.data
        if len(data) % BLOCK + INODE.size + len(xattrs) + len(content) > BLOCK:
            data += bytes(-len(data) % BLOCK)
        position = self.add(mode, len(content), 0, uid, gid, mtime_ns, xattrs, INLINE)
        del data[position + INODE.size + len(xattrs) :]
        data += content
        data += bytes(-len(data) % INODE_ALIGN)
        return position

    def add_chunked(
        self,
        mode: int,
        size: int,
        form: int,
        uid: int,
        gid: int,
        mtime_ns: int,
        xattrs: bytes,
        index: bytes,
    ) -> tuple[int, int]:
        """As `add`, for a file with an index of the given form; also the index's position."""
        data = self.data
        position = self.add(mode, size, form, uid, gid, mtime_ns, xattrs, CHUNKED)
        at = position + INODE.size + len(xattrs)
        del data[at:]
        data += index
        data += bytes(-len(data) % INODE_ALIGN)
        return position, at

    def link(self, position: int, change: int) -> int:
        """Change how many names the inode has; how many they are then."""
        at = position + NLINK_AT
        nlink = int.from_bytes(self.data[at : at + 4], "little") + change
        self.put(at, nlink)
        return nlink

    def put(self, at: int, value: int) -> None:
        """Set a number of 32 bits."""
        self.data[at : at + 4] = value.to_bytes(4, "little")

    def mode_and_size(self, position: int) -> tuple[int, int]:
        fields = INODE.unpack_from(self.data, position)
        return fields[2], fields[4]


def fits_inline(xattrs: bytes, content: bytes) -> bool:
    """Whether an inode, its xattrs and its content have room in one block."""
    return len(xattrs) + len(content) <= _ROOM_INLINE


def xattr_count(xattrs: bytes) -> int:
    """How an inode gives the length of its xattrs: their header as one, then units of 4 bytes."""
    return (len(xattrs) - 8) // 4


def inode_size(xattrs: bytes) -> int:
    """The room that an inode without content takes in a table."""
    return aligned(INODE.size + len(xattrs), INODE_ALIGN)
