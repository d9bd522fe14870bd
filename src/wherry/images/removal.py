"""Removing images: which names go, what is in the way, and what is reported, as Docker does it.

By a name, the name goes; with the last one, the image. By an ID, the image goes with its names,
unless they are several: then it must be forced. What containers use is protected: from an
unforced removal if they are stopped, from any if one is running.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from wherry import errdefs
from wherry.images.collector import Unheld
from wherry.images.image import ContainerUse, Deleted, Removed, Untagged, short
from wherry.images.resolving import Resolved, resolve
from wherry.layers.chain import chain_id
from wherry.metadata import ImageRecord, NameRecord, Transaction
from wherry.reference import parse
from wherry.spec.digest import Digest


@dataclass(frozen=True, slots=True)
class Removal:
    """What was removed, in Docker's order, and what may be garbage now."""

    items: Removed
    unheld: Unheld


def remove(tx: Transaction, text: str, uses: Iterable[ContainerUse], force: bool) -> Removal:
    """Remove the name or the image that `text` means.

    Raises NotFound, or Conflict in Docker's words; then nothing is changed.
    """
    found = resolve(tx, text)
    own = [use for use in uses if use.image_id == found.image.id]
    if found.names:
        return _remove_by_name(tx, found, text, own, force)
    names = tx.names(found.image.id)
    several = not force and not _in_one_repository(names)
    running = _in_use(found.image.id, own, force=True)
    if several and not running:
        reason = "image is referenced in multiple repositories"
        raise _refusal(found.image.id, "must", reason)
    if conflict := running or _in_use(found.image.id, own, force):
        raise conflict
    return _remove_image(tx, found.image, names, own)


def remove_hidden(tx: Transaction, images: Iterable[Digest], used: Collection[Digest]) -> Unheld:
    """Remove those of the images that are still builds' own: that nobody has named, wanted or
    made a container of (`used` are the images of these)."""
    hidden = tx.step_images().intersection(images).difference(used)
    hidden -= {record.image_id for record in tx.names()}
    blobs: set[Digest] = set()
    layers: set[Digest] = set()
    for image in [one for one in tx.images() if one.id in hidden]:
        blobs |= image.blobs
        layers.update(image.layers)
        tx.delete_image(image.id)
    kept = {row.blob for row in tx.layers() if row.diff_id in layers and row.blob}
    return Unheld(blobs | kept, layers)


def _remove_by_name(
    tx: Transaction, found: Resolved, text: str, uses: Sequence[ContainerUse], force: bool
) -> Removal:
    image_id = found.image.id
    if not force and uses and _in_one_repository(tx.names(image_id)):
        raise errdefs.conflict(
            f'conflict: unable to remove repository reference "{text}" (must force) - container '
            f"{short(uses[0].container_id)} is using its referenced image {short(image_id)}"
        )
    for record in found.names:
        tx.delete_name(record.name)
    gone = [*found.names, *_orphaned_digests(tx, found)]
    left = tx.names(image_id)
    if left or _in_use(image_id, uses, force):
        # By force the name goes, and the image stays for the container that runs on it.
        return Removal([_untagged(record) for record in gone], Unheld((), ()))
    return _remove_image(tx, found.image, gone, uses)


def _orphaned_digests(tx: Transaction, found: Resolved) -> list[NameRecord]:
    """Names by digest in the repository go with its last tag (and are deleted here)."""
    repositories = {parse(record.name).repository for record in found.names}
    rest = [
        (record, reference)
        for record in tx.names(found.image.id)
        if (reference := parse(record.name)).repository in repositories
    ]
    if any(reference.digest is None for _, reference in rest):
        return []
    for record, _ in rest:
        tx.delete_name(record.name)
    return [record for record, _ in rest]


def _remove_image(
    tx: Transaction, image: ImageRecord, names: Iterable[NameRecord], uses: Sequence[ContainerUse]
) -> Removal:
    tx.delete_image(image.id)
    items: Removed = [_untagged(record) for record in names]
    items.append(Deleted(image.id))
    if not uses:
        items.extend(Deleted(chain) for chain in _unshared_chains(tx, image))
    layers = set(image.layers)
    kept = {row.blob for row in tx.layers() if row.diff_id in layers and row.blob}
    return Removal(items, Unheld(image.blobs | kept, layers))


def _unshared_chains(tx: Transaction, image: ImageRecord) -> list[Digest]:
    """The stacks of the image that no other image begins with, the topmost first."""
    shared = 0
    for other in tx.images():
        equal = map(operator.eq, image.layers, other.layers)
        shared = max(shared, sum(itertools.takewhile(bool, equal)))
    return [chain_id(image.layers[:height]) for height in range(len(image.layers), shared, -1)]


def _in_use(
    image_id: Digest, uses: Sequence[ContainerUse], force: bool
) -> errdefs.EngineError | None:
    """The conflict with a container, if there is one that `force` does not settle."""
    running = next((use for use in uses if use.running), None)
    if running:
        container = short(running.container_id)
        return _refusal(image_id, "cannot", f"image is being used by running container {container}")
    if uses and not force:
        container = short(uses[0].container_id)
        return _refusal(image_id, "must", f"image is being used by stopped container {container}")
    return None


def _in_one_repository(names: Sequence[NameRecord]) -> bool:
    """Whether at most one tag, and digests of its repository only, name the image."""
    references = [parse(record.name) for record in names]
    tags = sum(reference.digest is None for reference in references)
    return tags <= 1 and len({reference.repository for reference in references}) <= 1


def _refusal(image_id: Digest, verb: str, reason: str) -> errdefs.EngineError:
    return errdefs.conflict(
        f"conflict: unable to delete {short(image_id)} ({verb} be forced) - {reason}"
    )


def _untagged(record: NameRecord) -> Untagged:
    return Untagged(parse(record.name).familiar())
