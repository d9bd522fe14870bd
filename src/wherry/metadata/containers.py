"""Containers: a document each, which the engine alone understands."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from wherry import errdefs


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """`name` is unique among all containers; `document` is whatever the engine stored."""

    id: str
    name: str
    document: bytes


class ContainerTable:
    """The containers, as a transaction sees and changes them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put_container(self, record: ContainerRecord) -> None:
        """Add the container or replace its name and document.

        Raises Conflict, in Docker's words, if another container has the name.
        """
        try:
            self._connection.execute(
                "INSERT INTO containers VALUES (?, ?, ?) ON CONFLICT (id) "
                "DO UPDATE SET name = excluded.name, document = excluded.document",
                (record.id, record.name, record.document),
            )
        except sqlite3.IntegrityError as error:
            holder = self.container_by_name(record.name)
            holder_id = holder.id if holder else ""
            shown = "/" + record.name.removeprefix("/")
            raise errdefs.conflict(
                f'Conflict. The container name "{shown}" is already in use by container '
                f'"{holder_id}". You have to remove (or rename) that container to be able to '
                "reuse that name."
            ) from error

    def container(self, container_id: str) -> ContainerRecord | None:
        return next(self._select("WHERE id = ?", container_id), None)

    def container_by_name(self, name: str) -> ContainerRecord | None:
        return next(self._select("WHERE name = ?", name), None)

    def containers(self) -> list[ContainerRecord]:
        """All containers, by ID."""
        return list(self._select("ORDER BY id"))

    def delete_container(self, container_id: str) -> None:
        """No error if there is none."""
        self._connection.execute("DELETE FROM containers WHERE id = ?", (container_id,))

    def _select(self, condition: str, *values: str) -> Iterator[ContainerRecord]:
        query = f"SELECT id, name, document FROM containers {condition}"  # noqa: S608 - ours
        return (ContainerRecord(*row) for row in self._connection.execute(query, values))
