"""Work of a build that blocks, in a thread that can be stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from wherry import errdefs
from wherry.layers.tar import Readable

T = TypeVar("T")


class Stop:
    """Tells a thread that nobody wants its work any more."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def set(self) -> None:
        self._stopped.set()

    def check(self) -> None:
        """Raises Unavailable if the work is to stop."""
        if self._stopped.is_set():
            raise errdefs.unavailable("the build was cancelled")

    def watch(self, stream: Readable) -> Readable:
        """The stream, which fails at the next read when the work is to stop."""
        return _Watched(stream, self)


class _Watched:
    def __init__(self, stream: Readable, stop: Stop) -> None:
        self._stream = stream
        self._stop = stop

    def read(self, size: int, /) -> bytes:
        self._stop.check()
        return self._stream.read(size)


async def in_thread(work: Callable[[Stop], T]) -> T:
    """Do the work in a thread. When the wait is cancelled, the work is told to stop, and the
    cancellation goes on when it has: what it used may be taken away then."""
    stop = Stop()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await finish(task)
        raise


async def finish(task: asyncio.Future[T]) -> None:
    """Wait until the task has ended, however it ends and whoever is cancelled meanwhile."""
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
    if not task.cancelled():
        task.exception()
