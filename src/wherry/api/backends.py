"""What the API needs of an engine: the whole of what a route may call.

Every method raises `EngineError`; a `ref` is whatever the client wrote (a name, an ID, or a prefix
of one). Cancelling a call is the client's leaving: an engine undoes what it had half done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from wherry.engine.model import (
    AttachedStream,
    AttachOptions,
    ContainerInspect,
    ContainerSummary,
    CreateRequest,
    CreateResponse,
    DiskUsage,
    EventOptions,
    EventStream,
    ImageDeleteItem,
    ImageHistoryItem,
    ImageInspect,
    ImageSummary,
    ImportRequest,
    JSONMessage,
    LogOptions,
    LogStream,
    SystemInfo,
    SystemVersion,
    Waiter,
)

if TYPE_CHECKING:
    from wherry.build.events import Built, Event
    from wherry.build.request import BuildRequest
    from wherry.build.usage import CacheEntry, Pruned, PruneRequest

# From a filter's name to the values asked for; one of the values must match, and every filter.
Filters = dict[str, list[str]]


class ContainersBackend(Protocol):
    """A container's life, as a client leads it.

    `create` gives an ID; `attach` and `wait` may follow before `start`, so that not a byte and not
    even the shortest life is missed; `remove` ends it.
    """

    async def create(
        self, name: str | None, request: CreateRequest, platform: str | None
    ) -> CreateResponse:
        """Make a container. NotFound if the image is missing, Conflict if the name is taken."""

    async def start(self, ref: str) -> None:
        """Return when its program runs. NotModified if it was running."""

    async def inspect(self, ref: str, size: bool) -> ContainerInspect: ...

    async def list(
        self,
        all: bool,  # noqa: A002 - the API's own word
        limit: int,
        size: bool,
        filters: Filters,
    ) -> Sequence[ContainerSummary]:
        """The newest first. `limit` 0 or less is no limit; without `all`, the running only."""

    async def logs(self, ref: str, options: LogOptions) -> LogStream: ...

    async def attach(self, ref: str, options: AttachOptions) -> AttachedStream:
        """Join the container's streams, before its start or during its life."""

    async def detached(self, ref: str) -> None:
        """Take note that an attached client has left by its detach keys."""

    async def resize(self, ref: str, height: int, width: int) -> None: ...

    async def wait(self, ref: str, condition: str) -> Waiter:
        """Begin to wait for `not-running`, `next-exit` or `removed`."""

    async def stop(self, ref: str, timeout: int | None, signal: str | None) -> None:
        """Ask it to end, and after `timeout` seconds kill it (-1: never; None: its own setting).

        NotModified if it was not running.
        """

    async def restart(self, ref: str, timeout: int | None, signal: str | None) -> None:
        """Stop it, if it runs, as `stop` does; then start it."""

    async def rename(self, ref: str, name: str) -> None:
        """Give it another name. Conflict if that is another container's."""

    async def kill(self, ref: str, signal: str) -> None:
        """Send a signal, named or numbered. Conflict if it is not running."""

    async def remove(self, ref: str, force: bool, volumes: bool, link: bool) -> None:
        """Remove it with all that it wrote. Conflict if it is running and not `force`."""


class ImagesBackend(Protocol):
    """Images by name or ID."""

    async def list(
        self,
        all: bool,  # noqa: A002 - the API's own word
        filters: Filters,
        digests: bool,
        shared_size: bool,
    ) -> Sequence[ImageSummary]: ...

    async def inspect(self, ref: str) -> ImageInspect: ...

    async def history(self, ref: str) -> Sequence[ImageHistoryItem]: ...

    def load(self, stream: AsyncIterator[bytes], quiet: bool) -> AsyncIterator[JSONMessage]:
        """Load an archive as it arrives, saying what happens.

        Reads `stream` to its end. Closing the iterator early gives up: nothing half loaded stays.
        """

    def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        """An archive of images, which `load` reads.

        NotFound comes in place of the first piece. Closing the iterator early gives up.
        """

    async def import_image(self, stream: AsyncIterator[bytes], request: ImportRequest) -> str:
        """Make an image of a root file system's tar as it arrives; its ID.

        Cancelling gives up: nothing half imported stays.
        """

    async def tag(self, ref: str, repo: str, tag: str) -> None: ...

    async def delete(self, ref: str, force: bool, noprune: bool) -> Sequence[ImageDeleteItem]: ...


class BuildsBackend(Protocol):
    """Images out of Dockerfiles."""

    async def build(
        self,
        request: BuildRequest,
        context: AsyncIterator[bytes] | None,
        emit: Callable[[Event], None],
    ) -> Built:
        """Build, telling `emit` what happens; it returns at once.

        Raises `BuildFailedError` if a step failed. Cancelling gives up: what is under way is ended,
        and nothing half made stays.
        """

    async def cancel(self, build_id: str) -> None:
        """Give up the build whose request had this `id`, if there is one."""

    async def cache(self) -> Sequence[CacheEntry]: ...

    async def prune(self, request: PruneRequest) -> Pruned: ...

    def output(self, output_id: str) -> AsyncIterator[bytes]:
        """A result that waits to be fetched, which it is by this.

        NotFound comes in place of the first piece. Closing the iterator early gives up.
        """

    async def lend_agent(
        self, session: str, name: str, transport: asyncio.Transport, early: bytes
    ) -> None:
        """Have a build that forwards agent `name` of this session use this connection for one
        conversation with it. Returns when that is over, with the transport closed.
        """


class SystemBackend(Protocol):
    """The daemon as a whole."""

    async def version(self) -> SystemVersion: ...

    async def info(self) -> SystemInfo: ...

    async def disk_usage(self, kinds: Collection[str]) -> DiskUsage:
        """What is kept, and what it takes; `kinds` are some of `USAGE_KINDS`."""

    def events(self, options: EventOptions) -> EventStream:
        """What happens from now on, before that what is remembered if `options` ask for it.

        It listens at once. It ends with `options.until`, or with the engine; closing it ends the
        listening. Who does not take the events fast enough loses the oldest, and is told so by a
        `daemon` event with the action `lost`.
        """

    def end_events(self) -> None:
        """End all that `events` has given: the engine is going to close."""


class Backend(Protocol):
    """The engine, as the API sees it."""

    @property
    def containers(self) -> ContainersBackend: ...

    @property
    def images(self) -> ImagesBackend: ...

    @property
    def builds(self) -> BuildsBackend: ...

    @property
    def system(self) -> SystemBackend: ...
