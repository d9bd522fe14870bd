"""What the dialects of archives have in common once they are understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wherry import errdefs
from wherry.content.store import ContentStore
from wherry.images.archive import Member
from wherry.reference import Reference
from wherry.spec.digest import Digest
from wherry.spec.image import CONFIG_MAX, Descriptor, ImageConfig, decode_config

# Some hundred times what an archive of a hundred images needs.
_READ_MAX: Final = 1 << 28


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


class Documents:
    """The small documents of one archive, read from the content store as often as it names them.

    Each has its limit, and all together have one: a few bytes can name a large document a hundred
    thousand times, or an index that names an index that does so too.
    """

    def __init__(self, content: ContentStore) -> None:
        self._content = content
        self._left = _READ_MAX

    def read(self, member: Member, limit: int) -> bytes:
        """The bytes of a document; one beyond the limit is refused unread, by its name."""
        if member.size > limit:
            raise errdefs.invalid(
                f"the archive's {member.name} has {member.size} bytes, more than the limit of "
                f"{limit}"
            )
        self._left -= member.size
        if self._left < 0:
            raise errdefs.invalid(
                f"the archive names its {member.name} and other documents so often that they come "
                f"to more than {_READ_MAX} bytes"
            )
        with self._content.open(member.digest) as stream:
            return stream.read()

    def config(self, member: Member) -> ImageConfig:
        """The image config that a member holds. Raises InvalidArgument."""
        return decode_config(self.read(member, CONFIG_MAX), f"image config {member.name}")


def paired(config: ImageConfig, layers: int, what: str) -> tuple[Digest, ...]:
    """The diffIDs, as many as there are layers. Raises InvalidArgument if they do not match."""
    diff_ids = config.rootfs.diff_ids
    if len(diff_ids) != layers:
        raise errdefs.invalid(
            f"{what} lists {layers} layers, but its config has {len(diff_ids)} diff_ids"
        )
    return diff_ids
