"""What all that is kept takes on the disk: `GET /system/df`."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from wherry.engine.builds import Builds
from wherry.engine.containers import Containers
from wherry.engine.images import Images
from wherry.engine.model import BuildCache, DiskUsage
from wherry.engine.stores import Stores
from wherry.threads import to_thread

if TYPE_CHECKING:
    from wherry.build.usage import CacheEntry


class Accounts:
    """Looks through everything. It walks what containers wrote, which takes its time."""

    def __init__(
        self, stores: Stores, containers: Containers, images: Images, builds: Builds
    ) -> None:
        self._stores = stores
        self._containers = containers
        self._images = images
        self._builds = builds

    async def take(self, kinds: Collection[str]) -> DiskUsage:
        """Those of `USAGE_KINDS` that are asked for; the others stay None."""
        usage = DiskUsage()
        if "image" in kinds:
            usage.images = await self._images.list(False, {}, False, shared_size=True)
            usage.layers_size = await to_thread(self._layers_size)
        if "container" in kinds:
            usage.containers = await self._containers.list(True, 0, size=True, filters={})
        if "volume" in kinds:
            usage.volumes = []
        if "build-cache" in kinds:
            usage.build_cache = [cache_row(entry) for entry in await self._builds.cache()]
        return usage

    def _layers_size(self) -> int:
        images = self._stores.images.list()
        held = {layer for image in images for layer in image.diff_ids}
        layers = self._stores.database.read(lambda tx: tx.layers())
        return sum(layer.usage for layer in layers if layer.diff_id in held)


def cache_row(entry: "CacheEntry") -> BuildCache:
    return BuildCache(
        id=entry.id,
        parents=list(entry.parents) or None,
        type=entry.type,
        description=entry.description,
        in_use=entry.in_use,
        shared=entry.shared,
        size=entry.size,
        created_at=entry.created_at,
        last_used_at=entry.last_used_at or None,
        usage_count=entry.usage_count,
    )
