"""The contents of files, in pieces."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol, runtime_checkable

from wherry import errdefs
from wherry.layers.files import FileTree
from wherry.layers.tar import Readable
from wherry.layers.tar.names import quoted

_PIECE: Final = 1 << 20


@runtime_checkable
class Located(Protocol):
    """A tree of files that lie somewhere in other files, as those of an archive do."""

    def locate(self, path: bytes) -> tuple[int, int] | None:
        """(descriptor, offset) of a regular file's content, which lies there whole and as it is.

        None where it does not: it has holes, or is compressed.
        """


class Reader:
    """Reads files of one tree, by the shortest way that it offers."""

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree
        self._locate = tree.locate if isinstance(tree, Located) else None

    def pieces(self, path: bytes, size: int) -> Iterator[bytes]:
        """The content: `size` bytes, or Conflict, as the tree says that it has as many."""
        found = self._locate(path) if self._locate else None
        if found is not None:
            return _of_range(*found, size, path)
        return self._of_stream(path, size)

    def small(self, path: bytes, size: int) -> bytes:
        """The content of a file that fits into memory; in one read where the tree allows it."""
        if not size:
            return b""
        found = self._locate(path) if self._locate else None
        if found is not None:
            try:
                data = os.pread(found[0], size, found[1])
            except OSError as error:
                raise errdefs.from_os_error(f"reading {quoted(path)}", error) from error
            if len(data) == size:
                return data
        return b"".join(self.pieces(path, size))

    def _of_stream(self, path: bytes, size: int) -> Iterator[bytes]:
        with self._tree.open(path) as file:
            yield from stream_pieces(file, size, path)


def stream_pieces(stream: BinaryIO | Readable, size: int, path: bytes) -> Iterator[bytes]:
    """`size` bytes of a stream. Raises Conflict if there are fewer."""
    left = size
    while left:
        try:
            piece = stream.read(min(left, _PIECE))
        except OSError as error:
            raise errdefs.from_os_error(f"reading {quoted(path)}", error) from error
        if not piece:
            raise _short(path, size, size - left)
        left -= len(piece)
        yield piece


def _of_range(fd: int, offset: int, size: int, path: bytes) -> Iterator[bytes]:
    left = size
    while left:
        try:
            piece = os.pread(fd, min(left, _PIECE), offset)
        except OSError as error:
            raise errdefs.from_os_error(f"reading {quoted(path)}", error) from error
        if not piece:
            raise _short(path, size, size - left)
        offset += len(piece)
        left -= len(piece)
        yield piece


def _short(path: bytes, size: int, had: int) -> errdefs.EngineError:
    return errdefs.conflict(
        f"{quoted(path)}: its size is {size} bytes, but there were {had} to read"
    )
