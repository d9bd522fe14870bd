"""The build cache, as those see it who want to know what it holds, or to have it smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

CacheType = Literal["regular", "exec.cachemount", "source.local", "source.git.checkout"]


class CacheEntry(Struct, frozen=True, kw_only=True):
    """One record of the cache, or one cache mount.

    `size` in bytes; `shared` says that an image has the same layer, so that removing the record
    frees nothing. Times are RFC 3339 with nanoseconds; `last_used_at` is "" if it never was.
    """

    id: str
    type: CacheType
    description: str
    size: int
    created_at: str
    parents: tuple[str, ...] = ()
    in_use: bool = False
    shared: bool = False
    last_used_at: str = ""
    usage_count: int = 0


class PruneRequest(Struct, frozen=True, kw_only=True):
    """What is to go: what nobody uses, the longest unused first, until it is little enough.

    `all` includes what an image shares. Bytes: `reserved_space` may stay, more than
    `max_used_space` must not, `min_free_space` is to be free on the disk; 0 for each is no such
    wish, and without any of the three all goes. What was used after `until` (nanoseconds of the
    epoch, 0 for none) stays. `filters` are the other ones of the Engine API: `id`, `parent`,
    `type`, `description`, `inuse`, `shared`, `private`; each must match, by any of its values.
    """

    all: bool = False
    reserved_space: int = 0
    max_used_space: int = 0
    min_free_space: int = 0
    until: int = 0
    filters: Mapping[str, Sequence[str]] = {}


class Pruned(Struct, frozen=True):
    """What went, and the bytes that are free now."""

    ids: tuple[str, ...]
    bytes: int
