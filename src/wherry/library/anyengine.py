"""`AnyEngine`: what a program can do with an engine, be it its own or a daemon's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Mapping,
    Sequence,
)
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack

from wherry.engine.model import EventOptions
from wherry.errdefs import EngineError
from wherry.library import building
from wherry.library.containers import Container, Containers, Moment, nanoseconds
from wherry.library.events import Events
from wherry.library.finishing import ended
from wherry.library.images import Images
from wherry.library.loglines import closing_early
from wherry.library.options import Options

if TYPE_CHECKING:
    from wherry.build.events import Built, Event, Fetchable
    from wherry.build.usage import CacheEntry
    from wherry.engine.model import AttachOptions, EventStream, SystemInfo, SystemVersion
    from wherry.library.attaching import Attachment
    from wherry.library.backend import Backend

T = TypeVar("T")

log: Final = logging.getLogger("wherry.library")


class AnyEngine(ABC):
    """An engine, as an `async with` opens it: `wherry.Engine`, or what `wherry.connect` gives.

    Leaving it stops the containers that were started through it and not detached, all at once,
    however the block ends; those that were to be removed are removed. They have `stop_timeout`
    seconds to end (None: what each was made with, or 10), and none at all if whoever leaves is
    cancelled once more. What a program leaves behind that is killed goes on, and is found by the
    next.

    Every method raises EngineError, whose `kind` says what a caller can do about it.
    """

    def __init__(self, *, stop_timeout: int | None) -> None:
        self.containers = Containers(self)
        self.images = Images(self)
        self._stop_timeout = stop_timeout
        self._kept: dict[str, Container] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._stopping: asyncio.Task[None] | None = None

    # --- what there is to do ----------------------------------------------------------------------

    async def run(
        self,
        image: str,
        command: Sequence[str] | str = (),
        *,
        name: str = "",
        detach: bool = False,
        remove: bool = False,
        input: bytes | None = None,  # noqa: A002 - subprocess's word
        platform: str = "",
        **options: Unpack[Options],
    ) -> Container:
        """Make a container and start it: it runs when this returns.

        A `command` that is a string is one word. With `remove` it goes when it ends, its log with
        it; with `detach` it goes on when the engine is left. `input` is its standard input. If the
        program can't be run, or this is cancelled, nothing is left of it.
        """
        if input is not None:
            options["stdin"] = True
        container = await self.containers.create(
            image, command, name=name, remove=remove, platform=platform, **options
        )
        try:
            await container.start(detach=detach, input=input)
        except BaseException:
            removal = asyncio.create_task(self._remove_quietly(container))
            await ended(removal)
            raise
        return container

    async def build(
        self,
        context: building.Context,
        *,
        on_event: Callable[[Event], None] | None = None,
        **options: Unpack[building.Options],
    ) -> Built:
        """Build an image, telling `on_event` what happens (`wherry.build.events`).

        Of a folder is sent what .dockerignore does not name. Raises BuildFailedError if a step has
        failed. Cancelling gives up.
        """
        prepared = await building.prepare(context, options)
        async with contextlib.AsyncExitStack() as stack:
            upload = prepared.upload
            if upload is not None:
                upload = await stack.enter_async_context(closing_early(upload))
            return await self.backend.builds.build(
                prepared.request, upload, on_event or _say_nothing
            )

    async def build_output(self, output: Fetchable) -> AsyncIterator[bytes]:
        """A result of `build` that is no image, once: a tar of files, or an archive."""
        identity = output.path.rstrip("/").removesuffix("/output").rpartition("/")[2]
        async with closing_early(self.backend.builds.output(identity)) as pieces:
            async for piece in pieces:
                yield piece

    async def build_cache(self) -> Sequence[CacheEntry]:
        """What builds have left for the next."""
        return await self.backend.builds.cache()

    def events(
        self,
        *,
        since: Moment = 0,
        until: Moment = 0,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> Events:
        """What happens, of whoever's doing, as it happens; `filters` are those of `docker events`.

        It listens from the first step of an `async for` on, or inside of an `async with`. `since`
        gives what is remembered of what has been, `until` ends it.
        """
        options = EventOptions(
            since=nanoseconds(since), until=nanoseconds(until), filters=dict(filters or {})
        )
        return Events(lambda: self.listen(options))

    async def version(self) -> SystemVersion:
        return await self.backend.system.version()

    async def info(self) -> SystemInfo:
        return await self.backend.system.info()

    # --- how it is done ---------------------------------------------------------------------------

    @property
    @abstractmethod
    def backend(self) -> Backend:
        """The engine below, in the Engine API's own words."""

    @abstractmethod
    async def attach(self, ref: str, options: AttachOptions) -> Attachment:
        """Join a container's streams; see `Container.attach`."""

    @abstractmethod
    async def listen(self, options: EventOptions) -> EventStream:
        """It listens when this returns; see `events`."""

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    async def _close(self) -> None:
        """Let go; what runs goes on. Not cancelled."""

    # --- its end ----------------------------------------------------------------------------------

    def keep(self, container: Container) -> None:
        """Stop it when the engine is left."""
        self._kept[container.id] = container

    def let_go(self, container: Container) -> None:
        """It has ended, or is to go on."""
        self._kept.pop(container.id, None)

    def in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Let work go on until it is done, or the engine is left."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        leaving = asyncio.create_task(self._leave())
        cancelled = await ended(leaving, self._hurry)
        leaving.result()
        if cancelled:
            raise asyncio.CancelledError

    def _hurry(self) -> None:
        if self._stopping is not None:
            self._stopping.cancel()

    async def _leave(self) -> None:
        """To its end, whatever is cancelled meanwhile: then what still runs is killed."""
        self._stopping = asyncio.create_task(self._settle_kept())
        await ended(self._stopping, self._hurry)
        if self._stopping.cancelled():
            await ended(asyncio.create_task(self._kill_kept()))
        self._kept.clear()
        for task in self._background:
            task.cancel()
        await ended(asyncio.create_task(_all_ended(self._background)))
        await ended(closing := asyncio.create_task(self._close()))
        closing.result()

    async def _settle_kept(self) -> None:
        settling = (one.settle(self._stop_timeout) for one in self._kept.values())
        for result in await asyncio.gather(*settling, return_exceptions=True):
            if isinstance(result, EngineError):
                log.warning("leaving the engine: a container was not stopped: %s", result.message)

    async def _kill_kept(self) -> None:
        await asyncio.gather(
            *(one.settle(0) for one in self._kept.values()), return_exceptions=True
        )

    async def _remove_quietly(self, container: Container) -> None:
        with contextlib.suppress(EngineError):  # it has gone by itself
            await container.remove(force=True)


async def _all_ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def _say_nothing(event: Event) -> None:
    """Nobody listens."""
