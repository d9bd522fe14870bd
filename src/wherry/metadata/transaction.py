"""What a function that reads or writes the database is given."""

from __future__ import annotations

from wherry.metadata.builds import BuildTable
from wherry.metadata.containers import ContainerTable
from wherry.metadata.images import ImageTable
from wherry.metadata.leases import LeaseTable


class Transaction(ImageTable, BuildTable, ContainerTable, LeaseTable):
    """All tables at one moment; the changes are made together or not at all.

    Good only inside the function that it was given to, and in that function's thread.
    """

    @property
    def data_root_id(self) -> str:
        """What tells this data root from every other, made with the database."""
        return self.meta("data_root_id") or ""

    def meta(self, key: str) -> str | None:
        """A fact about the whole, such as the storage driver that was chosen."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def set_meta(self, key: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def damage(self) -> list[str]:
        """What SQLite finds wrong in the whole file: its structure, and references to nothing."""
        verdicts = self._connection.execute("PRAGMA integrity_check(10)").fetchall()
        strays = self._connection.execute("PRAGMA foreign_key_check").fetchall()
        found = [str(verdict) for (verdict,) in verdicts if verdict != "ok"]
        return found + [
            f"a row of {table} refers to nothing in {parent}" for table, _, parent, _ in strays
        ]
