"""The builds' verbs: what the API's `BuildsBackend` asks for."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, TypeAlias

import msgspec

from wherry import errdefs
from wherry.build.threads import finish
from wherry.engine.agents import Agents
from wherry.engine.build_outputs import BuildOutputs
from wherry.engine.feed import borrow
from wherry.engine.stores import STEP_SOCKETS, Stores
from wherry.images.image import ContainerUse
from wherry.threads import to_thread

if TYPE_CHECKING:
    from wherry.build.events import Built, Event
    from wherry.build.request import BuildRequest
    from wherry.build.usage import CacheEntry, Pruned, PruneRequest
    from wherry.spec.digest import Digest

_BUFFER: Final = 1024 * 1024

Emit: TypeAlias = "Callable[[Event], None]"


class Builder(Protocol):
    """Who builds: `wherry.engine.building.workshop.Workshop`."""

    async def build(self, request: BuildRequest, context: BinaryIO | None, emit: Emit) -> Built: ...

    async def cache(self) -> Sequence[CacheEntry]: ...

    async def prune(self, request: PruneRequest, kept: Collection[Digest]) -> Pruned: ...


class Builds:
    """Images out of Dockerfiles."""

    def __init__(
        self, stores: Stores, builder: Builder, uses: Callable[[], Sequence[ContainerUse]]
    ) -> None:
        self._stores = stores
        self._builder = builder
        self._outputs = BuildOutputs(stores, uses)
        self._agents = Agents(stores.settings.exec_root / STEP_SOCKETS)
        self._running: dict[str, asyncio.Task[Built]] = {}

    async def build(
        self, request: BuildRequest, context: AsyncIterator[bytes] | None, emit: Emit
    ) -> Built:
        """See `BuildsBackend.build`."""
        if not request.id:
            return await self._build(request, context, emit)
        if request.id in self._running:
            raise errdefs.conflict(f"a build with the ID {request.id} is under way already")
        work = asyncio.create_task(self._build(request, context, emit))
        self._running[request.id] = work
        try:
            return await work
        except asyncio.CancelledError:
            if self._running.get(request.id) is work:
                raise  # by the client's leaving
            raise errdefs.conflict(f"the build {request.id} was cancelled") from None
        finally:
            self._running.pop(request.id, None)

    async def cancel(self, build_id: str) -> None:
        """See `BuildsBackend.cancel`."""
        work = self._running.pop(build_id, None)
        if work is not None:
            work.cancel()

    async def cache(self) -> Sequence[CacheEntry]:
        return await self._builder.cache()

    async def prune(self, request: PruneRequest) -> Pruned:
        pruned = await self._builder.prune(request, self._outputs.images())
        self._stores.events.publish("builder", "prune", "", {"reclaimed": str(pruned.bytes)})
        return pruned

    def output(self, output_id: str) -> AsyncIterator[bytes]:
        """See `BuildsBackend.output`."""
        return self._outputs.fetch(output_id)

    async def lend_agent(
        self, session: str, name: str, transport: asyncio.Transport, early: bytes
    ) -> None:
        """See `BuildsBackend.lend_agent`."""
        await self._agents.lend(session, name, transport, early)

    def close(self) -> None:
        """Let go of results that nobody has fetched."""
        self._outputs.close()

    async def _build(
        self, request: BuildRequest, context: AsyncIterator[bytes] | None, emit: Emit
    ) -> Built:
        if any(output.type == "image" for output in request.outputs):
            return await self._build_wanted(request, context, emit)
        async with self._outputs.unwanted():
            built = await self._build_with_agents(request, context, emit)
            return self._offer(request, built, unwanted=True)

    async def _build_wanted(
        self, request: BuildRequest, context: AsyncIterator[bytes] | None, emit: Emit
    ) -> Built:
        built = await self._build_with_agents(request, context, emit)
        if built.image:
            await self._tell(built)
        return self._offer(request, built, unwanted=False)

    def _offer(self, request: BuildRequest, built: Built, *, unwanted: bool) -> Built:
        if not built.image:
            return built
        outputs = self._outputs.offer(request, built, unwanted)
        return msgspec.structs.replace(built, outputs=outputs)

    async def _build_with_agents(
        self, request: BuildRequest, context: AsyncIterator[bytes] | None, emit: Emit
    ) -> Built:
        async with self._agents.sockets(request.agents) as sockets:
            # Agents that are forwarded are sockets of this host from here on.
            wanted = msgspec.structs.replace(request, ssh={**request.ssh, **sockets}, agents={})
            return await self._with_upload(wanted, context, emit)

    async def _tell(self, built: Built) -> None:
        image = await to_thread(self._stores.images.resolve, built.image)
        labels = image.config.config.labels
        self._stores.events.image(built.image, "create", built.image, labels)
        for tag in built.tags:
            self._stores.events.image(built.image, "tag", tag, labels)

    async def _with_upload(
        self, request: BuildRequest, context: AsyncIterator[bytes] | None, emit: Emit
    ) -> Built:
        if context is None:
            return await self._builder.build(request, None, emit)
        file, abandon, filling = borrow(context)
        upload = io.BufferedReader(file, _BUFFER)
        work = asyncio.create_task(self._builder.build(request, upload, emit))
        try:
            return await asyncio.shield(work)
        finally:
            # The builder waits for its threads, and one of them may wait for bytes.
            abandon()
            filling.cancel()
            work.cancel()
            await finish(work)
            await asyncio.gather(filling, return_exceptions=True)
            upload.close()
