"""What a route's handler is given."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from wherry.api.backends import Backend
from wherry.api.errors import JSON
from wherry.api.http.messages import Answer, Reply, Request

T = TypeVar("T")


class Pending:
    """Work that goes on although its client has left.

    A container that is being started is not left half started because somebody pressed Ctrl-C.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    async def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`, which a cancellation of the caller does not reach."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def settle(self, grace: float) -> None:
        """Wait up to `grace` seconds for all that is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a client that left has no use for it


class Call(msgspec.Struct):
    """One request that a route answers. `ref` is the name or ID in its path, "" without one."""

    request: Request
    ref: str
    version: tuple[int, int]
    backend: Backend
    pending: Pending


Handler = Callable[[Call], Awaitable[Answer]]
Route = tuple[str, str, Handler]

_encoder = msgspec.json.Encoder()


def json_reply(value: object, status: int = 200) -> Reply:
    return Reply(status, _encoder.encode(value) + b"\n", {"Content-Type": JSON})


def no_content() -> Reply:
    return Reply(204)
