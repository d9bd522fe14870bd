"""Layers on their way from the content store to the snapshotter, and back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.content.disk import sparing
from wherry.content.store import ContentStore
from wherry.errdefs import EngineError, Kind
from wherry.images.collector import Lease
from wherry.images.found import FoundLayer
from wherry.images.image import short
from wherry.images.reporting import Progress, Reported
from wherry.layers.compression import HashingReader, open_layer
from wherry.metadata import Database, LayerRecord
from wherry.snapshots.protocol import Snapshotter
from wherry.spec.digest import Digest

__all__ = ["Progress", "opener", "unpack"]

_AT_ONCE: Final = min(4, os.cpu_count() or 1)


def opener(content: ContentStore, database: Database) -> Callable[[Digest], BinaryIO]:
    """What opens a layer's uncompressed tar by its diffID, for snapshotters that keep none.

    It raises NotFound if the layer is not known.
    """

    def open_tar(diff_id: Digest) -> BinaryIO:
        layer = database.read(lambda tx: tx.layer(diff_id))
        if layer is None or layer.blob is None:
            raise errdefs.not_found(f"layer {diff_id} is not in the content store")
        return open_layer(content.open(layer.blob))

    return open_tar


def unpack(
    layers: Iterable[FoundLayer],
    content: ContentStore,
    snapshots: Snapshotter,
    lease: Lease,
    progress: Progress,
) -> list[LayerRecord]:
    """Apply the layers that are not yet there; all are held by the lease and verified.

    Several at once, each by threads of its own that hold a few megabytes (`layers.pipeline`).
    Raises InvalidArgument for a layer that is not what its config says, naming its member: the
    first of them, in the order given.
    """
    distinct: dict[Digest, FoundLayer] = {}
    for layer in layers:
        distinct.setdefault(layer.diff_id, layer)

    def apply(layer: FoundLayer) -> LayerRecord:
        try:
            usage = _apply(layer, content, snapshots, lease, progress)
        except EngineError as error:
            if error.kind not in (Kind.DATA_LOSS, Kind.INVALID_ARGUMENT):
                raise
            raise errdefs.invalid(f"the archive's {layer.member}: {error.message}") from error
        keeps = snapshots.keeps_tar and layer.blob == layer.diff_id
        blob = None if keeps else layer.blob
        return LayerRecord(layer.diff_id, blob, layer.media_type, layer.size, usage)

    pool = ThreadPoolExecutor(_AT_ONCE, "layer")
    try:
        return list(pool.map(apply, distinct.values()))
    finally:
        pool.shutdown(cancel_futures=True)


def _apply(
    layer: FoundLayer,
    content: ContentStore,
    snapshots: Snapshotter,
    lease: Lease,
    progress: Progress,
) -> int:
    """The bytes of the layer's files."""
    if layer.blob != layer.diff_id and snapshots.keeps_tar and snapshots.contains(layer.blob):
        # It was a plain tar and is a layer by now, under the digest of its bytes.
        raise errdefs.data_loss(
            f"its bytes have the digest {layer.blob}, not {layer.diff_id}, as its config says"
        )
    if lease.has_layer(layer.diff_id):
        if layer.blob != layer.diff_id:
            _verify(layer, content)
        return snapshots.usage(layer.diff_id).bytes
    with content.open(layer.blob) as blob:
        reported = Reported(blob, short(layer.diff_id), layer.size, progress)
        tar = open_layer(reported)
        usage = snapshots.apply(layer.diff_id, sparing(tar, content.reserve()))
    progress(short(layer.diff_id), layer.size, layer.size)
    return usage.bytes


def _verify(layer: FoundLayer, content: ContentStore) -> None:
    """See that other bytes of a layer that we have are the same layer, compressed."""
    with open_layer(content.open(layer.blob)) as tar:
        reader = HashingReader(tar)
        reader.drain()
    if reader.digest != layer.diff_id:
        raise errdefs.data_loss(
            f"its uncompressed bytes have the digest {reader.digest}, not {layer.diff_id}"
        )
