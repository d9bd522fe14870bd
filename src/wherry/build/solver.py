"""Steps to layers: out of the cache, out of another build that does the same now, or by work.

    key ── record? ──yes──> its layer is there? ──yes──> the layer, held by the build's lease
              │no                   │no
              v                     v
        under way already? ──no──> the work ──> layer ──> one transaction: layer, record
              │yes                                             │
              └── wait, and see its output ────────────────────┘

A step that fails or is cancelled leaves no record. What a record names is on the disk before it is
written, so a record that survives a power cut is true.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from wherry.build.flights import Flights, Pins
from wherry.build.keys import CacheKey
from wherry.build.protocols import Output
from wherry.build.threads import finish
from wherry.faults import fault
from wherry.images.collector import Collector, Lease
from wherry.metadata import BuildRecord, LayerRecord, Transaction
from wherry.spec.digest import Digest
from wherry.threads import to_thread

Work: TypeAlias = Callable[[Lease, Output], Awaitable[LayerRecord]]
"""Makes a step's layer, held by the lease that it is given; what its program writes goes to the
output."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be done for its layer. `description` is what people call it.

    The work needs what its build has opened; `pins` tell whether it goes on, for another build.
    `fresh` forbids to take it from the cache; `salt` then keeps it apart from the same step of
    another build.
    """

    key: CacheKey
    description: str
    work: Work
    pins: Pins
    fresh: bool = False
    salt: str = ""


@dataclass(frozen=True, slots=True)
class Solved:
    """A step's layer, and when it was made (ns since 1970)."""

    diff_id: Digest
    created_at: int
    cached: bool


class Solver:
    """Solves the steps of all builds of an engine."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._flights: Flights[BuildRecord] = Flights()
        self._listeners: dict[str, list[Output]] = {}

    async def solve(self, step: Step, lease: Lease, output: Output) -> Solved:
        """The step's layer, which the lease holds from now on. Raises what the work raises."""
        flight = f"{step.key.digest}{step.salt if step.fresh else ''}"
        while True:
            if not step.fresh:
                record = await to_thread(self._known, step.key, lease)
                if record is not None:
                    return Solved(record.diff_id, record.created_at, cached=True)
            with self._listening(flight, output):
                record = await self._flights.join(flight, lambda: self._do(step, flight))
            # Between the two, a prune may have taken it: then it is done again.
            if await to_thread(lease.has_layer, record.diff_id):
                return Solved(record.diff_id, record.created_at, cached=False)

    def _known(self, key: CacheKey, lease: Lease) -> BuildRecord | None:
        """In a thread: the record of that key, if its layer is there."""
        record = self._collector.database.read(lambda tx: tx.build_record(key.digest))
        if record is None or not lease.has_layer(record.diff_id):
            return None
        now = time.time_ns()
        self._collector.database.write(
            lambda tx: tx.use_build_records([key.digest], now), durable=False
        )
        return record

    async def _do(self, step: Step, flight: str) -> BuildRecord:
        def tell(stream: Literal["stdout", "stderr"], data: bytes) -> None:
            for listener in self._listeners.get(flight, ()):
                listener(stream, data)

        with step.pins:
            async with held(self._collector) as lease:
                layer = await step.work(lease, tell)
                return await to_thread(self._remember, step, layer)

    def _remember(self, step: Step, layer: LayerRecord) -> BuildRecord:
        now = time.time_ns()
        record = BuildRecord(
            step.key.digest, layer.diff_id, step.key.document, step.description, now, now
        )

        def put(tx: Transaction) -> None:
            if tx.layer(layer.diff_id) is None:
                tx.put_layer(layer)
            tx.put_build_record(record)

        fault("build.step.before-record")
        self._collector.database.write(put, durable=False)
        fault("build.step.after-record")
        return record

    @contextlib.contextmanager
    def _listening(self, flight: str, output: Output) -> Iterator[None]:
        listeners = self._listeners.setdefault(flight, [])
        listeners.append(output)
        try:
            yield
        finally:
            listeners.remove(output)
            if not listeners:
                del self._listeners[flight]


@contextlib.asynccontextmanager
async def held(collector: Collector) -> AsyncIterator[Lease]:
    """A lease of a build's. Its end, which frees what nobody else holds, is never skipped."""
    context = collector.lease("build")
    lease = await to_thread(context.__enter__)
    try:
        yield lease
    finally:
        ending = asyncio.ensure_future(to_thread(context.__exit__, None, None, None))
        await finish(ending)
