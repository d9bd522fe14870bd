"""Images become an archive, made while it is read: nothing of a layer is held or stored.

    blobs/sha256/<hex>     configs, manifests, and each layer's uncompressed tar once
    index.json             an OCI layout's: a manifest for each name
    manifest.json          a docker-archive's: configs, names and layers by the names of members
    oci-layout
    repositories           what Docker before 1.10 read

That is what docker from 25 on writes. The same images give the same bytes: an entry's time is its
image's, or 1970, and its owner is root.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

import msgspec

from wherry import errdefs
from wherry.content.store import ContentStore
from wherry.errdefs import EngineError
from wherry.images.archive import blob_path
from wherry.images.collector import Collector, Lease
from wherry.images.image import Image
from wherry.images.resolving import resolve
from wherry.layers.tar import DIRECTORY, Entry, encode
from wherry.metadata import ImageRecord, Transaction
from wherry.reference import Reference, parse
from wherry.snapshots.protocol import Snapshotter
from wherry.spec import media
from wherry.spec.digest import Digest
from wherry.spec.image import Descriptor, Index, Manifest, decode_manifest
from wherry.spec.image import encode as encode_document

_CHUNK: Final = 1 << 20
_BLOCK: Final = 512
_LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'
_LATEST: Final = (1 << 33) - 1
"""The largest time that a tar's field holds."""

_IMAGE_NAME: Final = "io.containerd.image.name"
_REFERENCE: Final = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Chosen:
    """An image to be saved, under these of its names; under none if it was asked for by its ID."""

    record: ImageRecord
    names: tuple[Reference, ...]


def choose(tx: Transaction, texts: Sequence[str]) -> list[Chosen]:
    """The images that `texts` mean, each once, in the order of the texts.

    A repository without a tag means all of its tags, as Docker has it. Raises NotFound, or
    InvalidArgument for what can be no image's name.
    """
    chosen: dict[Digest, Chosen] = {}
    for text in texts:
        for record, name in _meant(tx, text):
            before = chosen.get(record.id, Chosen(record, ()))
            if name is not None and name not in before.names:
                before = Chosen(record, (*before.names, name))
            chosen[record.id] = before
    return list(chosen.values())


def _meant(tx: Transaction, text: str) -> list[tuple[ImageRecord, Reference | None]]:
    repository = _repository(text)
    if repository:
        tagged = [
            (tx.image(record.image_id), name)
            for record in tx.names()
            if (name := parse(record.name)).repository == repository and name.tag
        ]
        if tagged:
            return [(record, name) for record, name in tagged if record is not None]
    found = resolve(tx, text)
    names = [name for record in found.names if (name := parse(record.name)).tag]
    return [(found.image, name) for name in names] or [(found.image, None)]


def _repository(text: str) -> str:
    """The repository that a name without tag and digest is; empty for everything else."""
    try:
        reference = parse(text)
    except EngineError:
        return ""  # an ID, or nonsense, which resolving tells apart
    return reference.repository if reference.is_name_only else ""


def hold(chosen: Iterable[Chosen], lease: Lease) -> None:
    """Let the lease keep all that an archive of the images needs."""
    for one in chosen:
        for digest in one.record.blobs:
            lease.has_blob(digest)
        for diff_id in one.record.layers:
            lease.has_layer(diff_id)
            lease.has_blob(diff_id)


def archive(images: Sequence[tuple[Image, Chosen]], collector: Collector) -> Iterator[bytes]:
    """The archive's bytes, in pieces of up to a megabyte.

    Something must hold the images as long. Raises DataLoss if a part of one is missing or has
    changed its length.
    """
    return _joined(_Archive(images, collector).pieces())


class _Archive:
    """One archive on its way out."""

    def __init__(self, images: Sequence[tuple[Image, Chosen]], collector: Collector) -> None:
        self._images = images
        self._content = collector.content
        self._layers = _Layers(collector)
        self._written: set[Digest] = set()

    def pieces(self) -> Iterator[bytes]:
        yield _directory("blobs")
        yield _directory("blobs/sha256")
        manifests: list[Descriptor] = []
        for image, chosen in self._images:
            yield from self._blobs(image)
            manifest = self._manifest(image)
            descriptor = Descriptor(media.OCI_MANIFEST, Digest.of(manifest), len(manifest))
            yield from self._blob(descriptor.digest, manifest, _time(image))
            manifests += _described(descriptor, chosen.names)
        index = Index(2, tuple(manifests), media_type=media.OCI_INDEX)
        yield from _file("index.json", encode_document(index))
        yield from _file("manifest.json", self._docker_manifest())
        yield from _file("oci-layout", _LAYOUT)
        if repositories := self._repositories():
            yield from _file("repositories", msgspec.json.encode(repositories))
        yield bytes(2 * _BLOCK)

    def _blobs(self, image: Image) -> Iterator[bytes]:
        """The config and the layers."""
        yield from self._blob(image.id, _read(self._content, image.id), _time(image))
        for diff_id in image.diff_ids:
            if diff_id not in self._written:
                self._written.add(diff_id)
                yield from self._layer(diff_id, _time(image))

    def _blob(self, digest: Digest, data: bytes, time: int) -> Iterator[bytes]:
        if digest not in self._written:
            self._written.add(digest)
            yield from _file(blob_path(digest), data, time)

    def _layer(self, diff_id: Digest, time: int) -> Iterator[bytes]:
        size = self._layers.size(diff_id)
        yield _header(blob_path(diff_id), size, time)
        left = size
        with self._layers.open(diff_id) as tar:
            while left and (chunk := tar.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk
            if left or tar.read(1):
                raise errdefs.data_loss(
                    f"layer {diff_id} has no longer the {size} bytes that it was stored with "
                    "(remove its image, and load or pull it again)"
                )
        yield bytes(-size % _BLOCK)

    def _manifest(self, image: Image) -> bytes:
        """The image's own manifest if it describes layers as they are here, or one made to."""
        config = Descriptor(media.OCI_CONFIG, image.id, self._content.info(image.id).size)
        layers = tuple(
            Descriptor(media.OCI_LAYER, diff_id, self._layers.size(diff_id))
            for diff_id in image.diff_ids
        )
        own = _read(self._content, image.manifest)
        known = decode_manifest(own, f"manifest {image.manifest}")
        if known.media_type == media.OCI_MANIFEST and (known.config, known.layers) == (
            config,
            layers,
        ):
            return own
        return encode_document(Manifest(2, config, layers, media_type=media.OCI_MANIFEST))

    def _docker_manifest(self) -> bytes:
        return msgspec.json.encode(
            [
                {
                    "Config": blob_path(image.id),
                    "RepoTags": [name.familiar() for name in chosen.names] or None,
                    "Layers": [blob_path(diff_id) for diff_id in image.diff_ids],
                }
                for image, chosen in self._images
            ]
        )

    def _repositories(self) -> dict[str, dict[str, str]]:
        """By name and tag the topmost layer."""
        found: dict[str, dict[str, str]] = {}
        for image, chosen in self._images:
            for name in chosen.names:
                if image.diff_ids:
                    tags = found.setdefault(name.familiar_name(), {})
                    tags[name.tag_or_default] = image.diff_ids[-1].hex
        return found


class _Layers:
    """Layers as their uncompressed tars, wherever these are."""

    def __init__(self, collector: Collector) -> None:
        self._content: ContentStore = collector.content
        self._snapshots: Snapshotter = collector.snapshots
        self._sizes: dict[Digest, int] = {}

    def open(self, diff_id: Digest) -> BinaryIO:
        if self._content.contains(diff_id):
            return self._content.open(diff_id)
        return self._snapshots.open_tar(diff_id)

    def size(self, diff_id: Digest) -> int:
        """In bytes. A tar's header says how long a file will be, so a layer that is kept only
        compressed is decompressed once more for it."""
        if diff_id not in self._sizes:
            with self.open(diff_id) as tar:
                self._sizes[diff_id] = tar.seek(0, os.SEEK_END) if tar.seekable() else _count(tar)
        return self._sizes[diff_id]


def _count(stream: BinaryIO) -> int:
    size = 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
    return size


def _described(manifest: Descriptor, names: Sequence[Reference]) -> Iterator[Descriptor]:
    """What index.json says of an image: its manifest, for each of its names."""
    if not names:
        yield manifest
    for name in names:
        notes = {_IMAGE_NAME: str(name), _REFERENCE: name.tag_or_default}
        yield msgspec.structs.replace(manifest, annotations=notes)


def _read(content: ContentStore, digest: Digest) -> bytes:
    with content.open(digest) as stream:
        return stream.read()


def _time(image: Image) -> int:
    return min(max(image.created_seconds, 0), _LATEST)


def _directory(name: str) -> bytes:
    return encode(Entry(name.encode(), DIRECTORY, mode=0o755))


def _header(name: str, size: int, time: int = 0) -> bytes:
    return encode(Entry(name.encode(), mode=0o644, size=size, mtime_ns=time * 10**9))


def _file(name: str, data: bytes, time: int = 0) -> Iterator[bytes]:
    yield _header(name, len(data), time) + data + bytes(-len(data) % _BLOCK)


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, those of small pieces together: each piece has its price on the way."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    yield b"".join(waiting)
