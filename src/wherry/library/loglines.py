"""A container's output, as lines."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from wherry.engine.model import LogStream

Source = Literal["stdout", "stderr"]

_STREAMS: Final[dict[int, Source]] = {1: "stdout", 2: "stderr"}
_HEADER: Final = 8


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of output, without its end. `str()` of it is its text.

    `data` are the bytes as they were written; a carriage return before the end is a terminal's and
    is still there. `time` is RFC 3339 with nanoseconds if times were asked for, else "".
    """

    stream: Source
    data: bytes
    time: str = ""

    @property
    def text(self) -> str:
        """As UTF-8; what is none is replaced."""
        return self.data.decode("utf-8", "replace")

    def __str__(self) -> str:
        return self.text


async def lines(log: LogStream, *, timestamps: bool) -> AsyncGenerator[LogLine]:
    """Lines as they are complete, and at the end what has no line end."""
    joiner = _Joiner(timestamps, framed=not log.tty)
    framer = Framer()
    async with closing_early(log.chunks) as chunks:
        async for chunk in chunks:
            for stream, piece in _whole(chunk) if log.tty else framer.feed(chunk):
                for line in joiner.feed(stream, piece):
                    yield line
    for line in joiner.rest():
        yield line


@contextlib.asynccontextmanager
async def closing_early(pieces: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Closes what makes the pieces, which may hold files or a connection, at the end."""
    try:
        yield pieces
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def _whole(chunk: bytes) -> Iterator[tuple[Source, bytes]]:
    """A terminal has one stream, and no frames."""
    yield "stdout", chunk


class Framer:
    """Docker's frames in, what is in each out; a frame is an entry of the log."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Source, bytes]]:
        held = self._held
        held += data
        at = 0
        while len(held) - at >= _HEADER:
            end = at + _HEADER + int.from_bytes(held[at + 4 : at + _HEADER], "big")
            if end > len(held):
                break
            yield _STREAMS.get(held[at], "stdout"), bytes(held[at + _HEADER : end])
            at = end
        del held[:at]


class _Joiner:
    """Pieces in, lines out. A long line is several entries of the log, each with its time."""

    def __init__(self, timestamps: bool, *, framed: bool) -> None:
        self._timed_entries = timestamps and framed
        self._timed_lines = timestamps and not framed
        self._begun: dict[Source, list[bytes]] = {}
        self._times: dict[Source, str] = {}

    def feed(self, stream: Source, piece: bytes) -> Iterator[LogLine]:
        if self._timed_entries:
            time, piece = _split(piece)
            self._times.setdefault(stream, time)
        *ends, rest = piece.split(b"\n")
        begun = self._begun.setdefault(stream, [])
        for end in ends:
            yield self._line(stream, b"".join((*begun, end)))
            begun.clear()
        if rest:
            begun.append(rest)

    def rest(self) -> Iterator[LogLine]:
        for stream, begun in self._begun.items():
            if begun:
                yield self._line(stream, b"".join(begun))

    def _line(self, stream: Source, data: bytes) -> LogLine:
        if self._timed_lines:
            time, data = _split(data)
            return LogLine(stream, data, time)
        return LogLine(stream, data, self._times.pop(stream, ""))


def _split(data: bytes) -> tuple[str, bytes]:
    time, _, rest = data.partition(b" ")
    return time.decode("ascii", "replace"), rest
