"""What builds remember: the outcome of each step by its cache key, and the images of steps."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from wherry.spec.digest import Digest


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """One step that was done, and need not be done again.

    `key` is the digest of `parts`: the components that the outcome depends on, by name (a JSON
    object), kept whole so that a miss can be explained by what is different. `diff_id` is the layer
    that the step made. `description` is what people call the step. Times are ns since 1970;
    `uses` counts how often the record has spared the work.
    """

    key: Digest
    diff_id: Digest
    parts: bytes
    description: str
    created_at: int
    used_at: int
    uses: int = 0


class BuildTable:
    """Build records and step images, as a transaction sees and changes them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put_build_record(self, record: BuildRecord) -> None:
        """Add the record, or put it in the place of one with its key. The layer's row, of
        `put_layer`, belongs into the same transaction."""
        self._connection.execute(
            "INSERT OR REPLACE INTO build_records VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                record.key,
                record.diff_id,
                record.parts,
                record.description,
                record.created_at,
                record.used_at,
                record.uses,
            ),
        )

    def build_record(self, key: Digest) -> BuildRecord | None:
        row = self._connection.execute(
            "SELECT * FROM build_records WHERE key = ?", (key,)
        ).fetchone()
        return _record(row) if row else None

    def build_records(self) -> list[BuildRecord]:
        """All records, the most recently used first."""
        rows = self._connection.execute("SELECT * FROM build_records ORDER BY used_at DESC, key")
        return [_record(row) for row in rows]

    def use_build_records(self, keys: Iterable[Digest], now: int) -> None:
        """Note that the records have spared work."""
        self._connection.executemany(
            "UPDATE build_records SET used_at = ?, uses = uses + 1 WHERE key = ?",
            [(now, key) for key in keys],
        )

    def delete_build_records(self, keys: Iterable[Digest]) -> None:
        """No error for what is not there."""
        self._connection.executemany(
            "DELETE FROM build_records WHERE key = ?", [(key,) for key in keys]
        )

    def put_step_image(self, image_id: Digest) -> None:
        """The image, which is stored, is that of a build's step: without a name it is not listed.
        It stays one of those that people see if it was."""
        self._connection.execute(
            "INSERT INTO step_images VALUES (?) ON CONFLICT DO NOTHING", (image_id,)
        )

    def step_images(self) -> set[Digest]:
        rows = self._connection.execute("SELECT image_id FROM step_images")
        return {Digest(row[0]) for row in rows}

    def delete_step_image(self, image_id: Digest) -> None:
        """From now on the image is one like others."""
        self._connection.execute("DELETE FROM step_images WHERE image_id = ?", (image_id,))


def _record(row: tuple[str, str, bytes, str, int, int, int]) -> BuildRecord:
    key, diff_id, parts, description, created_at, used_at, uses = row
    return BuildRecord(Digest(key), Digest(diff_id), parts, description, created_at, used_at, uses)
