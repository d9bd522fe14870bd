"""A root file system's tar becomes an image of one layer.

It is decompressed while it arrives. A driver that keeps tars makes a layer of it as it passes; for
others it is stored as a blob, and applied when its digest is known.
"""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.errdefs import EngineError, Kind
from wherry.faults import fault
from wherry.images.collector import Collector, Lease
from wherry.images.found import FoundImage, FoundLayer
from wherry.images.load import register
from wherry.layers.compression import open_layer
from wherry.layers.tar import Readable
from wherry.reference import Reference
from wherry.spec import media
from wherry.spec.digest import Digest
from wherry.spec.image import (
    Descriptor,
    History,
    ImageConfig,
    Manifest,
    RootFS,
    RunConfig,
    encode,
)
from wherry.spec.platform import Platform

_CHUNK: Final = 1 << 20
_MEMBER: Final = "root file system"
"""What errors call the tar, as if it were an archive's."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a root file system does not say of itself.

    `config` is what its containers start with; an empty `message` becomes Docker's own.
    """

    platform: Platform
    name: Reference | None = None
    message: str = ""
    config: RunConfig = field(default_factory=RunConfig)


def import_image(stream: BinaryIO, described: Described, collector: Collector) -> Digest:
    """Store the tar in `stream`, compressed or not, as an image; its ID.

    Raises InvalidArgument for a stream that is empty, cut off, corrupt, or no tar.
    """
    if described.platform.os != "linux":
        raise errdefs.invalid("operating system is not supported")
    with collector.lease("load") as lease:
        layer = _store(stream, collector, lease)
        fault("images.import.after-blob")
        image = _image(layer, described, lease)
        register([image], collector, lease, lambda name, done, total: None)
    return image.id


def _store(stream: BinaryIO, collector: Collector, lease: Lease) -> FoundLayer:
    with open_layer(stream) as opened:
        tar = _Counted(opened)
        if collector.snapshots.keeps_tar:
            diff_id = _receive(tar, lease)
        else:
            diff_id = _ingest(tar, collector, lease)
    if not tar.count:
        raise errdefs.invalid("the archive to import is empty: it has no bytes at all")
    return FoundLayer(diff_id, diff_id, tar.count, media.OCI_LAYER, _MEMBER)


def _receive(tar: Readable, lease: Lease) -> Digest:
    try:
        return lease.receive(tar)
    except EngineError as error:
        if error.kind is not Kind.INVALID_ARGUMENT:
            raise
        raise errdefs.invalid(f"the archive's {_MEMBER}: {error.message}") from error


def _ingest(tar: Readable, collector: Collector, lease: Lease) -> Digest:
    with collector.content.ingest("the imported file system") as ingest:
        while chunk := tar.read(_CHUNK):
            ingest.write(chunk)
        return lease.commit(ingest)


class _Counted:
    """A stream that knows how many bytes were read of it."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data


def _image(layer: FoundLayer, described: Described, lease: Lease) -> FoundImage:
    created = _now()
    message = described.message or "Imported from -"
    platform = described.platform
    config = ImageConfig(
        RootFS("layers", (layer.diff_id,)),
        platform.architecture,
        platform.os,
        variant=platform.variant,
        created=created,
        comment=message,
        config=described.config,
        history=(History(created, comment=message),),
    )
    data = encode(config)
    config_id = lease.put(data, "the config of an imported image")
    manifest = encode(
        Manifest(
            2,
            Descriptor(media.OCI_CONFIG, config_id, len(data)),
            (Descriptor(layer.media_type, layer.blob, layer.size),),
            media_type=media.OCI_MANIFEST,
        )
    )
    manifest_id = lease.put(manifest, "the manifest of an imported image")
    return FoundImage(
        config_id,
        config,
        Descriptor(media.OCI_MANIFEST, manifest_id, len(manifest)),
        manifest_id,
        (layer,),
        frozenset({config_id, manifest_id, layer.blob}),
        (described.name,) if described.name else (),
    )


def _now() -> str:
    """RFC 3339, to the nanosecond."""
    seconds, rest = divmod(time.time_ns(), 10**9)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
