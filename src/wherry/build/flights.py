"""Work that several builds want at once, and that is done once.

    outcome = await flights.join(key, work)

The first who comes with a key starts the work; who comes while it is under way waits for the same
outcome. It is cancelled when nobody waits any more, so that a build that its client leaves takes
nothing from another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


class Flights(Generic[T]):
    """What is under way, by key."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}

    async def join(self, key: str, work: Callable[[], Coroutine[None, None, T]]) -> T:
        """The outcome of the work that has this key; it is begun if nobody has.

        Raises what the work raises, to all who wait. When the last one's wait is cancelled, this
        returns only after the work has ended.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight(asyncio.create_task(work()))
            self._flights[key] = flight
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._forget(key, flight.task)  # who comes now begins anew
                flight.task.cancel()
                await asyncio.wait([flight.task])

    def _landed(self, key: str, task: asyncio.Task[T]) -> None:
        self._forget(key, task)
        if not task.cancelled():
            task.exception()  # those who waited have it; nobody else must be told

    def _forget(self, key: str, task: asyncio.Task[T]) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]


class Pins:
    """Counts who still needs what a build has opened: its work may go on for another's sake.

    with pins:
        ...
    await pins.released()
    """

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    @property
    def held(self) -> bool:
        return self._count > 0

    async def released(self) -> None:
        """Return when nobody is left."""
        await self._none.wait()
