"""Loading an archive: its parts stored, its layers applied, and then one transaction.

    archive ──read_archive──> blobs ──images_of──> FoundImages ──unpack──> layers
                 │                                                          │
                 └── a lease holds all of it ──────────────> images, names: one commit

Before the commit nothing names the images; after it everything they need is on the disk. What the
lease held and no image needs is freed either way.
"""

from __future__ import annotations

import time
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.faults import fault
from wherry.images import docker_archive, oci_archive
from wherry.images.archive import Archive, read_archive
from wherry.images.collector import Collector, Lease
from wherry.images.found import FoundImage
from wherry.images.image import LoadedImage
from wherry.images.reporting import Progress
from wherry.images.unpacking import unpack
from wherry.metadata import ImageRecord, LayerRecord, NameRecord, Transaction
from wherry.spec.image import encode
from wherry.spec.platform import Platform

_CHUNK: Final = 1 << 20


def load(
    stream: BinaryIO, collector: Collector, platform: Platform, progress: Progress
) -> list[LoadedImage]:
    """Store every image of the archive, all or none. Raises InvalidArgument for a bad one."""
    with collector.lease("load") as lease:
        archive = read_archive(stream, collector, lease, progress)
        fault("images.load.after-blobs")
        images = _images_of(archive, collector, lease, platform)
        _store_others(archive, images, collector, lease)
        return register(images, collector, lease, progress)


def register(
    images: list[FoundImage], collector: Collector, lease: Lease, progress: Progress
) -> list[LoadedImage]:
    """Apply the layers of images whose blobs the lease holds, and give them their names."""
    content, snapshots = collector.content, collector.snapshots
    layers = unpack(
        [layer for image in images for layer in image.layers], content, snapshots, lease, progress
    )
    fault("images.load.before-commit")
    now = time.time_ns()
    loaded = collector.database.write(lambda tx: _commit(tx, images, layers, now))
    fault("images.load.after-commit")
    return loaded


def _images_of(
    archive: Archive, collector: Collector, lease: Lease, platform: Platform
) -> list[FoundImage]:
    # Docker from 25 on writes both indexes. The OCI's keeps the manifests as they were.
    if oci_archive.is_complete(archive):
        return oci_archive.images_of(archive, collector.content, platform)
    if docker_archive.MANIFEST_JSON in archive.documents:
        return docker_archive.images_of(archive, collector.content, lease)
    if oci_archive.INDEX_JSON in archive.documents:
        return oci_archive.images_of(archive, collector.content, platform)
    raise errdefs.invalid(
        "the archive is neither a docker-archive nor an OCI layout: it has no manifest.json and no "
        "index.json (it may be cut off; and a file system, as `docker export` writes it, is not an "
        "image)"
    )


def _store_others(
    archive: Archive, images: list[FoundImage], collector: Collector, lease: Lease
) -> None:
    """Layers of other platforms' images, which we keep and do not use, become blobs again."""
    used = {layer.blob for image in images for layer in image.layers}
    kept = {digest for image in images for digest in image.blobs}
    for member in archive.layers():
        if member.digest in kept - used and not lease.has_blob(member.digest):
            with (
                collector.snapshots.open_tar(member.digest) as tar,
                collector.content.ingest(f"the archive's {member.name}") as ingest,
            ):
                while chunk := tar.read(_CHUNK):
                    ingest.write(chunk)
                lease.commit(ingest, member.digest)


def _commit(
    tx: Transaction, images: list[FoundImage], layers: list[LayerRecord], now: int
) -> list[LoadedImage]:
    kept_elsewhere = {layer.diff_id for layer in layers if layer.blob is None}
    for layer in layers:
        known = tx.layer(layer.diff_id)
        if known is None or (known.blob != layer.blob and layer.blob is None):
            tx.put_layer(layer)
    loaded: list[LoadedImage] = []
    for image in images:
        diff_ids = tuple(layer.diff_id for layer in image.layers)
        target = encode(image.target)
        tx.put_image(
            ImageRecord(
                image.id, target, image.manifest, now, diff_ids, image.blobs - kept_elsewhere
            )
        )
        tx.delete_step_image(image.id)
        for name in image.names:
            replaced = tx.put_name(NameRecord(str(name), image.id, target))
            loaded.append(LoadedImage(image.id, name, replaced))
        if not image.names:
            loaded.append(LoadedImage(image.id, None))
    return loaded
