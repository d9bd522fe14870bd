"""A container's streams while they flow: its output as it comes, and its input."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final, Protocol, Self

from wherry.library.loglines import Framer, Source

_READ: Final = 256 * 1024


class Stream(Protocol):
    """An attached stream's bytes: Docker's frames, or raw where there is a terminal."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    def write_eof(self) -> None: ...

    async def close(self) -> None: ...


class Attachment:
    """The streams of a container, from the moment on that it was attached to.

    Iterating gives (stream, bytes) as the container writes; who does not read holds the container
    back. Closing it, or leaving its `async with`, leaves the container alone.
    """

    def __init__(self, stream: Stream, *, tty: bool) -> None:
        self._stream = stream
        self._framer = None if tty else Framer()

    async def write(self, data: bytes) -> None:
        """Give it input. Waits for a container that does not read, once a megabyte is held."""
        with contextlib.suppress(ConnectionError):  # it has ended, or reads no more
            await self._stream.write(data)

    def write_eof(self) -> None:
        """End its input; its output still comes."""
        with contextlib.suppress(OSError):
            self._stream.write_eof()

    async def __aiter__(self) -> AsyncIterator[tuple[Source, bytes]]:
        while data := await self._read():
            if self._framer is None:
                yield "stdout", data
                continue
            for source, piece in self._framer.feed(data):
                yield source, piece

    async def _read(self) -> bytes:
        try:
            return await self._stream.read()
        except ConnectionError:
            return b""

    async def close(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class SocketStream:
    """A stream over a socket of our own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        try:
            return cls(*await asyncio.open_unix_connection(sock=end))
        except BaseException:
            end.close()
            raise

    async def read(self) -> bytes:
        return await self._reader.read(_READ)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def write_eof(self) -> None:
        self._writer.write_eof()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def give(attachment: Attachment, data: bytes) -> None:
    """All of a container's input."""
    await attachment.write(data)
    attachment.write_eof()


async def stay(attachment: Attachment, data: bytes = b"") -> None:
    """Stay attached until the container has ended, giving it what it is to have meanwhile."""
    async with attachment:
        if data:
            await give(attachment, data)
        async for _ in attachment:
            pass
