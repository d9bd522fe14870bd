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
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# At most; threads come into being when they are needed.
_WORKING: Final = 64
_WAITING: Final = 256


class _Pool:
    """The threads of one loop's engines."""

    def __init__(self) -> None:
        self.working = ThreadPoolExecutor(_WORKING, "wherry")
        self.waiting = _waiting()
        self.users = 0


def _waiting() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_WAITING, "wherry-waiting")


_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = weakref.WeakKeyDictionary()
_daemons_waiting: Final = _waiting()


async def to_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """As `asyncio.to_thread`, in the loop's threads of `own_threads` if there are any."""
    pool = _pools.get(asyncio.get_running_loop())
    return await _run_in(pool.working if pool else None, function, *args, **kwargs)


async def to_waiting_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for work that waits for somebody outside, who may be as slow as they like.

    It has threads that nobody else needs.
    """
    pool = _pools.get(asyncio.get_running_loop())
    return await _run_in(pool.waiting if pool else _daemons_waiting, function, *args, **kwargs)


async def _run_in(
    executor: Executor | None, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    context = contextvars.copy_context()
    call = functools.partial(context.run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(executor, call)


@contextlib.asynccontextmanager
async def own_threads() -> AsyncIterator[None]:
    """Threads for this loop, shared by all who are inside.

    The last who leaves waits until they have ended.
    """
    loop = asyncio.get_running_loop()
    pool = _pools.setdefault(loop, _Pool())
    pool.users += 1
    try:
        yield
    finally:
        pool.users -= 1
        if not pool.users:
            del _pools[loop]
            await _ended(pool)


async def _ended(pool: _Pool) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wait() -> None:
        pool.waiting.shutdown()
        pool.working.shutdown()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(ended.set)

    waiting = threading.Thread(target=wait, name="wherry-end", daemon=True)
    waiting.start()
    await ended.wait()
    waiting.join()
