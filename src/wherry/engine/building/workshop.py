"""The builder as the engine has it: over its stores, with its containers' isolation.

What builds need is imported with the first of them: most daemons never build, and all of them want
to answer soon after their start.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from wherry import errdefs
from wherry.spec import platform as platforms
from wherry.threads import to_thread

if TYPE_CHECKING:
    from wherry.build.builder import Builder
    from wherry.build.cache import Cache
    from wherry.build.events import Built, Event
    from wherry.build.protocols import Base
    from wherry.build.request import BuildRequest
    from wherry.build.usage import CacheEntry, Pruned, PruneRequest
    from wherry.engine.building.caches import CacheStore
    from wherry.engine.stores import Stores
    from wherry.images.image import ContainerUse
    from wherry.spec.digest import Digest
    from wherry.spec.platform import Platform


_FOLDER: Final = "exec.cachemount"


@dataclass(frozen=True)
class _Tools:
    builder: Builder
    records: Cache
    folders: CacheStore


class Workshop:
    """Builds, and looks after what builds leave for the next."""

    def __init__(self, stores: Stores, uses: Callable[[], Sequence[ContainerUse]]) -> None:
        self._stores = stores
        self._uses = uses
        self._opening = threading.Lock()
        self._folder = stores.settings.data_root / "build"
        self._tools: _Tools | None = None

    async def build(
        self, request: BuildRequest, context: BinaryIO | None, emit: Callable[[Event], None]
    ) -> Built:
        """See `build.builder.Builder`."""
        tools = await to_thread(self._open)
        return await tools.builder.build(request, context, emit)

    async def cache(self) -> Sequence[CacheEntry]:
        """What builds have left for the next: records, then cache mounts."""
        if self._tools is None and not self._folder.exists():
            return []  # who only looks makes nothing
        tools = await to_thread(self._open)
        records = await to_thread(tools.records.entries)
        return [*records, *await tools.folders.entries()]

    async def prune(self, request: PruneRequest, kept: Collection[Digest] = ()) -> Pruned:
        """Remove of it what the request asks for, and images of steps but for those `kept`."""
        from wherry.build.cache import choose
        from wherry.build.usage import Pruned

        tools = await to_thread(self._open)
        free = shutil.disk_usage(self._folder).free
        chosen = choose(await self.cache(), request, free)
        folders = {entry.id: entry.size for entry in chosen if entry.type == _FOLDER}
        records = [entry.id for entry in chosen if entry.type != _FOLDER]
        gone = await tools.folders.remove(folders)
        freed = await to_thread(tools.records.remove, records, kept) if records else 0
        return Pruned((*records, *gone), freed + sum(folders[one] for one in gone))

    async def close(self) -> None:
        """Wait until all that builds have opened is closed."""
        if self._tools:
            await self._tools.builder.close()

    def _open(self) -> _Tools:
        with self._opening:
            if self._tools is None:
                self._tools = self._new()
            return self._tools

    def _new(self) -> _Tools:
        from wherry.build.builder import Builder
        from wherry.build.cache import Cache
        from wherry.build.context import git
        from wherry.build.job import Surroundings
        from wherry.build.solver import Solver
        from wherry.engine.building.caches import CacheStore
        from wherry.engine.building.executor import StepExecutor

        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for left in self._folder.glob(f"{git.PREFIX}*"):
                shutil.rmtree(left, ignore_errors=True)  # by a daemon that was killed
            for leftover in self._folder.glob("git-*"):
                shutil.rmtree(leftover, ignore_errors=True)  # a fetch that died with its daemon
        except OSError as error:
            raise errdefs.from_os_error(f"making {self._folder}", error) from error
        collector = self._stores.images.collector
        folders = CacheStore(self._stores, self._folder / "caches")
        around = Surroundings(
            collector=collector,
            solver=Solver(collector),
            executor=StepExecutor(self._stores),
            caches=folders,
            images=LocalImages(self._stores),
            host=platforms.host(),
            folder=self._folder,
        )
        records = Cache(collector, self._used_images)
        return _Tools(Builder(around), records, folders)

    def _used_images(self) -> set[Digest]:
        return {use.image_id for use in self._uses()}


class LocalImages:
    """The images that are here, for FROM and `COPY --from`."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def resolve(self, name: str, platform: Platform, pull: bool) -> Base:
        """See `build.protocols.ImageSource`."""
        from wherry.build.protocols import Base

        try:
            image = await to_thread(self._stores.images.resolve, name)
        except errdefs.EngineError as error:
            if error.kind is not errdefs.Kind.NOT_FOUND:
                raise
            raise errdefs.not_found(
                f"no such image: {name} (images can't be pulled yet: load it with `wherry load`, "
                "or make one of this host's programs with `wherry image from-host`)"
            ) from error
        return Base(image.id, image.config, image.diff_ids, name)
