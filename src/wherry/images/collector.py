"""Who holds what: leases for work in progress, and the freeing of what nobody holds.

A lost race would free a layer that a load has just found. So one lock orders two things: a lease
naming a blob or layer and looking whether it is there; and the collector finding something unheld
and deleting it. Whoever comes second sees what the first one did.

Facts come first, files after: an image is gone from the database before its content is freed, and
content is whole before the database names it. A crash leaves garbage, never a broken image.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from wherry.content.disk import Readable, sparing
from wherry.content.ingest import Ingest
from wherry.content.store import ContentStore
from wherry.errdefs import EngineError, Kind
from wherry.faults import fault
from wherry.metadata import Database, LeaseRecord, Resource, Transaction
from wherry.snapshots.protocol import Snapshotter
from wherry.spec.digest import Digest

T = TypeVar("T")

_DAY: Final = 24 * 3600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Unheld:
    """What may be garbage, if nobody holds it."""

    blobs: Collection[Digest]
    layers: Collection[Digest]


class Lease:
    """Holds what one piece of work makes or finds, until it is done or has failed."""

    def __init__(self, collector: Collector, lease_id: str) -> None:
        self._collector = collector
        self.id = lease_id
        self.blobs: set[Digest] = set()
        self.layers: set[Digest] = set()

    def has_blob(self, digest: Digest) -> bool:
        """Whether the content store has the blob; if so it stays as long as the lease."""
        with self._collector.ordered():
            self._hold(Resource("blob", digest))
            return self._collector.content.contains(digest)

    def commit(self, ingest: Ingest, expected: Digest | None = None) -> Digest:
        """Commit the ingest; the blob stays as long as the lease."""
        with self._collector.ordered():
            digest = ingest.commit(expected)
            self._hold(Resource("blob", digest))
            return digest

    def put(self, data: bytes, what: str) -> Digest:
        """Store a small blob; `what` it is, for messages."""
        digest = Digest.of(data)
        if not self.has_blob(digest):
            with self._collector.content.ingest(what) as ingest:
                ingest.write(data)
                self.commit(ingest, digest)
        return digest

    def receive(self, tar: Readable) -> Digest:
        """Have the snapshotter, which keeps tars, keep this one as a layer; it stays as long as the
        lease. Raises what `Snapshotter.receive` raises."""
        collector = self._collector
        spared = sparing(tar, collector.content.reserve())
        with collector.snapshots.receive(spared) as received:
            with collector.ordered():
                self._hold(Resource("layer", received.diff_id))
            received.keep()
            return received.diff_id

    def has_layer(self, diff_id: Digest) -> bool:
        """Whether the snapshotter has the layer; it stays, now or once applied."""
        with self._collector.ordered():
            self._hold(Resource("layer", diff_id))
            return self._collector.snapshots.contains(diff_id)

    def _hold(self, resource: Resource) -> None:
        held = self.blobs if resource.kind == "blob" else self.layers
        if resource.key not in held:
            self._collector.database.write(lambda tx: tx.hold(self.id, [resource]), durable=False)
            held.add(resource.key)


class Collector:
    """Gives leases, and frees what no image, lease or active snapshot holds."""

    def __init__(self, content: ContentStore, snapshots: Snapshotter, database: Database) -> None:
        self.content = content
        self.snapshots = snapshots
        self.database = database
        self._order = threading.RLock()

    @contextlib.contextmanager
    def ordered(self) -> Iterator[None]:
        """While it is held, nothing is freed and nothing new is leased."""
        with self._order:
            yield

    @contextlib.contextmanager
    def lease(self, owner: str) -> Iterator[Lease]:
        """A lease for the time of the `with`; what it held and nobody else does is freed after.

        The work's own transaction gives its results a lasting holder.
        """
        lease = Lease(self, f"{owner}-{uuid.uuid4().hex}")
        record = LeaseRecord(lease.id, owner, time.time_ns() + _DAY)
        self.database.write(lambda tx: tx.put_lease(record), durable=False)
        try:
            yield lease
        finally:
            self._end(lease)

    def _end(self, lease: Lease) -> None:
        def end(tx: Transaction) -> Unheld:
            tx.delete_lease(lease.id)
            return Unheld(lease.blobs, lease.layers)

        self.change(end, durable=False)

    def change(self, fn: Callable[[Transaction], Unheld], durable: bool = True) -> None:
        """Commit a change, then free what it names and nobody holds any more."""
        with self._order:
            freed = self.database.write(fn, durable)
            fault("images.free.before")
            self._free(freed)
            fault("images.free.after")

    def collect(self) -> None:
        """Free everything that nobody holds."""
        with self._order:
            rows = self.database.read(lambda tx: tx.layers())
            layers = {*self.snapshots.layers(), *(row.diff_id for row in rows)}
            self._free(Unheld(set(self.content.digests()), layers))

    def recover(self) -> None:
        """At start: end the leases of work that died with its process, and free what it left.

        Only while no work is under way.
        """
        self.content.recover()
        self.database.write(lambda tx: tx.end_leases(), durable=False)
        self.collect()

    def _free(self, candidates: Unheld) -> None:
        held_layers, held_blobs = self.database.read(lambda tx: (tx.held_layers(), tx.held_blobs()))
        removed: list[Digest] = []
        for diff_id in sorted(set(candidates.layers) - held_layers):
            if self._remove_layer(diff_id):
                removed.append(diff_id)
            else:
                held_blobs |= self._blob_of(diff_id)
        fault("images.free.between-layers-and-blobs")
        for digest in sorted(set(candidates.blobs) - held_blobs):
            self.content.delete(digest)
        if removed:
            self.database.write(lambda tx: tx.delete_layers(removed), durable=False)

    def _remove_layer(self, diff_id: Digest) -> bool:
        """False if a container still stands on the layer, whose image was removed by force."""
        try:
            self.snapshots.remove_layer(diff_id)
        except EngineError as error:
            if error.kind is Kind.CONFLICT:
                return False
            raise
        return True

    def _blob_of(self, diff_id: Digest) -> set[Digest]:
        row = self.database.read(lambda tx: tx.layer(diff_id))
        return {row.blob} if row and row.blob else set()
