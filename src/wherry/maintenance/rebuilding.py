"""A database that can't be used, made anew of what is stored and of what can still be read in it.

Images are in the content store whole: a manifest names a config, a config its layers. What only
the database knew, names and containers, is read out of the damaged file as far as that goes.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from wherry import errdefs
from wherry.content.disk import sync_directory
from wherry.engine.document import read_document
from wherry.errdefs import EngineError
from wherry.faults import fault
from wherry.maintenance.findings import Findings
from wherry.maintenance.root import DATABASE, DataRoot
from wherry.metadata import (
    ContainerRecord,
    Database,
    ImageRecord,
    LayerRecord,
    NameRecord,
    Transaction,
)
from wherry.reference import parse
from wherry.spec import media
from wherry.spec.digest import Digest
from wherry.spec.image import (
    CONFIG_MAX,
    MANIFEST_MAX,
    Descriptor,
    Manifest,
    decode_config,
    decode_descriptor,
    decode_target,
    encode,
)

T = TypeVar("T")


@dataclass
class _Salvaged:
    """What could be read in the damaged file."""

    targets: dict[Digest, tuple[bytes, int]] = field(default_factory=dict)
    """Of images: their target's descriptor, and when they were added."""
    names: list[NameRecord] = field(default_factory=list)
    containers: list[ContainerRecord] = field(default_factory=list)


@dataclass(frozen=True)
class _Found:
    image: ImageRecord
    layers: list[LayerRecord]


def rebuild(root: DataRoot, findings: Findings) -> None:
    """Set the database aside, and put another in its place. `findings` says what is damaged."""
    if root.database is not None:
        root.database.close()
        root.database = None
    path = root.path / DATABASE
    try:
        _replace(root, path, findings)
    except OSError as error:
        raise errdefs.from_os_error(f"making {path} anew", error) from error


def _replace(root: DataRoot, path: Path, findings: Findings) -> None:
    salvaged = _salvage(path)
    images = list(_images(root, findings, salvaged))
    new = root.path / f"{DATABASE}.new"
    for leftover in (new, *(new.with_name(new.name + end) for end in ("-wal", "-shm"))):
        leftover.unlink(missing_ok=True)
    with Database.open(new) as database:
        database.write(lambda tx: _fill(tx, images, salvaged))
    root.copy_aside(path)
    wal = path.with_name(path.name + "-wal")
    root.copy_aside(wal)
    fault("maintenance.rebuild.before-rename")
    # A log of the old database must not meet the new one. The new one's is in it since the close.
    wal.unlink(missing_ok=True)
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    new.rename(path)
    sync_directory(root.path)
    fault("maintenance.rebuild.after-rename")
    root.database, root.unusable = Database.open(path, create=False), None


def _fill(tx: Transaction, images: list[_Found], salvaged: _Salvaged) -> None:
    known = set()
    for found in images:
        for layer in found.layers:
            tx.put_layer(layer)
        tx.put_image(found.image)
        known.add(found.image.id)
    for name in salvaged.names:
        if name.image_id in known:
            tx.put_name(name)
    for container in salvaged.containers:
        tx.put_container(container)


# --- out of the damaged file --------------------------------------------------------------------


def _salvage(path: Path) -> _Salvaged:
    salvaged = _Salvaged()
    try:
        # Not for reading alone: what is in the log counts.
        connection = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error:
        return salvaged
    with contextlib.closing(connection):
        for image_id, target, added_at in _rows(
            connection, "SELECT id, target, added_at FROM images", _image_row
        ):
            salvaged.targets[image_id] = target, added_at
        salvaged.names = list(_rows(connection, "SELECT * FROM names", _name_row))
        salvaged.containers = list(
            _rows(connection, "SELECT id, name, document FROM containers", _container_row)
        )
    return salvaged


def _rows(
    connection: sqlite3.Connection, query: str, read: Callable[[tuple[object, ...]], T]
) -> Iterator[T]:
    """The rows that can be read, up to where the table can't be, and that make sense."""
    try:
        for row in connection.execute(query):
            with contextlib.suppress(EngineError, ValueError, TypeError):
                yield read(row)
    except (sqlite3.Error, UnicodeDecodeError):
        return


def _image_row(row: tuple[object, ...]) -> tuple[Digest, bytes, int]:
    image_id, target, added_at = row
    if not isinstance(image_id, str) or not isinstance(target, bytes):
        raise TypeError
    decode_descriptor(target)
    return Digest.parse(image_id), target, added_at if isinstance(added_at, int) else 0


def _name_row(row: tuple[object, ...]) -> NameRecord:
    name, image_id, target = row
    if not isinstance(name, str) or not isinstance(image_id, str) or not isinstance(target, bytes):
        raise TypeError
    parse(name)
    decode_descriptor(target)
    return NameRecord(name, Digest.parse(image_id), target)


def _container_row(row: tuple[object, ...]) -> ContainerRecord:
    container_id, name, document = row
    if not isinstance(container_id, str) or not isinstance(name, str):
        raise TypeError
    if not isinstance(document, bytes):
        raise TypeError
    record = ContainerRecord(container_id, name, document)
    if read_document(record).id != container_id:
        raise ValueError
    return record


# --- out of the stores --------------------------------------------------------------------------


def _images(root: DataRoot, findings: Findings, salvaged: _Salvaged) -> Iterator[_Found]:
    """Every image of which all parts are here."""
    sound = sorted(set(root.content.digests()) - set(findings.blobs))
    for digest in sound:
        if root.content.info(digest).size > MANIFEST_MAX:
            continue
        with contextlib.suppress(EngineError):
            data = _read(root, digest)
            manifest = decode_target(data)
            if isinstance(manifest, Manifest):
                found = _image(root, set(sound), salvaged, digest, manifest, len(data))
                if found is not None:
                    yield found


def _image(
    root: DataRoot,
    sound: set[Digest],
    salvaged: _Salvaged,
    digest: Digest,
    manifest: Manifest,
    size: int,
) -> _Found | None:
    snapshots = root.snapshots
    config_id = manifest.config.digest
    if config_id not in sound or root.content.info(config_id).size > CONFIG_MAX:
        return None
    config = decode_config(_read(root, config_id))
    diff_ids = config.rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers):
        return None
    layers = []
    for diff_id, descriptor in zip(diff_ids, manifest.layers, strict=True):
        blob = descriptor.digest if descriptor.digest in sound else None
        if snapshots is None or not snapshots.contains(diff_id):
            return None
        if blob is None and not snapshots.keeps_tar:
            return None
        usage = snapshots.usage(diff_id).bytes
        layers.append(LayerRecord(diff_id, blob, descriptor.media_type, descriptor.size, usage))
    media_type = manifest.media_type or media.OCI_MANIFEST
    own_target = encode(Descriptor(media_type, digest, size))
    target, added_at = salvaged.targets.get(config_id, (own_target, time.time_ns()))
    named = {decode_descriptor(target).digest} & sound
    blobs = {digest, config_id, *_blobs_of(layers)} | named
    image = ImageRecord(config_id, target, digest, added_at, diff_ids, frozenset(blobs))
    return _Found(image, layers)


def _blobs_of(layers: Iterable[LayerRecord]) -> set[Digest]:
    return {layer.blob for layer in layers if layer.blob}


def _read(root: DataRoot, digest: Digest) -> bytes:
    with root.content.open(digest) as stream:
        return stream.read()
