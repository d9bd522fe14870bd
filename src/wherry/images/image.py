"""An image as the rest of Wherry sees it, and what happened to one."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TypeAlias

from wherry.reference import Reference
from wherry.spec.digest import Digest
from wherry.spec.image import Descriptor, ImageConfig


@dataclass(frozen=True, slots=True)
class Image:
    """A stored image for this machine's platform; everything that a container needs of it.

    `id` is its config's digest. `target` describes the index or manifest that it came by,
    `manifest` is the digest of its own manifest. `diff_ids` are its layers, bottom first. `size`
    are the bytes of its files, unpacked. `added_at` is in ns since 1970.
    """

    id: Digest
    names: tuple[Reference, ...]
    target: Descriptor
    manifest: Digest
    config: ImageConfig
    diff_ids: tuple[Digest, ...]
    size: int
    added_at: int

    @property
    def short_id(self) -> str:
        return short(self.id)

    @property
    def tags(self) -> list[str]:
        """The names with a tag, as people are shown them (Docker's RepoTags)."""
        return [name.familiar() for name in self.names if name.digest is None]

    @property
    def digests(self) -> list[str]:
        """The names with a digest, as people are shown them (Docker's RepoDigests)."""
        return [name.familiar() for name in self.names if name.digest is not None]

    @property
    def created(self) -> str:
        """When the image was made, as its config says (RFC 3339); empty if it does not."""
        return self.config.created

    @property
    def created_seconds(self) -> int:
        """`created` in seconds since 1970; 0 if it is not known or not a time."""
        return seconds_of(self.created)


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """One name that a load gave to an image, or an image that came without a name.

    `replaced` is the image that lost the name, if another had it.
    """

    id: Digest
    name: Reference | None
    replaced: Digest | None = None

    def messages(self) -> list[str]:
        """What Docker prints about it, a line each."""
        if self.name is None:
            return [f"Loaded image ID: {self.id}"]
        loaded = f"Loaded image: {self.name.familiar()}"
        if self.replaced is None:
            return [loaded]
        renamed = (
            f"The image {self.name.familiar()} already exists, renaming the old one with ID "
            f"{self.replaced} to empty string"
        )
        return [renamed, loaded]


@dataclass(frozen=True, slots=True)
class ContainerUse:
    """A container that was made of an image, for the protection of what is in use."""

    container_id: str
    image_id: Digest
    running: bool


@dataclass(frozen=True, slots=True)
class Untagged:
    """A name that is no more, in its familiar form."""

    name: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """An image (its ID) or a stack of layers (its chainID) that is no more."""

    digest: Digest


Removed: TypeAlias = list[Untagged | Deleted]
"""What a removal did, in the order that Docker reports it."""


def seconds_of(time: str, unknown: int = 0) -> int:
    """Seconds since 1970 of an RFC 3339 time; `unknown` if it is none."""
    try:
        # What comes after the microseconds is more than datetime reads before Python 3.12.
        whole, _, fraction = time.partition(".")
        zone = fraction.lstrip("0123456789") if fraction else ""
        moment = datetime.datetime.fromisoformat(whole + zone)
    except ValueError:
        return unknown
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return int(moment.timestamp())


def short(image_id: str) -> str:
    """The twelve hexadecimal digits that people are shown of an ID."""
    return image_id.removeprefix("sha256:")[:12]
