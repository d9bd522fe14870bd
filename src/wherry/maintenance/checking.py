"""Reading every byte again that has a digest, on all processors."""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from wherry.errdefs import EngineError, Kind
from wherry.layers.compression import HashingReader, open_layer
from wherry.layers.pipeline import PIECE
from wherry.maintenance.findings import Findings, Problem
from wherry.maintenance.references import Broken, Records, References
from wherry.maintenance.root import DataRoot
from wherry.metadata import LayerRecord
from wherry.snapshots import drivers
from wherry.snapshots.directory import DirectorySnapshotter
from wherry.spec.digest import Digest

_REPAIR: Final = "`wherry system check --repair`"
_AGAIN: Final = "then load or pull again what needs it"


class Progress(Protocol):
    """Is told, by any thread, how many bytes were read of how many."""

    def __call__(self, done: int, total: int, /) -> None: ...


@dataclass(frozen=True)
class Source:
    """A layer's tar that is whole: where it is, in words, and how it is opened."""

    where: str
    open: Callable[[], BinaryIO]


@dataclass
class Checked:
    """What was found; `records` is None without a database, `sources` are of damaged layers."""

    findings: Findings
    records: Records | None
    sources: dict[Digest, list[Source]]
    broken: Broken


class Check:
    """One check of a data root. `progress` is told as it goes on."""

    def __init__(self, root: DataRoot, progress: Progress) -> None:
        self._root = root
        self._progress = progress
        self._lock = threading.Lock()
        self._done = 0
        self._total = 1
        self._findings = Findings()
        self._records: Records | None = None
        self._sources: dict[Digest, list[Source]] = {}

    def run(self) -> Checked:
        """Raises EngineError only where looking itself fails; what is wrong is a finding."""
        root = self._root
        self._look_at_database()
        self._look_at_driver()
        blobs = sorted(root.content.digests())
        layers = root.snapshots.layers() if root.snapshots else []
        sizes = {digest: root.content.info(digest).size for digest in blobs}
        weights = {diff_id: self._weight_of(diff_id) for diff_id in layers}
        self._total = sum(sizes.values()) + sum(weights.values()) or 1
        self._each(blobs, sizes, self._blob)
        self._each(layers, weights, self._layer)
        broken = Broken()
        if self._records is not None:
            self._look_for_layers({*self._records.layers} - {*layers})
            mendable = set(self._sources)
            broken = References(root, self._records, self._findings, mendable).examine()
        self._findings.checked = {
            "blobs": len(blobs),
            "layers": len(layers),
            "images": len(self._records.images) if self._records else 0,
            "containers": len(self._records.containers) if self._records else 0,
            "bytes": self._done,
        }
        return Checked(self._findings, self._records, self._sources, broken)

    # --- the small things -------------------------------------------------------------------------

    def _look_at_database(self) -> None:
        root = self._root
        path = str(root.path / "wherry.db")
        what = root.unusable.message if root.unusable else ""
        if root.database is not None:
            try:
                what = "; ".join(root.database.read(lambda tx: tx.damage())[:3])
                self._records = root.database.read(Records.read)
            except (EngineError, ValueError, TypeError) as error:
                what = what or str(error)
        if what:
            self._records = None
            remedy = f"{_REPAIR} sets it aside and makes one of what is stored"
            self._findings.add(Problem("database", path, what, remedy))

    def _look_at_driver(self) -> None:
        root = self._root
        if root.snapshots is None:
            return
        name = root.snapshots.name
        if not drivers.record_is_good(root.path, name):
            what = f"it does not say that the storage driver is {name}, whose layers are there"
            remedy = f"{_REPAIR} writes it anew"
            path = str(root.path / "snapshots" / "driver")
            self._findings.add(Problem("snapshots", path, what, remedy))
        for other in drivers.NAMES:
            path = str(root.path / "snapshots" / other)
            if other != name and drivers.is_in_use(Path(path)):
                what = "a move to or from this storage driver has left it; nothing uses it"
                remedy = (
                    f"{_REPAIR} sets it aside; or finish the move by `wherry system "
                    f"migrate-storage {other}`"
                )
                self._findings.add(Problem("snapshots", path, what, remedy))

    def _weight_of(self, diff_id: Digest) -> int:
        """About as many bytes as are going to be read of a layer."""
        try:
            return self._root.snapshots.usage(diff_id).bytes if self._root.snapshots else 0
        except (EngineError, ValueError):
            return 0

    # --- what has a digest ------------------------------------------------------------------------

    def _each(
        self,
        digests: Iterable[Digest],
        sizes: dict[Digest, int],
        look: Callable[[Digest], None],
    ) -> None:
        """The largest first, so that none is left alone at the end."""
        pool = ThreadPoolExecutor(max(2, os.cpu_count() or 1), "check")
        with pool:
            waiting: list[Future[None]] = [
                pool.submit(look, digest)
                for digest in sorted(digests, key=lambda digest: -sizes[digest])
            ]
            try:
                for future in waiting:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _seen(self, size: int) -> None:
        with self._lock:
            self._done += size
            done = self._done
        self._progress(min(done, self._total), self._total)

    def _blob(self, digest: Digest) -> None:
        what = self._blob_damage(digest)
        if what is None:
            return
        users = ", ".join(self._records.users(blob=digest)) if self._records else ""
        used = f"; it is a part of {users}" if users else ""
        remedy = f"{_REPAIR} sets it aside; {_AGAIN}"
        with self._lock:
            self._findings.blobs[digest] = self._findings.add(
                Problem("blob", digest, what + used, remedy)
            )

    def _blob_damage(self, digest: Digest) -> str | None:
        try:
            with self._root.content.open(digest) as stream:
                reader = HashingReader(stream)
                while piece := reader.read(PIECE):
                    self._seen(len(piece))
        except OSError as error:
            return f"it can't be read: {(error.strerror or str(error)).lower()}"
        except EngineError as error:
            return error.message
        if reader.digest == digest:
            return None
        return f"it is damaged: its bytes now have the digest {reader.digest}"

    def _layer(self, diff_id: Digest) -> None:
        snapshots = self._root.snapshots
        assert snapshots is not None
        if not snapshots.keeps_tar and not self._stored_sources(diff_id):
            return  # there is nothing to compare it with; that is its image's problem
        try:
            snapshots.verify(diff_id, self._seen)
        except EngineError as error:
            self._damaged_layer(diff_id, snapshots, error)

    def _damaged_layer(
        self, diff_id: Digest, snapshots: DirectorySnapshotter, error: EngineError
    ) -> None:
        if error.kind is Kind.RESOURCE_EXHAUSTED:
            raise error
        sources = [*self._own_source(diff_id, snapshots), *self._stored_sources(diff_id)]
        what = error.message.removeprefix(f"layer {diff_id}: ")
        users = ", ".join(self._records.users(layer=diff_id)) if self._records else ""
        used = f"; it is a part of {users}" if users else ""
        if sources:
            remedy = f"{_REPAIR} makes it anew from {sources[0].where}"
        else:
            remedy = f"{_REPAIR} sets it aside; {_AGAIN}"
        with self._lock:
            if sources:
                self._sources[diff_id] = sources
            self._findings.layers[diff_id] = self._findings.add(
                Problem("layer", diff_id, what + used, remedy)
            )

    def _look_for_layers(self, missing: set[Digest]) -> None:
        """Those that are nowhere, but can be made anew: a repair may have been interrupted while
        it did. Of the others their images speak."""
        for diff_id in sorted(missing):
            if self._root.snapshots is None or not (sources := self._stored_sources(diff_id)):
                continue
            users = ", ".join(self._records.users(layer=diff_id)) if self._records else ""
            used = f"; it is a part of {users}" if users else ""
            remedy = f"{_REPAIR} makes it anew from {sources[0].where}"
            self._sources[diff_id] = sources
            self._findings.layers[diff_id] = self._findings.add(
                Problem("layer", diff_id, f"it is missing{used}", remedy)
            )

    def _own_source(self, diff_id: Digest, snapshots: DirectorySnapshotter) -> list[Source]:
        row = self._row(diff_id)
        sizes = [row.size] if row and row.blob is None else []
        tar = snapshots.intact_tar(diff_id, sizes)
        if tar is None:
            return []
        tar.close()

        def again() -> BinaryIO:
            tar = snapshots.intact_tar(diff_id, sizes)
            assert tar is not None
            return tar

        return [Source("its tar, which is whole", again)]

    def _stored_sources(self, diff_id: Digest) -> list[Source]:
        """Blobs that are whole, and hold the layer's tar."""
        row = self._row(diff_id)
        content = self._root.content
        blobs = [row.blob if row and row.blob else diff_id, diff_id]
        return [
            Source(f"the blob {blob}", partial(self._open_blob, blob))
            for blob in dict.fromkeys(blobs)
            if blob not in self._findings.blobs and content.contains(blob)
        ]

    def _open_blob(self, blob: Digest) -> BinaryIO:
        return open_layer(self._root.content.open(blob))

    def _row(self, diff_id: Digest) -> LayerRecord | None:
        return self._records.layers.get(diff_id) if self._records else None


def check(root: DataRoot, progress: Progress = lambda done, total: None) -> Checked:
    """Verify all of a data root. What is there is changed by nothing."""
    return Check(root, progress).run()
