"""docker-archives: `manifest.json` lists configs and layers by the names of members.

    docker up to 24          docker from 25           podman, skopeo
    ---------------          --------------           --------------
    manifest.json            manifest.json            manifest.json
    <config hex>.json        blobs/sha256/<hex>       <config hex>.json
    <v1 id>/layer.tar        index.json               <diffID hex>.tar
    <v1 id>/VERSION, json    oci-layout               <v1 id>/layer.tar -> ../<diffID hex>.tar

They have no manifest of the registry's kind, so we make one. A layer has no digest but its diffID
in the config.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from wherry import errdefs
from wherry.content.store import ContentStore
from wherry.errdefs import EngineError
from wherry.images.archive import Archive, Member
from wherry.images.collector import Lease
from wherry.images.found import Documents, FoundImage, FoundLayer, paired
from wherry.layers.compression import HEAD_SIZE, detect
from wherry.reference import Reference, parse
from wherry.spec import media
from wherry.spec.digest import Digest
from wherry.spec.image import Descriptor, ImageConfig, Manifest, encode, parse_document

MANIFEST_JSON = "manifest.json"


class Item(msgspec.Struct, frozen=True, rename="pascal"):
    """One image of `manifest.json`."""

    config: str
    layers: tuple[str, ...] = ()
    repo_tags: tuple[str, ...] = ()


def images_of(archive: Archive, content: ContentStore, lease: Lease) -> list[FoundImage]:
    """The images that `manifest.json` lists. Raises InvalidArgument, naming what is wrong."""
    items = parse_document(
        archive.documents[MANIFEST_JSON], tuple[Item, ...], f"the archive's {MANIFEST_JSON}"
    )
    if not items:
        raise errdefs.invalid(f"the archive's {MANIFEST_JSON} lists no images")
    documents = Documents(content)
    return [_image(item, documents.config, archive, content, lease) for item in items]


def _image(
    item: Item,
    config_of: Callable[[Member], ImageConfig],
    archive: Archive,
    content: ContentStore,
    lease: Lease,
) -> FoundImage:
    names = tuple(_name(text) for text in item.repo_tags)
    member = archive.member(item.config, MANIFEST_JSON)
    config = config_of(member)
    what = f"{MANIFEST_JSON}'s image {item.config}"
    diff_ids = paired(config, len(item.layers), what)
    layers = tuple(
        _layer(diff_id, archive.member(name, MANIFEST_JSON), content)
        for diff_id, name in zip(diff_ids, item.layers, strict=True)
    )
    data = encode(_manifest(member, layers))
    manifest = lease.put(data, f"the manifest of {item.config}")
    return FoundImage(
        member.digest,
        config,
        Descriptor(media.OCI_MANIFEST, manifest, len(data)),
        manifest,
        layers,
        frozenset({manifest, member.digest, *(layer.blob for layer in layers)}),
        names,
    )


def _name(text: str) -> Reference:
    try:
        return parse(text).tagged()
    except EngineError as error:
        raise errdefs.invalid(
            f"{MANIFEST_JSON} names an image {text!r}: {error.message}"
        ) from error


def _layer(diff_id: Digest, member: Member, content: ContentStore) -> FoundLayer:
    compression = None
    if not member.is_layer:
        with content.open(member.digest) as stream:
            compression = detect(stream.read(HEAD_SIZE))
    media_type = media.LAYER_BY_COMPRESSION.get(compression)
    if media_type is None:
        # No registry knows a layer compressed so. Nobody writes them.
        raise errdefs.invalid(
            f"the archive's {member.name} is compressed with {compression}; layers are plain, "
            "gzip or zstd"
        )
    return FoundLayer(diff_id, member.digest, member.size, media_type, member.name)


def _manifest(config: Member, layers: tuple[FoundLayer, ...]) -> Manifest:
    return Manifest(
        2,
        Descriptor(media.OCI_CONFIG, config.digest, config.size),
        tuple(Descriptor(layer.media_type, layer.blob, layer.size) for layer in layers),
        media_type=media.OCI_MANIFEST,
    )
