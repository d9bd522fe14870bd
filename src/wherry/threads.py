"""Where blocking work is done: in threads of the engine's own, where somebody else's program is.

`asyncio.to_thread` uses the loop's default executor. In a daemon that is the daemon's; in a program
it is the program's, which may have filled it, perhaps with work that waits for a container: then
nothing would ever go on.
"""

import asyncio
import contextlib
import contextvars
import functools
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 64
"""At most; they come into being when they are needed. An upload that stands still has one."""


@dataclass
class _Pool:
    executor: ThreadPoolExecutor
    users: int = 0


_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = weakref.WeakKeyDictionary()


async def to_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """As `asyncio.to_thread`, in the loop's threads of `own_threads` if there are any."""
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    context = contextvars.copy_context()
    call = functools.partial(context.run, function, *args, **kwargs)
    return await loop.run_in_executor(pool.executor if pool else None, call)


@contextlib.asynccontextmanager
async def own_threads() -> AsyncIterator[None]:
    """Threads for `to_thread` on this loop, shared by all who are inside.

    The last who leaves waits until they have ended.
    """
    loop = asyncio.get_running_loop()
    pool = _pools.setdefault(loop, _Pool(ThreadPoolExecutor(_THREADS, "wherry")))
    pool.users += 1
    try:
        yield
    finally:
        pool.users -= 1
        if not pool.users:
            del _pools[loop]
            await _ended(loop, pool.executor)


async def _ended(loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor) -> None:
    ended = asyncio.Event()

    def wait() -> None:
        executor.shutdown()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(ended.set)

    waiting = threading.Thread(target=wait, name="wherry-end", daemon=True)
    waiting.start()
    await ended.wait()
    waiting.join()
