"""What the library asks of an engine, which the engine has and a daemon is asked for.

`wherry.engine.engine.Engine` and `wherry.library.remote.Remote` both are a `Backend`. Every method
raises EngineError; a `ref` is a name, an ID, or a prefix of one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wherry.build.events import Built, Event
    from wherry.build.request import BuildRequest
    from wherry.build.usage import CacheEntry
    from wherry.engine.model import (
        ContainerInspect,
        ContainerSummary,
        CreateRequest,
        CreateResponse,
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

    Filters = dict[str, list[str]]


class Containers(Protocol):
    """See `wherry.api.backends.ContainersBackend`, of which this is a part."""

    async def create(
        self, name: str | None, request: CreateRequest, platform: str | None
    ) -> CreateResponse: ...

    async def start(self, ref: str) -> None: ...

    async def inspect(self, ref: str, size: bool) -> ContainerInspect: ...

    async def list(
        self,
        all: bool,  # noqa: A002 - the API's own word
        limit: int,
        size: bool,
        filters: Filters,
    ) -> Sequence[ContainerSummary]: ...

    async def logs(self, ref: str, options: LogOptions) -> LogStream: ...

    async def resize(self, ref: str, height: int, width: int) -> None: ...

    async def wait(self, ref: str, condition: str) -> Waiter: ...

    async def stop(self, ref: str, timeout: int | None, signal: str | None) -> None: ...

    async def kill(self, ref: str, signal: str) -> None: ...

    async def rename(self, ref: str, name: str) -> None: ...

    async def remove(self, ref: str, force: bool, volumes: bool, link: bool) -> None: ...


class Images(Protocol):
    """See `wherry.api.backends.ImagesBackend`."""

    async def list(
        self,
        all: bool,  # noqa: A002 - the API's own word
        filters: Filters,
        digests: bool,
        shared_size: bool,
    ) -> Sequence[ImageSummary]: ...

    async def inspect(self, ref: str) -> ImageInspect: ...

    async def history(self, ref: str) -> Sequence[ImageHistoryItem]: ...

    def load(self, stream: AsyncIterator[bytes], quiet: bool) -> AsyncIterator[JSONMessage]: ...

    def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]: ...

    async def import_image(self, stream: AsyncIterator[bytes], request: ImportRequest) -> str: ...

    async def tag(self, ref: str, repo: str, tag: str) -> None: ...

    async def delete(self, ref: str, force: bool, noprune: bool) -> Sequence[ImageDeleteItem]: ...


class Builds(Protocol):
    """See `wherry.api.backends.BuildsBackend`."""

    async def build(
        self,
        request: BuildRequest,
        context: AsyncIterator[bytes] | None,
        emit: Callable[[Event], None],
    ) -> Built: ...

    async def cache(self) -> Sequence[CacheEntry]: ...

    def output(self, output_id: str) -> AsyncIterator[bytes]: ...


class System(Protocol):
    """See `wherry.api.backends.SystemBackend`."""

    async def version(self) -> SystemVersion: ...

    async def info(self) -> SystemInfo: ...

    def events(self, options: EventOptions) -> EventStream: ...


class Backend(Protocol):
    """An engine, here or elsewhere."""

    @property
    def containers(self) -> Containers: ...

    @property
    def images(self) -> Images: ...

    @property
    def builds(self) -> Builds: ...

    @property
    def system(self) -> System: ...
