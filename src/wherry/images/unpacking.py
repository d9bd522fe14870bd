"""Layers on their way from the content store to the snapshotter, and back."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import BinaryIO, Final, TypeAlias, cast

from wherry import errdefs
from wherry.content.disk import Reserve
from wherry.content.store import ContentStore
from wherry.errdefs import EngineError, Kind
from wherry.images.collector import Lease
from wherry.images.found import FoundLayer
from wherry.images.image import short
from wherry.layers.compression import HashingReader, open_layer
from wherry.metadata import Database, LayerRecord
from wherry.snapshots.protocol import Snapshotter
from wherry.spec.digest import Digest

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a layer's short diffID, the bytes done of its blob, and the blob's bytes."""

_STEP: Final = 1 << 20


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

    Raises InvalidArgument for a layer that is not what its config says, naming its member.
    """
    records: dict[Digest, LayerRecord] = {}
    for layer in layers:
        if layer.diff_id not in records:
            try:
                usage = _apply(layer, content, snapshots, lease, progress)
            except EngineError as error:
                if error.kind not in (Kind.DATA_LOSS, Kind.INVALID_ARGUMENT):
                    raise
                raise errdefs.invalid(f"the archive's {layer.member}: {error.message}") from error
            keeps = snapshots.keeps_tar and layer.blob == layer.diff_id
            records[layer.diff_id] = LayerRecord(
                layer.diff_id, None if keeps else layer.blob, layer.media_type, layer.size, usage
            )
    return list(records.values())


def _apply(
    layer: FoundLayer,
    content: ContentStore,
    snapshots: Snapshotter,
    lease: Lease,
    progress: Progress,
) -> int:
    """The bytes of the layer's files."""
    if lease.has_layer(layer.diff_id):
        if layer.blob != layer.diff_id:
            _verify(layer, content)
        return snapshots.usage(layer.diff_id).bytes
    report = _Reported(content.open(layer.blob), short(layer.diff_id), layer.size, progress)
    with open_layer(report) as tar:
        usage = snapshots.apply(layer.diff_id, _sparing(tar, content.reserve()))
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


def _sparing(tar: BinaryIO, reserve: Reserve) -> BinaryIO:
    """The same stream; its reading ends with an error when the disk is nearly full."""
    return cast("BinaryIO", _Sparing(tar, reserve))


class _Sparing(io.BufferedIOBase):
    def __init__(self, tar: BinaryIO, reserve: Reserve) -> None:
        self._tar = tar
        self._reserve = reserve

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._tar.read(-1 if size is None else size)
        self._reserve.spend(len(data))
        return data


class _Reported:
    """A blob being read, which says how far."""

    def __init__(self, stream: BinaryIO, name: str, total: int, progress: Progress) -> None:
        self._stream = stream
        self._name = name
        self._total = total
        self._progress = progress
        self._done = 0
        self._said = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._done += len(data)
        if self._done - self._said >= _STEP:
            self._said = self._done
            self._progress(self._name, self._done, self._total)
        return data

    def close(self) -> None:
        self._stream.close()
