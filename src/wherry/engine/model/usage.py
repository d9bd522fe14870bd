"""What is kept and what it takes on the disk: `GET /system/df`."""

from collections.abc import Sequence
from typing import Final

from msgspec import field

from wherry.engine.model.base import Int64, Object
from wherry.engine.model.containers import ContainerSummary
from wherry.engine.model.images import ImageSummary

USAGE_KINDS: Final = frozenset({"container", "image", "volume", "build-cache"})


class BuildCache(Object):
    """One record of the build cache. `size` is in bytes, times are RFC 3339.

    `shared` says that an image has the same layer: removing the record frees nothing.
    """

    id: str = field(name="ID")
    parents: list[str] | None = None
    type: str = "regular"
    description: str = ""
    in_use: bool = False
    shared: bool = False
    size: Int64 = 0
    created_at: str = ""
    last_used_at: str | None = None
    usage_count: int = 0


class DiskUsage(Object):
    """`layers_size` counts each layer once, however many images have it. None was not asked for."""

    layers_size: Int64 = 0
    images: Sequence[ImageSummary] | None = None
    containers: Sequence[ContainerSummary] | None = None
    volumes: Sequence[dict[str, object]] | None = None
    build_cache: Sequence[BuildCache] | None = None
