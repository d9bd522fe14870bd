"""The build cache as a whole: what it holds, and what of it can go.

A record holds its layer, and so does the image of a step (`StepImage`), which nobody has named.
Both go with a prune; what an image that people see has stays on the disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from wherry.build.usage import CacheEntry, Pruned, PruneRequest
from wherry.images.collector import Collector, Unheld
from wherry.images.making import timestamp
from wherry.metadata import BuildRecord, Transaction
from wherry.spec.digest import Digest

Rows: TypeAlias = list[tuple[BuildRecord, CacheEntry]]


class Cache:
    """The records of an engine's builds. Methods block; any thread may call them.

    `used_images` answers the images that containers were made of; `folder` is on the disk that is
    to have space.
    """

    def __init__(
        self, collector: Collector, folder: Path, used_images: Callable[[], Collection[Digest]]
    ) -> None:
        self._collector = collector
        self._folder = folder
        self._used_images = used_images

    def entries(self) -> list[CacheEntry]:
        """All records, the most recently used first."""
        rows = self._collector.database.read(_rows)
        return [entry for _, entry in rows]

    def prune(self, request: PruneRequest) -> Pruned:
        """Remove records as the request asks, and what only they held."""
        used = set(self._used_images())
        free = shutil.disk_usage(self._folder).free
        pruned = Pruned((), 0)

        def remove(tx: Transaction) -> Unheld:
            nonlocal pruned
            before = _cache_layers(tx)
            ids = _chosen(_rows(tx), request, free)
            tx.delete_build_records(Digest.from_hex(one) for one in ids)
            blobs = _drop_step_images(tx, used) if ids else set[Digest]()
            gone = before - tx.held_layers()
            rows = {row.diff_id: row for row in tx.layers() if row.diff_id in before}
            freed = sum(rows[layer].usage for layer in gone if layer in rows)
            pruned = Pruned(tuple(ids), freed)
            kept_elsewhere = {row.blob for row in rows.values() if row.blob}
            return Unheld(blobs | kept_elsewhere, gone)

        self._collector.change(remove)
        return pruned


def _rows(tx: Transaction) -> Rows:
    """The most recently used first."""
    usage = {row.diff_id: row.usage for row in tx.layers()}
    hidden = tx.step_images() - {name.image_id for name in tx.names()}
    visible = {layer for image in tx.images() if image.id not in hidden for layer in image.layers}
    return [(record, _entry(record, usage, visible)) for record in tx.build_records()]


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


def _drop_step_images(tx: Transaction, used: Collection[Digest]) -> set[Digest]:
    """Remove those that nobody has named or runs; answers their blobs."""
    named = {name.image_id for name in tx.names()}
    blobs: set[Digest] = set()
    for image in tx.images():
        if image.id in tx.step_images() and image.id not in named and image.id not in used:
            blobs |= image.blobs
            tx.delete_image(image.id)
    return blobs


def _chosen(rows: Rows, request: PruneRequest, free: int) -> list[str]:
    """The IDs of what goes, the longest unused first."""
    candidates = [
        entry
        for record, entry in reversed(rows)
        if (request.all or not entry.shared)
        and matches(entry, request.filters)
        and not (request.until and record.used_at > request.until)
    ]
    goal = _goal(rows, request, free)
    if goal is None:
        return [entry.id for entry in candidates]
    chosen: list[str] = []
    for entry in candidates:
        if goal <= 0:
            break
        chosen.append(entry.id)
        goal -= 0 if entry.shared else entry.size
    return chosen


def _goal(rows: Rows, request: PruneRequest, free: int) -> int | None:
    """How many bytes are to go; None for all."""
    if not (request.reserved_space or request.max_used_space or request.min_free_space):
        return None
    total = sum(entry.size for _, entry in rows if not entry.shared)
    over = total - request.max_used_space if request.max_used_space else 0
    short = request.min_free_space - free if request.min_free_space else 0
    wanted = max(over, short)
    if not request.max_used_space and not request.min_free_space:
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
