"""A stream of bytes that are made while it is read."""

import io
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, BinaryIO, Final, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK: Final = 1 << 18


def open_pieces(
    pieces: Generator[bytes, None, None], close: Callable[[], None] = lambda: None
) -> BinaryIO:
    """A file of what `pieces` makes. `close` is called when it is closed, read to its end or not.

    What the generator raises, reading raises.
    """
    return cast("BinaryIO", io.BufferedReader(_Pieces(pieces, close), CHUNK))


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Generator[bytes, None, None], close: Callable[[], None]) -> None:
        self._pieces = pieces
        self._close = close
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        target = memoryview(buffer)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._pieces.close()
            self._close()
        super().close()
