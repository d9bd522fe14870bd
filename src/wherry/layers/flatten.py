"""A whole tree as one archive: what `docker export` and a build's `--output type=tar` give."""

from __future__ import annotations

from collections.abc import Generator
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.layers.files import FileTree, Node, walk
from wherry.layers.pieces import CHUNK, open_pieces
from wherry.layers.tar import FILE, HARDLINK, Entry, encode
from wherry.layers.tar.names import quoted

_BLOCK: Final = 512
_END: Final = bytes(2 * _BLOCK)


def tar_of(tree: FileTree) -> BinaryIO:
    """The files of `tree` as a tar, made while it is read; the tree stays the caller's.

    Equal trees give equal bytes: names in order, hardlinks to the first name of their file. The
    root itself is not in it, so that unpacking it changes nothing of the directory that is unpacked
    into. Holes are written as zeros. Of a tree that changes meanwhile, what goes is left out, and a
    file that shrinks raises Conflict.
    """
    return open_pieces(_pieces(tree))


def _pieces(tree: FileTree) -> Generator[bytes, None, None]:
    linked: dict[int, bytes] = {}
    for path, node in walk(tree):
        if not path:
            continue
        first = linked.get(node.identity) if node.identity is not None else None
        if first is not None:
            yield encode(_entry(path, node, first))
            continue
        if node.kind == FILE and node.size:
            try:
                file = tree.open(path)
            except errdefs.EngineError as error:
                if error.kind is errdefs.Kind.NOT_FOUND:
                    continue
                raise
            with file:
                yield encode(_entry(path, node))
                yield from _content(file, path, node.size)
        else:
            yield encode(_entry(path, node))
        if node.identity is not None:
            linked[node.identity] = path
    yield _END


def _entry(path: bytes, node: Node, first: bytes | None = None) -> Entry:
    """`first` is the name that it is a hardlink to."""
    entry = Entry(path, node.kind, node.mode, node.uid, node.gid, node.mtime_ns)
    if first is not None:
        entry.kind, entry.link = HARDLINK, first
        return entry
    entry.size, entry.link = node.size, node.link
    entry.major, entry.minor = node.major, node.minor
    entry.xattrs = dict(node.xattrs)
    return entry


def _content(file: BinaryIO, path: bytes, size: int) -> Generator[bytes, None, None]:
    left = size
    while left:
        chunk = file.read(min(left, CHUNK))
        if not chunk:
            raise errdefs.conflict(
                f"{quoted(path)} changes while it is read; pause or stop the container first"
            )
        left -= len(chunk)
        yield chunk
    yield bytes(-size % _BLOCK)
