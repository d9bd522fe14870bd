"""A step's output, from its shim to whoever shows it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeAlias

Stream = Literal["stdout", "stderr"]
Listener: TypeAlias = Callable[[Stream, bytes], Awaitable[None] | None]
"""Is given each piece; what it answers to is awaited, and the step's output waits meanwhile."""

_CHUNK: Final = 1 << 18
_HEADER: Final = 8
_ERRORS: Final = 2


async def relay(end: socket.socket, listener: Listener) -> None:
    """Pass on all that comes, until the shim closes its end. Nothing is kept but a frame's header,
    so that what the listener does not take stays in the socket, then in the shim, then in the pipe
    that the program writes to."""
    loop = asyncio.get_running_loop()
    frames = Frames()
    while data := await loop.sock_recv(end, _CHUNK):
        for stream, piece in frames.split(data):
            told = listener(stream, piece)
            if told is not None:
                await told
        await asyncio.sleep(0)  # one that writes without a pause must not have the loop for itself


class Frames:
    """Takes Docker's multiplexed stream apart: a header of eight bytes, then that many of data."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._stream: Stream = "stdout"

    def split(self, data: bytes) -> list[tuple[Stream, bytes]]:
        """The pieces in `data`; what is no whole header yet is kept for the next call."""
        pieces: list[tuple[Stream, bytes]] = []
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                pieces.append((self._stream, piece))
                continue
            taken = data[at : at + _HEADER - len(self._header)]
            at += len(taken)
            self._header += taken
            if len(self._header) == _HEADER:
                self._stream = "stderr" if self._header[0] == _ERRORS else "stdout"
                self._left = int.from_bytes(self._header[4:], "big")
                self._header = b""
        return pieces
