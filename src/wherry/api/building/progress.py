"""A build that goes on while it is told about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

from wherry import errdefs
from wherry.build.events import Built, Event

Emit = Callable[[Event], None]


class Rendering(Protocol):
    """A form in which a build tells what it does."""

    media_type: str
    begun: bool
    """Whether there is something to tell, so that an error is no answer of its own any more."""

    def take(self, event: Event) -> None: ...

    def succeed(self, built: Built) -> None: ...

    def fail(self, error: errdefs.EngineError) -> None: ...

    def next(self) -> bytes: ...

    def close(self) -> None: ...


class Progress:
    """One build, and its rendering on the way to the client.

    The build never waits for its client, who may be slow. A client that leaves cancels it.
    """

    def __init__(
        self, rendering: Rendering, build: Callable[[Emit], Coroutine[Any, Any, Built]]
    ) -> None:
        self._rendering = rendering
        self._concluded = False
        self._news = asyncio.Event()
        self._work = asyncio.create_task(build(self._emit))
        self._work.add_done_callback(lambda _: self._news.set())

    async def begin(self) -> bytes:
        """The first bytes. Raises what the build failed with before it had anything to say."""
        try:
            return await self._next()
        except BaseException:
            await self._give_up()
            raise

    async def rest(self, first: bytes) -> AsyncIterator[bytes]:
        """All bytes, beginning with those that `begin` has returned."""
        try:
            piece = first
            while piece:
                yield piece
                piece = await self._next()
        finally:
            await self._give_up()

    async def _next(self) -> bytes:
        """The next bytes; none when all is said."""
        while not (piece := self._rendering.next()) and not self._concluded:
            if self._work.done():
                self._conclude()
            else:
                self._news.clear()
                await self._news.wait()
        return piece

    def _conclude(self) -> None:
        self._concluded = True
        error = self._work.exception()
        if error is None:
            self._rendering.succeed(self._work.result())
        elif isinstance(error, errdefs.EngineError) and self._rendering.begun:
            self._rendering.fail(error)
        else:
            raise error

    def _emit(self, event: Event) -> None:
        self._rendering.take(event)
        self._news.set()

    async def _give_up(self) -> None:
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        self._rendering.close()
