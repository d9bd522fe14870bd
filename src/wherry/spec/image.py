"""Manifests, indexes and image configs: the OCI's and Docker's documents are one family.

Reading is strict about types and sizes and open to unknown fields, as the specification asks.
Go's encoder writes `null` for an empty list or map, so a null field is an absent one. The bytes
that came are the identity; what is decoded here is never written back in their place.
"""

from typing import Annotated, Final, TypeVar

import msgspec

from wherry import errdefs
from wherry.spec import media
from wherry.spec.digest import Digest
from wherry.spec.platform import Platform

MANIFEST_MAX: Final = 4 << 20
"""Bytes of a manifest or an index: the limit that registries keep."""

CONFIG_MAX: Final = 8 << 20
"""Bytes of an image config: containerd's limit."""

LAYERS_MAX: Final = 500
"""Layers of an image: as many as the kernel stacks in one overlay mount."""

Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Empty(msgspec.Struct, frozen=True):
    """The value in a map that Go uses as a set: `{}`."""


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What some content is, how long, and its digest (OCI image-spec, descriptor.md)."""

    media_type: str
    digest: Digest
    size: Size
    urls: tuple[str, ...] = ()
    annotations: dict[str, str] = {}
    platform: Platform | None = None
    artifact_type: str = ""


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One image for one platform (OCI manifest, or Docker's schema 2)."""

    schema_version: int
    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = ""
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Manifests of one image for several platforms (OCI index, or Docker's manifest list)."""

    schema_version: int
    manifests: tuple[Descriptor, ...]
    media_type: str = ""
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Healthcheck(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """Docker's HEALTHCHECK. Durations are nanoseconds; 0 inherits the default."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class RunConfig(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """What a container of the image starts with, where its request says nothing else."""

    user: str = ""
    exposed_ports: dict[str, Empty] = {}
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    volumes: dict[str, Empty] = {}
    working_dir: str = ""
    labels: dict[str, str] = {}
    stop_signal: str = ""
    stop_timeout: int | None = None
    args_escaped: bool = False
    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    network_disabled: bool = False
    healthcheck: Healthcheck | None = None
    on_build: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()


class RootFS(msgspec.Struct, frozen=True):
    """The stack of layers, bottom first."""

    type: str
    diff_ids: tuple[Digest, ...]


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step that made the image; one with `empty_layer` has no diffID."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """The config of an image; the digest of its bytes is the image's ID."""

    rootfs: RootFS
    architecture: str = ""
    os: str = ""
    os_version: str = msgspec.field(name="os.version", default="")
    os_features: tuple[str, ...] = msgspec.field(name="os.features", default=())
    variant: str = ""
    created: str = ""
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    config: RunConfig = RunConfig()
    history: tuple[History, ...] = ()

    @property
    def platform(self) -> Platform:
        return Platform(
            self.architecture, self.os, self.os_version, self.os_features, self.variant
        ).normalized()


T = TypeVar("T")


def decode_config(data: bytes, what: str = "image config") -> ImageConfig:
    """The image config in `data`; `what` names the object in the error.

    Raises InvalidArgument: not JSON, wrong types, too large, too many layers, no root file system.
    """
    document = _parse(data, CONFIG_MAX, what)
    if isinstance(document, dict) and isinstance(document.get("config"), dict):
        run = document["config"]
        for key in ("Entrypoint", "Cmd", "Shell"):
            # Docker reads a bare string as a list of one (its type StrSlice).
            if isinstance(run.get(key), str):
                run[key] = [run[key]]
    config = _convert(document, ImageConfig, what)
    if config.rootfs.type != "layers":
        raise errdefs.invalid(f"{what}: rootfs.type {config.rootfs.type!r} is not 'layers'")
    _limit_layers(len(config.rootfs.diff_ids), what)
    return config


def decode_manifest(data: bytes, what: str = "image manifest") -> Manifest:
    """The manifest in `data`. Raises InvalidArgument, also for an index and for schema 1."""
    target = decode_target(data, what)
    if isinstance(target, Index):
        raise errdefs.invalid(f"{what}: it is an index, not the manifest of one image")
    return target


def decode_index(data: bytes, what: str = "image index") -> Index:
    """The index or manifest list in `data`. Raises InvalidArgument."""
    target = decode_target(data, what)
    if isinstance(target, Manifest):
        raise errdefs.invalid(f"{what}: it is the manifest of one image, not an index")
    return target


def decode_target(data: bytes, what: str = "manifest") -> Manifest | Index:
    """The manifest or the index in `data`, by its fields and its own media type.

    A document that is both is refused: two readers could see two images in it
    (CVE-2021-41190). Raises InvalidArgument.
    """
    document = _parse(data, MANIFEST_MAX, what)
    if not isinstance(document, dict):
        raise errdefs.invalid(f"{what}: expected a JSON object")
    if document.get("schemaVersion") == 1 or "fsLayers" in document:
        raise errdefs.invalid(
            f"{what}: schema 1 is not supported; push the image again with a newer tool"
        )
    if document.get("schemaVersion") != 2:
        raise errdefs.invalid(f"{what}: schemaVersion is not 2")
    is_index = "manifests" in document
    if is_index and ("config" in document or "layers" in document):
        raise errdefs.invalid(f"{what}: ambiguous, it has both manifests and layers")
    media_type = document.get("mediaType")
    if media_type is not None and media_type not in (
        media.INDEXES if is_index else media.MANIFESTS
    ):
        raise errdefs.invalid(f"{what}: its media type {media_type!r} does not fit its fields")
    if is_index:
        return _convert(document, Index, what)
    manifest = _convert(document, Manifest, what)
    _limit_layers(len(manifest.layers), what)
    return manifest


def decode_descriptor(data: bytes) -> Descriptor:
    """A descriptor that `encode` wrote. Raises InvalidArgument."""
    return _convert(_parse(data, MANIFEST_MAX, "descriptor"), Descriptor, "descriptor")


def encode(value: msgspec.Struct) -> bytes:
    """Compact JSON, the same bytes for equal values."""
    return _encoder.encode(value)


def parse_document(data: bytes, kind: type[T], what: str, limit: int = MANIFEST_MAX) -> T:
    """Any other document of the family, with the same rules. Raises InvalidArgument."""
    return _convert(_parse(data, limit, what), kind, what)


def _parse(data: bytes, limit: int, what: str) -> object:
    if len(data) > limit:
        raise errdefs.invalid(f"{what}: {len(data)} bytes are more than the limit of {limit}")
    try:
        return _without_nulls(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errdefs.invalid(f"{what}: not valid JSON: {error}") from error
    except RecursionError as error:
        raise errdefs.invalid(f"{what}: nested too deeply") from error


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _convert(document: object, kind: type[T], what: str) -> T:
    try:
        return msgspec.convert(document, kind, dec_hook=_read_digest)
    except msgspec.ValidationError as error:
        raise errdefs.invalid(f"{what}: {error}") from error


def _read_digest(kind: type, value: object) -> Digest:
    assert kind is Digest
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    try:
        return Digest.parse(value)
    except errdefs.EngineError as error:
        raise ValueError(error.message) from error


def _limit_layers(count: int, what: str) -> None:
    if count > LAYERS_MAX:
        raise errdefs.invalid(f"{what}: {count} layers are more than the limit of {LAYERS_MAX}")


_encoder = msgspec.json.Encoder(enc_hook=str)
