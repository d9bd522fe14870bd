"""The build cache as a whole: what it holds, and what of it can go.

A record holds its layer, and so does the image of a step (`StepImage`), which nobody has named.
Both go with a prune; what an image that people see has stays on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from wherry.build.usage import CacheEntry, PruneRequest
from wherry.images.collector import Collector, Unheld
from wherry.images.making import timestamp
from wherry.images.removal import remove_hidden
from wherry.metadata import BuildRecord, Transaction
from wherry.spec.digest import Digest

Entries: TypeAlias = list[CacheEntry]


class Cache:
    """The records of an engine's builds. Methods block; any thread may call them.

    `used_images` answers the images that containers were made of.
    """

    def __init__(self, collector: Collector, used_images: Callable[[], Collection[Digest]]) -> None:
        self._collector = collector
        self._used_images = used_images

    def entries(self) -> Entries:
        """All records, the most recently used first."""
        return self._collector.database.read(_entries)

    def remove(self, ids: Collection[str], kept: Collection[Digest] = ()) -> int:
        """Remove these records, and what only they held; answers the bytes that are freed.

        The images of steps, which can be made again, go too, but for those `kept`. No error for
        what is not there.
        """
        used = {*self._used_images(), *kept}
        freed = 0

        def remove(tx: Transaction) -> Unheld:
            nonlocal freed
            before = _cache_layers(tx)
            tx.delete_build_records(Digest.from_hex(one) for one in ids)
            blobs = set(remove_hidden(tx, tx.step_images(), used).blobs)
            gone = before - tx.held_layers()
            rows = [row for row in tx.layers() if row.diff_id in before]
            freed = sum(row.usage for row in rows if row.diff_id in gone)
            return Unheld(blobs | {row.blob for row in rows if row.blob}, gone)

        self._collector.change(remove)
        return freed


def _entries(tx: Transaction) -> Entries:
    usage = {row.diff_id: row.usage for row in tx.layers()}
    hidden = tx.step_images() - {name.image_id for name in tx.names()}
    visible = {layer for image in tx.images() if image.id not in hidden for layer in image.layers}
    return [_entry(record, usage, visible) for record in tx.build_records()]


def _entry(
    record: BuildRecord, usage: Mapping[Digest, int], visible: Collection[Digest]
) -> CacheEntry:
    return CacheEntry(
        id=record.key.hex,
        type="regular",
        description=record.description,
        size=usage.get(record.diff_id, 0),
        created_at=timestamp(record.created_at),
        shared=record.diff_id in visible,
        last_used_at=timestamp(record.used_at) if record.uses else "",
        usage_count=record.uses,
    )


def _cache_layers(tx: Transaction) -> set[Digest]:
    """What records and images of steps hold."""
    steps = tx.step_images()
    layers = {record.diff_id for record in tx.build_records()}
    return layers.union(*(image.layers for image in tx.images() if image.id in steps))


def choose(entries: Iterable[CacheEntry], request: PruneRequest, free: int) -> Entries:
    """Which entries go, the longest unused first; `free` bytes are free on the disk now."""
    entries = sorted(entries, key=_last_use)
    candidates = [
        entry
        for entry in entries
        if not entry.in_use
        and (request.all or not entry.shared)
        and matches(entry, request.filters)
        and not (request.until and _last_use(entry) > timestamp(request.until))
    ]
    goal = _goal(entries, request, free)
    if goal is None:
        return candidates
    chosen: Entries = []
    for entry in candidates:
        if goal <= 0:
            break
        chosen.append(entry)
        goal -= 0 if entry.shared else entry.size
    return chosen


def _last_use(entry: CacheEntry) -> str:
    """RFC 3339, all of one length: they sort as times do."""
    return entry.last_used_at or entry.created_at


def _goal(entries: Iterable[CacheEntry], request: PruneRequest, free: int) -> int | None:
    """How many bytes are to go; None for all."""
    if not (request.reserved_space or request.max_used_space or request.min_free_space):
        return None
    total = sum(entry.size for entry in entries if not entry.shared)
    if request.max_used_space or request.min_free_space:
        over = total - request.max_used_space if request.max_used_space else 0
        wanted = max(over, request.min_free_space - free)
    else:
        wanted = total
    return min(wanted, total - request.reserved_space)


def matches(entry: CacheEntry, filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether an entry is what the filters of the Engine API ask for."""
    return all(any(_FACTS[name](entry, value) for value in filters[name]) for name in filters)


_FACTS: Final[dict[str, Callable[[CacheEntry, str], bool]]] = {
    "id": lambda entry, value: entry.id.startswith(value),
    "parent": lambda entry, value: any(one.startswith(value) for one in entry.parents),
    "type": lambda entry, value: entry.type == value,
    "description": lambda entry, value: value in entry.description,
    "inuse": lambda entry, value: entry.in_use == _is_true(value),
    "shared": lambda entry, value: entry.shared == _is_true(value),
    "private": lambda entry, value: entry.shared != _is_true(value),
}


def _is_true(value: str) -> bool:
    return value.lower() in ("", "1", "t", "true")
