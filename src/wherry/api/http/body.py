"""A request's body on its way from the connection to whoever reads it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from wherry import errdefs
from wherry.api.http.lending import LentBody, Pieces
from wherry.api.http.messages import HTTPError

# Reading from the client stops above the one and goes on below the other.
HIGH_WATER = 512 * 1024
LOW_WATER = 128 * 1024


class Sender(Protocol):
    """The body's other end: the connection that it comes by."""

    def hold(self, hold: bool) -> None:
        """Stop reading from the client, or go on."""

    def invite(self) -> None:
        """Tell the client that somebody wants the body (`100 Continue`)."""

    def lend(self, arrived: Pieces) -> LentBody:
        """Have a thread read from the client, after the pieces that have `arrived`."""


class IncomingBody:
    """Pieces of a body, with the client held back while nobody reads them."""

    def __init__(self, declared: int | None, invited: bool, sender: Sender) -> None:
        """`declared` is the Content-Length, if there is one; `invited` says that the client sends
        without waiting to be asked.
        """
        self._declared = declared
        self._invited = invited
        self._sender = sender
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._held = False
        self._discards = False
        self._waiter: asyncio.Future[None] | None = None
        self.finished = False
        self._failure: Exception | None = None

    def feed(self, piece: bytes) -> None:
        if self._discards:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > HIGH_WATER and not self._held:
            self._held = True
            self._sender.hold(True)
        self._wake()

    def finish(self) -> None:
        self.finished = True
        self._wake()

    def fail(self, failure: Exception) -> None:
        """What the reader gets after the pieces that came before."""
        if not self.finished:
            self._failure = failure
            self._wake()

    def discard(self) -> None:
        """Nobody will read the rest: throw it away as it comes."""
        self._discards = True
        self._pieces.clear()
        self._size = 0
        self._release()

    async def skim(self, limit: int) -> None:
        """Throw away the rest of a body of at most `limit` bytes; of a longer one as much, or
        nothing if it says so. A client that waits to be asked for its body is not asked."""
        if not self._invited or (self._declared or 0) > limit:
            return
        with contextlib.suppress(errdefs.EngineError, HTTPError):
            async for piece in self:
                limit -= len(piece)
                if limit <= 0:
                    return

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._invite()
        while not self._pieces:
            if self.finished:
                raise StopAsyncIteration
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        piece = self._pieces.popleft()
        self._size -= len(piece)
        if self._size < LOW_WATER:
            self._release()
        return piece

    def lend(self) -> tuple[LentBody, Callable[[], None]]:
        """The body as a file for a thread, without the loop between it and the client; and what
        breaks it off for that thread, from any other.

        From then on it is read there and nowhere else. Closing it gives the connection back; the
        next request waits for that.
        """
        self._invite()
        arrived: Pieces = deque(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self.finished or self._failure is not None:
            lent = LentBody(arrived, failure=self._failure)
        else:
            lent = self._sender.lend(arrived)
        return lent, lent.abandon

    async def read(self, limit: int) -> bytes:
        if self._declared is not None and self._declared > limit:
            raise _too_large(limit)
        pieces: list[bytes] = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
        return b"".join(pieces)

    def _invite(self) -> None:
        """Once, when somebody begins to read."""
        if not self._invited:
            self._invited = True
            if not self.finished and not self._pieces:
                self._sender.invite()

    def _release(self) -> None:
        if self._held:
            self._held = False
            self._sender.hold(False)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _too_large(limit: int) -> HTTPError:
    return HTTPError(413, f"request body is larger than the {limit // 1024} KiB allowed here")
