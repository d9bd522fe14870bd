"""Leases hold what nothing else names yet; marks say what is held at all.

Whoever makes content takes a lease first, names in it each blob and layer before it may look for
it, and ends the lease in the transaction that gives the content a lasting holder. So the collector
never takes something from under work in progress, and what a dead worker left is found.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from wherry.spec.digest import Digest


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that a lease holds: a blob by its digest, a layer by its diffID."""

    kind: Literal["blob", "layer"]
    key: Digest


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """`owner` says whose work it is ("load"); `expires_at` in ns since 1970, None for never."""

    id: str
    owner: str
    expires_at: int | None
    resources: frozenset[Resource] = frozenset()


class LeaseTable:
    """Leases and marks, as a transaction sees and changes them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put_lease(self, record: LeaseRecord) -> None:
        """Begin the lease, or give it a new expiry; resources are added to those it has."""
        self._connection.execute(
            "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (id) "
            "DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at",
            (record.id, record.owner, record.expires_at),
        )
        self.hold(record.id, record.resources)

    def hold(self, lease_id: str, resources: Iterable[Resource]) -> None:
        """Let the lease hold these too."""
        self._connection.executemany(
            "INSERT INTO lease_resources VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [(lease_id, resource.kind, resource.key) for resource in resources],
        )

    def leases(self) -> list[LeaseRecord]:
        rows = self._connection.execute("SELECT id, owner, expires_at FROM leases ORDER BY id")
        return [
            LeaseRecord(lease_id, owner, expires_at, self._resources(lease_id))
            for lease_id, owner, expires_at in rows.fetchall()
        ]

    def delete_lease(self, lease_id: str) -> None:
        """No error if there is none."""
        self._connection.execute("DELETE FROM leases WHERE id = ?", (lease_id,))

    def end_leases(self) -> None:
        """End all of them: whose work they were has died."""
        self._connection.execute("DELETE FROM leases")

    def held_layers(self) -> set[Digest]:
        """DiffIDs that an image, a build record or a lease holds."""
        rows = self._connection.execute("SELECT diff_id FROM held_layers")
        return {Digest(row[0]) for row in rows}

    def held_blobs(self) -> set[Digest]:
        """Digests that an image, a lease, or a layer that is held keeps in the content store."""
        rows = self._connection.execute("SELECT digest FROM held_blobs")
        return {Digest(row[0]) for row in rows}

    def _resources(self, lease_id: str) -> frozenset[Resource]:
        rows = self._connection.execute(
            "SELECT kind, key FROM lease_resources WHERE lease_id = ?", (lease_id,)
        )
        return frozenset(Resource(kind, Digest(key)) for kind, key in rows)
