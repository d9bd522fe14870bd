"""Work of a build that blocks, in a thread that can be stopped.

Work that waits for somebody outside has threads that nobody else needs: a client, or a server, may
be as slow as it likes.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from wherry import errdefs
from wherry.layers.tar import Readable
from wherry.threads import to_thread, to_waiting_thread

T = TypeVar("T")


class Stop:
    """Tells a thread that nobody wants its work any more."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._changing = threading.Lock()
        self._ends: list[Callable[[], None]] = []

    def set(self) -> None:
        """The work is to stop, and so is what it waits for."""
        with self._changing:
            self._stopped.set()
            for end in self._ends:
                end()

    @contextlib.contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """While the context lasts, `end` breaks off what the thread waits for: called by another
        thread, at most once. It raises nothing."""
        with self._changing:
            if self._stopped.is_set():
                end()
            self._ends.append(end)
        try:
            yield
        finally:
            with self._changing:
                self._ends.remove(end)

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


async def in_thread(work: Callable[[Stop], T], *, waits: bool = False) -> T:
    """Do the work in a thread. When the wait is cancelled, the work is told to stop, and the
    cancellation goes on when it has: what it used may be taken away then.

    `waits` says that it waits for somebody outside, who may never come.
    """
    stop = Stop()
    run = to_waiting_thread if waits else to_thread
    task = asyncio.ensure_future(run(work, stop))
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
