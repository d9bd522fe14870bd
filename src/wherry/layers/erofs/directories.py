"""Directories as blocks of names, and the metadata of a whole tree: what follows the tar.

| directories' inodes | all other inodes | directories' blocks |
  0: unused, nid 2: the root
"""

import stat
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from wherry.layers.erofs import xattrs
from wherry.layers.erofs.format import (
    BLOCK,
    DIRENT,
    FT_DIRECTORY,
    INODE_ALIGN,
    NID_SIZE,
    aligned,
)
from wherry.layers.erofs.inodes import InodeTable, inode_size
from wherry.layers.erofs.tree import Directory, Tree

ROOT_NID: Final = INODE_ALIGN // NID_SIZE
"""Not 0: that is the number of no file, and readdir(3) skips it."""

_NIDS: Final = INODE_ALIGN // NID_SIZE
_TYPE: Final = INODE_ALIGN - 1


def metadata_of(tree: Tree, start: int) -> list[bytes | bytearray]:
    """The pieces of what follows the tar, `start` bytes into the file.

    Each is a multiple of a block long. The overflow comes right after; what refers to it is set.
    """
    directories, nlinks = _all(tree.root)
    encoded = [_xattrs_of(directory) for directory in directories]
    position = INODE_ALIGN
    for directory, data in zip(directories, encoded, strict=True):
        directory.nid = position // NID_SIZE
        position += inode_size(data)
    others_at = aligned(position, BLOCK)
    blocks_at = others_at + aligned(len(tree.inodes.data), BLOCK)

    contents = list(_contents(directories, others_at // NID_SIZE))
    table = InodeTable()
    table.data += bytes(INODE_ALIGN)
    address = (start + blocks_at) // BLOCK
    for directory, data, content, nlink in zip(directories, encoded, contents, nlinks, strict=True):
        table.add(
            stat.S_IFDIR | directory.mode,
            len(content),
            address,
            directory.uid,
            directory.gid,
            directory.mtime_ns,
            data,
            nlink=nlink,
        )
        address += len(content) // BLOCK
    tree.overflow.resolve(tree.inodes, address)
    _pad(table.data)
    _pad(tree.inodes.data)
    return [table.data, tree.inodes.data, b"".join(contents)]


def _all(root: Directory) -> tuple[list[Directory], list[int]]:
    """Every directory, a parent before its children, and how many links each has."""
    found, nlinks = [root], []
    for directory in found:
        before = len(found)
        found += [child for child in directory.children.values() if isinstance(child, Directory)]
        nlinks.append(2 + len(found) - before)
    return found, nlinks


def _xattrs_of(directory: Directory) -> bytes:
    signs = dict(directory.xattrs)
    if directory.opaque:
        signs.update((xattrs.OPAQUE,))
    if directory.has_whiteouts:
        signs.update((xattrs.ORIGIN,))
    return xattrs.encode(signs)


def _contents(directories: list[Directory], first_nid: int) -> Iterator[bytes]:
    """What each directory holds; `first_nid` is that of the table of all other inodes."""
    parents = {directories[0].nid: directories[0].nid}
    for directory in directories:
        own = directory.nid
        entries = {b".": (own, FT_DIRECTORY), b"..": (parents.pop(own), FT_DIRECTORY)}
        for name, child in directory.children.items():
            if isinstance(child, Directory):
                entries[name] = (child.nid, FT_DIRECTORY)
                parents[child.nid] = own
            else:
                nid = first_nid + child // INODE_ALIGN * _NIDS
                entries[name] = (nid, child & _TYPE)
        yield _blocks(entries)


def _blocks(entries: dict[bytes, tuple[int, int]]) -> bytes:
    """Names with their nid and type, in order, in as few blocks as take them."""
    blocks = []
    names: list[bytes] = []
    used = 0
    for name in sorted(entries):
        takes = DIRENT.size + len(name)
        if used + takes > BLOCK:
            blocks.append(_block(names, entries))
            names = []
            used = 0
        names.append(name)
        used += takes
    blocks.append(_block(names, entries))
    return b"".join(blocks)


def _block(names: list[bytes], entries: dict[bytes, tuple[int, int]]) -> bytes:
    fields: list[int] = []
    at = DIRENT.size * len(names)
    for name in names:
        nid, file_type = entries[name]
        fields += (nid, at, file_type)
        at += len(name)
    return (_dirents(len(names)).pack(*fields) + b"".join(names)).ljust(BLOCK, b"\0")


@lru_cache(maxsize=BLOCK // DIRENT.size)
def _dirents(count: int) -> struct.Struct:
    return struct.Struct("<" + DIRENT.format.removeprefix("<") * count)


def _pad(data: bytearray) -> None:
    data += bytes(-len(data) % BLOCK)
