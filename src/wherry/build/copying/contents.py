"""The contents of files, in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol, runtime_checkable

from wherry import errdefs
from wherry.layers.files import FileTree
from wherry.layers.tar import Readable
from wherry.layers.tar.names import quoted

_PIECE: Final = 1 << 20


@runtime_checkable
class _Whole(Protocol):
    """A tree that can give a file at once."""

    def read(self, path: bytes) -> bytes:
        """All of a regular file, for one that fits into memory."""


class Reader:
    """Reads files of one tree, by the shortest way that it offers."""

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree
        self._read = tree.read if isinstance(tree, _Whole) else self._read_stream

    def small(self, path: bytes, size: int) -> bytes:
        """A file that fits into memory: `size` bytes, or Conflict, as the tree says so many."""
        if not size:
            return b""
        data = self._read(path)
        if len(data) != size:
            raise _short(path, size, len(data))
        return data

    def _read_stream(self, path: bytes) -> bytes:
        with self._tree.open(path) as file:
            try:
                return file.read()
            except OSError as error:
                raise errdefs.from_os_error(f"reading {quoted(path)}", error) from error

    def pieces(self, path: bytes, size: int) -> Iterator[bytes]:
        """The content of a file of any size; as `small`."""
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


def _short(path: bytes, size: int, had: int) -> errdefs.EngineError:
    return errdefs.conflict(
        f"{quoted(path)}: its size is {size} bytes, but there were {had} to read"
    )
