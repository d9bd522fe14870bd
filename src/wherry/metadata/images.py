"""Images, their names, and the layers and blobs that they hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from wherry import errdefs
from wherry.spec.digest import Digest


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image for this machine's platform.

    `id` is its config's digest, `manifest` its manifest's, `target` the descriptor (JSON) of the
    manifest or index that it came by, `added_at` in ns since 1970, `layers` the diffIDs, bottom
    first, and `blobs` everything that the content store keeps for it.
    """

    id: Digest
    target: bytes
    manifest: Digest
    added_at: int
    layers: tuple[Digest, ...]
    blobs: frozenset[Digest]


@dataclass(frozen=True, slots=True)
class NameRecord:
    """A canonical name, the image it means, and the descriptor (JSON) that it was given for."""

    name: str
    image_id: Digest
    target: bytes


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """Where a layer's tar is kept and what it takes.

    `blob` is its digest in the content store, perhaps of compressed bytes, or None if the
    snapshotter keeps the tar; `size` are the blob's bytes, `usage` those of the unpacked files.
    """

    diff_id: Digest
    blob: Digest | None
    media_type: str
    size: int
    usage: int


class ImageTable:
    """Images, names and layers, as a transaction sees and changes them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # --- images ----------------------------------------------------------------------------------

    def put_image(self, record: ImageRecord) -> None:
        """Add the image. If it is known, it stays as it was, and holds the blobs of both."""
        execute = self._connection.execute
        execute(
            "INSERT INTO images VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (record.id, record.target, record.manifest, record.added_at),
        )
        self._connection.executemany(
            "INSERT INTO image_layers VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [(record.id, position, diff_id) for position, diff_id in enumerate(record.layers)],
        )
        self._connection.executemany(
            "INSERT INTO image_blobs VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(record.id, digest) for digest in sorted(record.blobs)],
        )

    def image(self, image_id: Digest) -> ImageRecord | None:
        return next(iter(self._images("WHERE {} = ?", image_id)), None)

    def images(self) -> list[ImageRecord]:
        """All images, the newest first."""
        return self._images("")

    def image_sizes(self) -> dict[Digest, int]:
        """For each image with layers, what its files take, in bytes."""
        rows = self._connection.execute(
            "SELECT image_id, sum(usage) FROM image_layers JOIN layers USING (diff_id) "
            "GROUP BY image_id"
        )
        return {Digest(image_id): usage for image_id, usage in rows}

    def image_size(self, image_id: Digest) -> int:
        """What the image's files take, in bytes."""
        (size,) = self._connection.execute(
            "SELECT coalesce(sum(usage), 0) FROM image_layers JOIN layers USING (diff_id) "
            "WHERE image_id = ?",
            (image_id,),
        ).fetchone()
        return int(size)

    def image_ids(self, prefix: str = "", limit: int = -1) -> list[Digest]:
        """IDs whose hexadecimal digits begin with `prefix`, at most `limit` if not negative."""
        low = f"sha256:{prefix}"
        rows = self._connection.execute(
            "SELECT id FROM images WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
            (low, low + "g", limit),
        )
        return [Digest(row[0]) for row in rows]

    def drop_blobs(self, digests: Iterable[Digest]) -> None:
        """No image holds these any more; what was in them is kept elsewhere."""
        self._connection.executemany(
            "DELETE FROM image_blobs WHERE digest = ?", [(digest,) for digest in digests]
        )

    def delete_image(self, image_id: Digest) -> None:
        """Forget the image, its names and what it holds; no error if there is none."""
        self._connection.execute("DELETE FROM names WHERE image_id = ?", (image_id,))
        self._connection.execute("DELETE FROM images WHERE id = ?", (image_id,))

    def _images(self, condition: str, *values: str) -> list[ImageRecord]:
        """Images by three queries, however many they are; `{}` stands for the ID's column."""
        execute = self._connection.execute
        by_id, by_image = condition.format("id"), condition.format("image_id")
        layers: dict[str, list[Digest]] = {}
        for image_id, diff_id in execute(
            f"SELECT image_id, diff_id FROM image_layers {by_image} ORDER BY image_id, position",  # noqa: S608
            values,
        ):
            layers.setdefault(image_id, []).append(Digest(diff_id))
        blobs: dict[str, list[Digest]] = {}
        for image_id, digest in execute(
            f"SELECT image_id, digest FROM image_blobs {by_image}",  # noqa: S608
            values,
        ):
            blobs.setdefault(image_id, []).append(Digest(digest))
        return [
            ImageRecord(
                Digest(image_id),
                target,
                Digest(manifest),
                added_at,
                tuple(layers.get(image_id, ())),
                frozenset(blobs.get(image_id, ())),
            )
            for image_id, target, manifest, added_at in execute(
                f"SELECT * FROM images {by_id} ORDER BY added_at DESC, id",  # noqa: S608
                values,
            )
        ]

    # --- names -----------------------------------------------------------------------------------

    def put_name(self, record: NameRecord) -> Digest | None:
        """Let the name mean the image; answers the image that it meant before, if another.

        Raises NotFound if the image is gone.
        """
        before = self.name(record.name)
        try:
            self._connection.execute(
                "INSERT INTO names VALUES (?, ?, ?) ON CONFLICT (name) "
                "DO UPDATE SET image_id = excluded.image_id, target = excluded.target",
                (record.name, record.image_id, record.target),
            )
        except sqlite3.IntegrityError as error:
            raise errdefs.not_found(f"No such image: {record.image_id}") from error
        return before.image_id if before and before.image_id != record.image_id else None

    def name(self, name: str) -> NameRecord | None:
        row = self._connection.execute("SELECT * FROM names WHERE name = ?", (name,)).fetchone()
        return _name(row) if row else None

    def names(self, image_id: Digest | None = None) -> list[NameRecord]:
        """All names, or those of one image, sorted."""
        if image_id is None:
            rows = self._connection.execute("SELECT * FROM names ORDER BY name")
        else:
            rows = self._connection.execute(
                "SELECT * FROM names WHERE image_id = ? ORDER BY name", (image_id,)
            )
        return [_name(row) for row in rows]

    def delete_name(self, name: str) -> None:
        """No error if there is none."""
        self._connection.execute("DELETE FROM names WHERE name = ?", (name,))

    # --- layers ----------------------------------------------------------------------------------

    def put_layer(self, record: LayerRecord) -> None:
        """Add the layer, or correct what is known about it."""
        self._connection.execute(
            "INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?, ?)",
            (record.diff_id, record.blob, record.media_type, record.size, record.usage),
        )

    def layer(self, diff_id: Digest) -> LayerRecord | None:
        row = self._connection.execute(
            "SELECT * FROM layers WHERE diff_id = ?", (diff_id,)
        ).fetchone()
        return _layer(row) if row else None

    def layers(self) -> list[LayerRecord]:
        rows = self._connection.execute("SELECT * FROM layers ORDER BY diff_id")
        return [_layer(row) for row in rows]

    def delete_layers(self, diff_ids: Iterable[Digest]) -> None:
        self._connection.executemany(
            "DELETE FROM layers WHERE diff_id = ?", [(diff_id,) for diff_id in diff_ids]
        )


def _name(row: tuple[str, str, bytes]) -> NameRecord:
    name, image_id, target = row
    return NameRecord(name, Digest(image_id), target)


def _layer(row: tuple[str, str | None, str, int, int]) -> LayerRecord:
    diff_id, blob, media_type, size, usage = row
    return LayerRecord(Digest(diff_id), Digest(blob) if blob else None, media_type, size, usage)
