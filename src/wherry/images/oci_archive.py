"""OCI layouts in a tar: `index.json` leads by digests to manifests, configs and layers.

Written by `docker save` from 25 on, `docker buildx -o type=oci`, `podman save --format
oci-archive`, `skopeo copy ... oci-archive:`. One entry of `index.json` is one image; an entry that
is an index itself is one image for several platforms, of which ours is taken, and the others'
parts that the archive holds are kept with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wherry import errdefs
from wherry.content.store import ContentStore
from wherry.errdefs import EngineError
from wherry.images.archive import Archive
from wherry.images.found import Documents, FoundImage, FoundLayer, paired
from wherry.reference import Reference, parse
from wherry.spec import media
from wherry.spec.digest import Digest
from wherry.spec.image import (
    MANIFEST_MAX,
    Descriptor,
    Index,
    Manifest,
    decode_index,
    decode_target,
)
from wherry.spec.platform import Platform

INDEX_JSON: Final = "index.json"
_DEPTH_MAX: Final = 4

# containerd's annotation holds the whole name. The OCI's may hold only a tag, by its own words,
# but podman and skopeo write the whole name there too.
_NAME_ANNOTATIONS: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def images_of(archive: Archive, content: ContentStore, platform: Platform) -> list[FoundImage]:
    """The images that `index.json` lists, for `platform`. Raises InvalidArgument."""
    index = decode_index(archive.documents[INDEX_JSON], f"the archive's {INDEX_JSON}")
    layout = Layout(archive, content, platform)
    targets = [target for target in index.manifests if not _is_attestation(target)]
    if not targets:
        raise errdefs.invalid(f"the archive's {INDEX_JSON} lists no images")
    return _merged([layout.image(target) for target in targets])


def is_complete(archive: Archive) -> bool:
    """Whether every target of the archive's index, if it has one, is in the archive."""
    if INDEX_JSON not in archive.documents:
        return False
    index = decode_index(archive.documents[INDEX_JSON], f"the archive's {INDEX_JSON}")
    return bool(index.manifests) and all(
        archive.has_blob(target.digest) for target in index.manifests
    )


class Layout:
    """The blobs of an archive as what they are for each other."""

    def __init__(self, archive: Archive, content: ContentStore, platform: Platform) -> None:
        self._archive = archive
        self._documents = Documents(content)
        self._platform = platform

    def image(self, target: Descriptor) -> FoundImage:
        """The image that a descriptor of `index.json` leads to."""
        chosen, manifest = self._choose(target)
        what = f"manifest {chosen}"
        if manifest.config.media_type not in media.CONFIGS:
            raise errdefs.invalid(
                f"{what} is not an image: its config is {manifest.config.media_type!r}"
            )
        config_member = self._archive.blob(manifest.config.digest, what)
        config = self._documents.config(config_member)
        diff_ids = paired(config, len(manifest.layers), what)
        layers = tuple(
            self._layer(diff_id, descriptor, what)
            for diff_id, descriptor in zip(diff_ids, manifest.layers, strict=True)
        )
        own = {chosen, config_member.digest, *(layer.blob for layer in layers)}
        return FoundImage(
            config_member.digest,
            config,
            target,
            chosen,
            layers,
            frozenset({*own, *self._held_by(target)}),
            _names(target),
        )

    def _choose(self, target: Descriptor) -> tuple[Digest, Manifest]:
        """The manifest to take of what a target offers; of a single one, that one."""
        document = self._document(target, INDEX_JSON)
        if isinstance(document, Manifest):
            return target.digest, document
        offered = [
            (one.platform or self._platform_of(one), one)
            for one in self._manifests(document, target.digest)
            if not _is_attestation(one)
        ]
        best = self._platform.best(platform for platform, _ in offered)
        if best is None:
            there = ", ".join(sorted({str(platform) for platform, _ in offered}))
            raise errdefs.invalid(
                f"the archive has no image for {self._platform} in {target.digest} "
                f"(it has {there or 'none'})"
            )
        chosen = offered[best][1]
        manifest = self._document(chosen, f"index {target.digest}")
        assert isinstance(manifest, Manifest)
        return chosen.digest, manifest

    def _manifests(self, index: Index, needed_by: Digest, depth: int = 1) -> Iterator[Descriptor]:
        """The manifests of an index that the archive holds, those of indexes in it included."""
        if depth > _DEPTH_MAX:
            raise errdefs.invalid(f"index {needed_by}: nested more than {_DEPTH_MAX} deep")
        for descriptor in index.manifests:
            if not self._archive.has_blob(descriptor.digest):
                continue
            document = self._document(descriptor, f"index {needed_by}")
            if isinstance(document, Manifest):
                yield descriptor
            else:
                yield from self._manifests(document, descriptor.digest, depth + 1)

    def _document(self, descriptor: Descriptor, needed_by: str) -> Manifest | Index:
        member = self._archive.blob(descriptor.digest, needed_by)
        data = self._documents.read(member, MANIFEST_MAX)
        return decode_target(data, f"manifest {descriptor.digest}")

    def _platform_of(self, descriptor: Descriptor) -> Platform:
        """What an index does not say, the config does."""
        manifest = self._document(descriptor, INDEX_JSON)
        assert isinstance(manifest, Manifest)
        if manifest.config.media_type not in media.CONFIGS:
            return Platform()
        member = self._archive.blob(manifest.config.digest, f"manifest {descriptor.digest}")
        return self._documents.config(member).platform

    def _layer(self, diff_id: Digest, descriptor: Descriptor, needed_by: str) -> FoundLayer:
        if "tar" not in descriptor.media_type:
            raise errdefs.invalid(
                f"{needed_by}: a layer of media type {descriptor.media_type!r} is not supported"
            )
        member = self._archive.blob(descriptor.digest, needed_by)
        if member.size != descriptor.size:
            raise errdefs.invalid(
                f"the archive's {member.name} has {member.size} bytes, but {needed_by} says "
                f"{descriptor.size}"
            )
        return FoundLayer(diff_id, member.digest, member.size, descriptor.media_type, member.name)

    def _held_by(self, target: Descriptor) -> set[Digest]:
        """Everything below a target that the archive holds, for other platforms too."""
        held: set[Digest] = set()
        waiting = [target]
        while waiting:
            descriptor = waiting.pop()
            if descriptor.digest in held or not self._archive.has_blob(descriptor.digest):
                continue
            held.add(descriptor.digest)
            if descriptor.media_type in media.INDEXES | media.MANIFESTS:
                document = self._document(descriptor, INDEX_JSON)
                below = (
                    document.manifests
                    if isinstance(document, Index)
                    else (document.config, *document.layers)
                )
                waiting.extend(below)
        return held


def _is_attestation(descriptor: Descriptor) -> bool:
    """BuildKit's provenance and SBOMs stand among the platforms, as a platform "unknown"."""
    platform = descriptor.platform
    return "vnd.docker.reference.type" in descriptor.annotations or (
        platform is not None and platform.os == platform.architecture == "unknown"
    )


def _names(target: Descriptor) -> tuple[Reference, ...]:
    """The name of an image, where an annotation holds one that can be a name."""
    for key in _NAME_ANNOTATIONS:
        text = target.annotations.get(key)
        if not text:
            continue
        try:
            return (parse(text).tagged(),)
        except EngineError:
            continue
    return ()


def _merged(images: list[FoundImage]) -> list[FoundImage]:
    """One image that is listed once for each of its names, as one; in the order of the list."""
    merged: dict[tuple[Digest, Digest], FoundImage] = {}
    for image in images:
        key = (image.id, image.target.digest)
        names = merged[key].names if key in merged else ()
        merged[key] = FoundImage(
            image.id,
            image.config,
            image.target,
            image.manifest,
            image.layers,
            image.blobs,
            (*names, *(name for name in image.names if name not in names)),
        )
    return list(merged.values())
