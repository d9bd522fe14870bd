"""EROFS as it stands on the disk, as far as a layer file has it (Linux, fs/erofs/erofs_fs.h).

All numbers are little-endian. A block has 512 bytes, tar's own unit, so that a file's data can stay
where they lie in the tar. Addresses are block numbers from the file's beginning.

    superblock, at byte 1024

     0        4        8        12 13 14  16       24       32    36     40     44     48
     | magic  | 0      | compat |9 |0 |root|inodes |time=0  |ns=0 |blocks| meta | xattr|
     48              64              80       84
     | uuid          | volume name   | incompat | zeros up to 128

    inode ("extended"), at meta + 32 * nid

     0        2        4      6   8        16       20     24    28    32      40   44     48
     | format | xattrs | mode | 0 | size   | address| ino  | uid | gid | mtime | ns | nlink| 16 x 0
     64
     | xattrs, if any | a symlink's text, or the index of a file with holes

    directory: blocks of entries, sorted by name over all blocks, "." and ".." among them

     | nid (8) | where the name begins (2) | type (1) | 0 | the next entry ... | their names ... |

What is documented of the whole, and why it is so, stands in docs/erofs.md.
"""

import struct
from typing import Final

BLOCK: Final = 512
BLOCK_BITS: Final = 9
PAGE: Final = 4096

SUPERBLOCK_OFFSET: Final = 1024
SUPERBLOCK: Final = struct.Struct("<IIIBBHQQIIII16s16sI44x")
MAGIC: Final = 0xE0F5E1E2
COMPAT_MTIME: Final = 2  # each inode has its own time
INCOMPAT_CHUNKED: Final = 4  # some files have an index
MAX_BLOCKS: Final = (1 << 32) - 1

NID_SIZE: Final = 32
INODE: Final = struct.Struct("<HHHHQIIIIqII16x")
ADDRESS_AT: Final = 16  # where in an inode; a device's number is there, a file's index's form
NLINK_AT: Final = 44
INODE_ALIGN: Final = 64  # two nids: an inode never crosses a block's end

# Where the data are, with the bit that says "extended".
PLAIN: Final = 0 << 1 | 1  # from `address` on
INLINE: Final = 2 << 1 | 1  # behind the inode and its xattrs; they may not cross a block's end
CHUNKED: Final = 4 << 1 | 1  # by an index of chunks, which the address of each or HOLE
HOLE: Final = 0xFFFFFFFF

DIRENT: Final = struct.Struct("<QHBx")
FT_FILE: Final = 1
FT_DIRECTORY: Final = 2
FT_CHAR_DEVICE: Final = 3
FT_BLOCK_DEVICE: Final = 4
FT_FIFO: Final = 5
FT_SYMLINK: Final = 7

XATTR_HEADER: Final = struct.Struct("<IB7x")  # a filter that is not used, how many are shared
XATTR_ENTRY: Final = struct.Struct("<BBH")  # length of the name, its prefix's index, of the value
XATTR_PREFIXES: Final[tuple[tuple[bytes, int], ...]] = (
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
)
MAX_XATTR_VALUE: Final = 0xFFFF
MAX_XATTRS: Final = XATTR_HEADER.size + 4 * 0xFFFE


def aligned(position: int, unit: int) -> int:
    """The first multiple of `unit` that is not before `position`."""
    return position + -position % unit


def superblock(
    *, root_nid: int, inodes: int, blocks: int, metadata_block: int, uuid: bytes, chunked: bool
) -> bytes:
    """The superblock, without the checksum that EROFS leaves to choice: for blocks of 512 bytes
    fsck.erofs 1.8 crashes on it. The layer's record has one that covers it."""
    return SUPERBLOCK.pack(
        MAGIC,
        0,
        COMPAT_MTIME,
        BLOCK_BITS,
        0,
        root_nid,
        inodes,
        0,
        0,
        blocks,
        metadata_block,
        0,
        uuid,
        b"",
        INCOMPAT_CHUNKED if chunked else 0,
    )


def device_number(major: int, minor: int) -> int:
    """As Linux encodes it in 32 bits (new_encode_dev)."""
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12
