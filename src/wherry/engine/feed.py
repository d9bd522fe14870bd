"""Uploads as files for worker threads: lent by who has them, or filled by the loop."""

import asyncio
import contextlib
import io
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO, Protocol, TypeVar, runtime_checkable

from wherry import errdefs
from wherry.threads import to_thread

# So much may lie between the two: enough that neither waits for each small piece.
_HIGH = 1024 * 1024
# Larger reads than this go past the buffer.
_BUFFER = 64 * 1024

Result = TypeVar("Result")


@runtime_checkable
class Lender(Protocol):
    """A source that a thread can read without the loop, which is much faster.

    `lend` gives a file for one thread to read and to close, and what breaks it off from any other:
    then reading raises InvalidArgument, as where the bytes end too early.
    """

    def lend(self) -> tuple[io.RawIOBase, Callable[[], None]]: ...


@contextlib.asynccontextmanager
async def reading(
    source: AsyncIterator[bytes], read: Callable[[BinaryIO], Result]
) -> AsyncIterator["asyncio.Task[Result]"]:
    """`read` at work in a thread, with `source` for its file.

    Leaving this before it is done breaks the upload off, and waits until the thread has noticed.
    """
    file, abandon, filling = borrow(source)
    work = asyncio.create_task(to_thread(_read_and_close, file, read))
    try:
        yield work
    finally:
        abandon()
        filling.cancel()
        await asyncio.gather(work, filling, return_exceptions=True)


def borrow(
    source: AsyncIterator[bytes],
) -> tuple[io.RawIOBase, Callable[[], None], "asyncio.Future[None]"]:
    """`source` as a file for a thread, what breaks it off, and what fills it meanwhile: the three
    that `reading` looks after."""
    if isinstance(source, Lender):
        file, abandon = source.lend()
        return file, abandon, asyncio.get_running_loop().create_future()
    feed = Feed()
    return feed, feed.abandon, asyncio.create_task(feed.fill(source))


def _read_and_close(file: io.RawIOBase, read: Callable[[BinaryIO], Result]) -> Result:
    with file, io.BufferedReader(file, _BUFFER) as upload:
        return read(upload)


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
