"""What the dialects of archives have in common once they are understood."""

from __future__ import annotations

from dataclasses import dataclass

from wherry import errdefs
from wherry.content.store import ContentStore
from wherry.images.archive import Member
from wherry.reference import Reference
from wherry.spec.digest import Digest
from wherry.spec.image import CONFIG_MAX, Descriptor, ImageConfig, decode_config


@dataclass(frozen=True, slots=True)
class FoundLayer:
    """A layer's blob and the diffID that its uncompressed bytes must have.

    `member` is the archive's name for it, for messages.
    """

    diff_id: Digest
    blob: Digest
    size: int
    media_type: str
    member: str


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image whose parts are all in the content store, its layers not yet applied.

    `blobs` is everything that the content store must keep for it.
    """

    id: Digest
    config: ImageConfig
    target: Descriptor
    manifest: Digest
    layers: tuple[FoundLayer, ...]
    blobs: frozenset[Digest]
    names: tuple[Reference, ...]


def small_blob(content: ContentStore, member: Member, limit: int) -> bytes:
    """The bytes of a document; one beyond the limit is refused unread, by its name."""
    if member.size > limit:
        raise errdefs.invalid(
            f"the archive's {member.name} has {member.size} bytes, more than the limit of {limit}"
        )
    with content.open(member.digest) as stream:
        return stream.read()


def config_of(content: ContentStore, member: Member) -> ImageConfig:
    """The image config that a member holds. Raises InvalidArgument."""
    data = small_blob(content, member, CONFIG_MAX)
    return decode_config(data, f"image config {member.name}")


def paired(config: ImageConfig, layers: int, what: str) -> tuple[Digest, ...]:
    """The diffIDs, as many as there are layers. Raises InvalidArgument if they do not match."""
    diff_ids = config.rootfs.diff_ids
    if len(diff_ids) != layers:
        raise errdefs.invalid(
            f"{what} lists {layers} layers, but its config has {len(diff_ids)} diff_ids"
        )
    return diff_ids
