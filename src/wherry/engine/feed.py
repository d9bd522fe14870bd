"""A stream that the loop fills and a worker thread reads."""

import asyncio
import io
import threading
from collections import deque
from collections.abc import AsyncIterator

from wherry import errdefs

# So much may lie between the two: enough that neither waits for each small piece.
_HIGH = 1024 * 1024


class Feed(io.RawIOBase):
    """The reading end is a file for a thread; `fill` is the writing end, on the loop.

    The reader waits for bytes, the writer for room. Either may end early: `abandon` makes the
    reader's next read fail, `close` lets the writer go on into nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._room.set()
        self._arrived = threading.Condition()
        self._pieces: deque[memoryview] = deque()
        self._held = 0
        self._ended = False
        self._abandoned = False

    async def fill(self, source: AsyncIterator[bytes]) -> None:
        """Pass on all of `source`, then its end. What it raises fails the reader too."""
        try:
            async for piece in source:
                if self.closed:
                    return
                self._put(piece)
                await self._room.wait()
        except BaseException:
            self.abandon()
            raise
        with self._arrived:
            self._ended = True
            self._arrived.notify()

    def abandon(self) -> None:
        """Nothing more will come, and what came isn't all."""
        with self._arrived:
            if not self._ended:
                self._abandoned = True
            self._arrived.notify()

    def _put(self, piece: bytes) -> None:
        if not piece:
            return
        with self._arrived:
            self._pieces.append(memoryview(piece))
            self._held += len(piece)
            if self._held >= _HIGH:
                self._room.clear()
            self._arrived.notify()

    # --- the reader's side -----------------------------------------------------------------------

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        # The buffer is what BufferedReader passes: typeshed's Buffer has no len().
        with self._arrived:
            while not self._pieces:
                if self._abandoned:
                    raise errdefs.invalid("the upload was broken off")
                if self._ended:
                    return 0
                self._arrived.wait()
            piece = self._pieces.popleft()
            size = min(len(piece), len(buffer))
            buffer[:size] = piece[:size]
            if size < len(piece):
                self._pieces.appendleft(piece[size:])
            was_full = self._held >= _HIGH
            self._held -= size
            has_room = self._held < _HIGH
        if was_full and has_room:
            self._loop.call_soon_threadsafe(self._room.set)
        return size

    def close(self) -> None:
        if not self.closed:
            super().close()
            # In this order: the writer looks whether we are closed when it is woken.
            self._loop.call_soon_threadsafe(self._room.set)
