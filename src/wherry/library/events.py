"""What happens in an engine, for who listens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from wherry.engine.model import EventMessage, EventStream


class Events:
    """Events as they come, one after the other. See `AnyEngine.events`."""

    def __init__(self, listen: Callable[[], Awaitable[EventStream]]) -> None:
        self._listen = listen
        self._stream: EventStream | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventMessage:
        if self._stream is None:
            self._stream = await self._listen()
        return await anext(self._stream)

    async def aclose(self) -> None:
        """Listen no more."""
        if self._stream is not None:
            await self._stream.aclose()

    async def __aenter__(self) -> Self:
        if self._stream is None:
            self._stream = await self._listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
