"""Pieces as a stream."""

from __future__ import annotations

from collections.abc import Iterator


class PieceStream:
    """Reads what an iterator makes, while it makes it: a `Readable`.

    A read gives as much as is asked for, but at the end; small pieces are joined once.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self._at = 0

    def read(self, size: int, /) -> bytes:
        at = self._at
        rest = self._rest
        total = len(rest) - at
        if total >= size:
            self._at = at + size
            return rest[at : at + size]
        parts = [rest[at:]]
        for piece in self._pieces:
            parts.append(piece)
            total += len(piece)
            if total >= size:
                break
        self._rest, self._at = b"", 0
        if total > size:
            last = parts[-1]
            kept = len(last) - (total - size)
            self._rest, self._at = last, kept
            parts[-1] = last[:kept]
        return b"".join(parts)
