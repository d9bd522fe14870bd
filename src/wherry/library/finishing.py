"""Changes that are not left half done when whoever asked for them is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def whole(work: Coroutine[Any, Any, T], undo: Callable[[T], Coroutine[Any, Any, None]]) -> T:
    """Await `work` to its end. Cancelled meanwhile, `undo` what it has made, and be cancelled then.

    For changes that are short.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await ended(task)
        if not task.cancelled() and task.exception() is None:
            await ended(asyncio.create_task(undo(task.result())))
        raise


async def ended(task: asyncio.Task[T], hurry: Callable[[], None] | None = None) -> bool:
    """Return when the task has ended, however often the caller is cancelled meanwhile.

    Whether it was; each time `hurry` is called. The task's result is for the caller to look at.
    """
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
            if hurry is not None:
                hurry()
    return cancelled
