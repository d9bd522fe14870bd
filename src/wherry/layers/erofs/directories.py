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


def metadata_of(tree: Tree, start: int) -> list[bytearray]:
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
    blocks, sizes = _all_blocks(directories, others_at // NID_SIZE)

    table = InodeTable()
    table.data += bytes(INODE_ALIGN)
    address = (start + others_at + aligned(len(tree.inodes.data), BLOCK)) // BLOCK
    for directory, data, size, nlink in zip(directories, encoded, sizes, nlinks, strict=True):
        table.add(
            stat.S_IFDIR | directory.mode,
            size,
            address,
            directory.uid,
            directory.gid,
            directory.mtime_ns,
            data,
            nlink=nlink,
        )
        address += size // BLOCK
    tree.overflow.resolve(tree.inodes, address)
    _pad(table.data)
    _pad(tree.inodes.data)
    return [table.data, tree.inodes.data, blocks]


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


def _all_blocks(directories: list[Directory], first_nid: int) -> tuple[bytearray, list[int]]:
    """What all directories hold, and how much of it is each one's.

    `first_nid` is that of the table of all other inodes.
    """
    blocks = bytearray()
    sizes = []
    parents = {directories[0].nid: directories[0]}
    for directory in directories:
        before = len(blocks)
        parent = parents.pop(directory.nid)
        for names in _filling_blocks(directory):
            blocks += _block(names, directory, parent, first_nid)
        sizes.append(len(blocks) - before)
        for child in directory.children.values():
            if isinstance(child, Directory):
                parents[child.nid] = directory
    return blocks, sizes


def _filling_blocks(directory: Directory) -> Iterator[list[bytes]]:
    """All names in order, as many at a time as a block takes."""
    names = sorted([b".", b"..", *directory.children])
    first = used = 0
    for number, name in enumerate(names):
        takes = DIRENT.size + len(name)
        if used + takes > BLOCK:
            yield names[first:number]
            first = number
            used = 0
        used += takes
    yield names[first:]


def _block(names: list[bytes], directory: Directory, parent: Directory, first_nid: int) -> bytes:
    fields: list[int] = []
    at = DIRENT.size * len(names)
    for name in names:
        child = directory.children.get(name)
        if type(child) is int:
            fields += (first_nid + child // INODE_ALIGN * _NIDS, at, child & _TYPE)
        else:
            other = child or (directory if name == b"." else parent)
            assert isinstance(other, Directory)
            fields += (other.nid, at, FT_DIRECTORY)
        at += len(name)
    return (_dirents(len(names)).pack(*fields) + b"".join(names)).ljust(BLOCK, b"\0")


@lru_cache(maxsize=BLOCK // DIRENT.size)
def _dirents(count: int) -> struct.Struct:
    return struct.Struct("<" + DIRENT.format.removeprefix("<") * count)


def _pad(data: bytearray) -> None:
    data += bytes(-len(data) % BLOCK)
