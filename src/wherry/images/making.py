"""Images that are made here: of an imported file system, of a build's steps, of a container.

    tar ──keep_layer──> a layer ──┐
                                  ├──commit──> config, manifest, one transaction
    the config that it is to have ┘

Until `commit` returns, a lease holds what there is of it.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from wherry import errdefs
from wherry.faults import fault
from wherry.images.collector import Collector, Lease
from wherry.layers.tar import Readable
from wherry.metadata import ImageRecord, LayerRecord, NameRecord, Transaction
from wherry.reference import Reference
from wherry.spec import media
from wherry.spec.digest import Digest
from wherry.spec.image import (
    Descriptor,
    ImageConfig,
    Manifest,
    decode_config,
    decode_manifest,
    encode,
)

_CHUNK: Final = 1 << 20
_BILLION: Final = 10**9


@dataclass(frozen=True, slots=True)
class Made:
    """An image that is stored. `replaced` are the images that had its names before."""

    id: Digest
    manifest: Descriptor
    replaced: tuple[Digest, ...] = ()


def keep_layer(tar: Readable, collector: Collector, lease: Lease, what: str) -> LayerRecord:
    """Store an uncompressed tar as a layer, which the lease holds.

    It is read once, as it comes, to its end. `what` it is, for messages. Raises InvalidArgument for
    what can be no layer, ResourceExhausted if it does not fit.
    """
    counted = _Counted(tar)
    snapshots = collector.snapshots
    if snapshots.keeps_tar:
        diff_id = lease.receive(counted)
        blob = None
    else:
        with collector.content.ingest(what) as ingest:
            while chunk := counted.read(_CHUNK):
                ingest.write(chunk)
            blob = diff_id = lease.commit(ingest)
        if not lease.has_layer(diff_id):
            with collector.content.open(diff_id) as stored:
                snapshots.apply(diff_id, stored)
    usage = snapshots.usage(diff_id).bytes
    return LayerRecord(diff_id, blob, media.OCI_LAYER, counted.count, usage)


def commit(
    config: ImageConfig,
    collector: Collector,
    lease: Lease,
    names: Sequence[Reference] = (),
    layers: Iterable[LayerRecord] = (),
    *,
    hidden: bool = False,
) -> Made:
    """Store an image of layers that are there: config and manifest, then one durable transaction.

    `layers` are those that the database does not know yet. A name that another image had goes to
    this one. A `hidden` image is that of a build's step: it is on no list, and goes when the build
    cache is pruned; one that people see already stays as it is. Raises NotFound for a layer that is
    not there, InvalidArgument for what could not be read again.
    """
    data = encode(config)
    decode_config(data, "the image's config")
    config_id = lease.put(data, "an image's config")
    rows = {row.diff_id: row for row in layers}
    descriptors, blobs = collector.database.read(
        lambda tx: _described(tx, config.rootfs.diff_ids, rows)
    )
    manifest = encode(
        Manifest(
            2,
            Descriptor(media.OCI_CONFIG, config_id, len(data)),
            descriptors,
            media_type=media.OCI_MANIFEST,
        )
    )
    decode_manifest(manifest, "the image's manifest")
    manifest_id = lease.put(manifest, "an image's manifest")
    target = Descriptor(media.OCI_MANIFEST, manifest_id, len(manifest))
    record = ImageRecord(
        config_id,
        encode(target),
        manifest_id,
        time.time_ns(),
        config.rootfs.diff_ids,
        blobs | {config_id, manifest_id},
    )

    def put(tx: Transaction) -> tuple[Digest, ...]:
        for row in rows.values():
            if tx.layer(row.diff_id) is None:
                tx.put_layer(row)
        seen = tx.image(record.id) is not None and record.id not in tx.step_images()
        tx.put_image(record)
        if not hidden:
            tx.delete_step_image(record.id)
        elif not seen:
            tx.put_step_image(record.id)
        replaced = [tx.put_name(NameRecord(str(name), record.id, record.target)) for name in names]
        return tuple(digest for digest in replaced if digest)

    fault("images.make.before-commit")
    replaced = collector.database.write(put)
    fault("images.make.after-commit")
    return Made(config_id, target, replaced)


def timestamp(moment: int | None = None) -> str:
    """RFC 3339 to the nanosecond, of a moment in ns since 1970; by default of now."""
    seconds, rest = divmod(time.time_ns() if moment is None else moment, _BILLION)
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def _described(
    tx: Transaction, diff_ids: Sequence[Digest], rows: dict[Digest, LayerRecord]
) -> tuple[tuple[Descriptor, ...], frozenset[Digest]]:
    """The layers as a manifest names them, and the blobs that the content store has of them."""
    descriptors: list[Descriptor] = []
    blobs: set[Digest] = set()
    for diff_id in diff_ids:
        row = tx.layer(diff_id) or rows.get(diff_id)
        if row is None:
            raise errdefs.not_found(f"no such layer: {diff_id}")
        descriptors.append(Descriptor(row.media_type, row.blob or diff_id, row.size))
        if row.blob:
            blobs.add(row.blob)
    return tuple(descriptors), frozenset(blobs)


class _Counted:
    """A stream that knows how many bytes were read of it."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data
