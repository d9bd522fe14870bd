"""From what people write to the image that they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from wherry import errdefs
from wherry.errdefs import EngineError
from wherry.images.image import short
from wherry.metadata import ImageRecord, NameRecord, Transaction
from wherry.reference import Reference, parse
from wherry.spec.digest import Digest
from wherry.spec.image import decode_descriptor

_PREFIX: Final = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})\Z")


@dataclass(frozen=True, slots=True)
class Resolved:
    """An image, and the stored names that the text meant; none if it was an ID."""

    image: ImageRecord
    names: tuple[NameRecord, ...]


def resolve(tx: Transaction, text: str) -> Resolved:
    """The image that a name, a name with a digest, an ID or the beginning of one means.

    A name goes before an ID that begins alike. Raises NotFound; InvalidArgument for what can be
    neither, or for a beginning that several IDs have.
    """
    if image := _by_whole_id(tx, text):
        return Resolved(image, ())
    names = _by_name(tx, text)
    if names:
        image = tx.image(names[0].image_id)
        assert image is not None, "the schema ties names to images"
        return Resolved(image, names)
    return Resolved(_by_beginning(tx, text), ())


def _by_whole_id(tx: Transaction, text: str) -> ImageRecord | None:
    digits = text.removeprefix("sha256:")
    if len(digits) != 64 or not _PREFIX.match(text):
        return None
    image = tx.image(Digest.from_hex(digits))
    if image is None:
        raise _missing(text)
    return image


def _by_name(tx: Transaction, text: str) -> tuple[NameRecord, ...]:
    try:
        reference = parse(text)
    except EngineError:
        if _PREFIX.match(text):
            return ()
        raise
    if reference.digest is not None:
        return _by_digest(tx, reference, reference.digest)
    record = tx.name(str(reference.tagged()))
    return (record,) if record else ()


def _by_digest(tx: Transaction, reference: Reference, digest: Digest) -> tuple[NameRecord, ...]:
    """The repository's names for that target; the tag, if there is one too, does not matter."""
    return tuple(
        record
        for record in tx.names()
        if parse(record.name).repository == reference.repository
        and decode_descriptor(record.target).digest == digest
    )


def _by_beginning(tx: Transaction, text: str) -> ImageRecord:
    match = _PREFIX.match(text)
    ids = tx.image_ids(match[1], limit=2) if match else []
    if len(ids) > 1:
        raise errdefs.invalid(
            f"the image ID {text} is ambiguous: {short(ids[0])} and {short(ids[1])} begin so; "
            "give more of its digits"
        )
    image = tx.image(ids[0]) if ids else None
    if image is None:
        raise _missing(text)
    return image


def _missing(text: str) -> EngineError:
    try:
        shown = parse(text).tagged().familiar()
    except EngineError:
        shown = text
    # Docker's words, which its clients look for. The way out is theirs too: they pull.
    return errdefs.not_found(f"No such image: {shown}")
