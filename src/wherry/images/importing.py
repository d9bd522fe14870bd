"""A root file system's tar becomes an image of one layer.

It is decompressed while it arrives. A driver that keeps tars makes a layer of it as it passes; for
others it is stored as a blob, and applied when its digest is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO

from wherry import errdefs
from wherry.errdefs import EngineError, Kind
from wherry.faults import fault
from wherry.images.collector import Collector, Lease
from wherry.images.making import commit, keep_layer, timestamp
from wherry.layers.compression import open_layer
from wherry.metadata import LayerRecord
from wherry.reference import Reference
from wherry.spec.digest import Digest
from wherry.spec.image import History, ImageConfig, RootFS, RunConfig
from wherry.spec.platform import Platform


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
        layer = _layer(stream, collector, lease)
        fault("images.import.after-blob")
        names = (described.name,) if described.name else ()
        return commit(_config(layer, described), collector, lease, names, [layer]).id


def _layer(stream: BinaryIO, collector: Collector, lease: Lease) -> LayerRecord:
    try:
        with open_layer(stream) as tar:
            layer = keep_layer(tar, collector, lease, "the imported file system")
    except EngineError as error:
        if error.kind is not Kind.INVALID_ARGUMENT:
            raise
        raise errdefs.invalid(f"the archive's root file system: {error.message}") from error
    if not layer.size:
        raise errdefs.invalid("the archive to import is empty: it has no bytes at all")
    return layer


def _config(layer: LayerRecord, described: Described) -> ImageConfig:
    created = timestamp()
    message = described.message or "Imported from -"
    platform = described.platform
    return ImageConfig(
        RootFS("layers", (layer.diff_id,)),
        platform.architecture,
        platform.os,
        variant=platform.variant,
        created=created,
        comment=message,
        config=described.config,
        history=(History(created, comment=message),),
    )
