"""A tree of files as one tar: what `--output type=local` and `type=tar` give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wherry import errdefs
from wherry.layers.files import FileTree, Node, walk
from wherry.layers.tar import Entry, encode

_CHUNK: Final = 1 << 20
_BLOCK: Final = 512


def flatten(tree: FileTree) -> Iterator[bytes]:
    """The archive's bytes, in pieces of up to about a megabyte. Names of one file are hardlinks.

    Raises Conflict for a file that becomes shorter meanwhile.
    """
    waiting: list[bytes] = []
    size = 0
    for piece in _pieces(tree):
        waiting.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    waiting.append(bytes(2 * _BLOCK))
    yield b"".join(waiting)


def _pieces(tree: FileTree) -> Iterator[bytes]:
    first_names: dict[int, bytes] = {}
    for path, node in walk(tree):
        if node.kind != "dir" and node.identity is not None:
            first = first_names.setdefault(node.identity, path)
            if first != path:
                yield encode(Entry(path, "hardlink", link=first, mtime_ns=node.mtime_ns))
                continue
        yield encode(_entry(path, node))
        if node.kind == "file":
            yield from _content(tree, path, node.size)


def _entry(path: bytes, node: Node) -> Entry:
    return Entry(
        path,
        node.kind,
        mode=node.mode,
        uid=node.uid,
        gid=node.gid,
        mtime_ns=node.mtime_ns,
        size=node.size if node.kind == "file" else 0,
        link=node.link,
        major=node.major,
        minor=node.minor,
        xattrs=dict(node.xattrs),
    )


def _content(tree: FileTree, path: bytes, size: int) -> Iterator[bytes]:
    left = size
    if left:
        with tree.open(path) as file:
            while left and (chunk := file.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk
    if left:
        name = path.decode("utf-8", "backslashreplace")
        raise errdefs.conflict(f"{name} has {left} bytes less than it had a moment ago")
    yield bytes(-size % _BLOCK)
