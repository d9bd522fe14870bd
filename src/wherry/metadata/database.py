"""The database: opened, read by any thread, written by one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from wherry import errdefs
from wherry.closing import Closing
from wherry.metadata import schema
from wherry.metadata.transaction import Transaction
from wherry.metadata.writer import Writer
from wherry.threads import to_thread

T = TypeVar("T")

_BUSY_TIMEOUT = 5.0  # seconds; only a program beside us, such as a check, can hold the lock
_SPARE_READERS = 8


class Database(Closing):
    """Facts on disk, in SQLite's WAL mode: readers never wait for the writer, nor it for them.

        database = Database.open(root / "wherry.db")
        database.write(lambda tx: tx.put_container(record))
        names = database.read(lambda tx: tx.names())

    Functions must be short and touch nothing but the transaction. What they raise passes
    through, and their changes are undone; what SQLite raises becomes an `EngineError`.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._writer = Writer(connection)
        self._readers: deque[sqlite3.Connection] = deque()
        self._closed = False

    @classmethod
    def open(cls, path: Path, *, create: bool = True) -> Database:
        """Open the database, bring its tables up to date, and make it if `create`.

        Raises DataLoss for a damaged, a foreign or (without `create`) a missing file, Conflict
        for one of a newer Wherry; each names the command that rebuilds it.
        """
        if not create and not path.exists():
            raise errdefs.data_loss(f"the database {path} is missing; {schema.REBUILD}")
        with _translated(path):
            _make_private(path)
            connection = _connect(path, writable=True)
            try:
                schema.prepare(connection, str(path))
            except BaseException:
                connection.close()
                raise
        return cls(path, connection)

    def close(self) -> None:
        """Finish the writes under way, then close. Idempotent."""
        self._writer.close()
        self._closed = True
        while self._readers:
            self._readers.pop().close()
        self._connection.close()

    def read(self, fn: Callable[[Transaction], T]) -> T:
        """What `fn` finds in one consistent view. For any thread."""
        if self._closed:
            raise errdefs.unavailable("the database is closed")
        with _translated(self._path):
            try:
                connection = self._readers.pop()
            except IndexError:
                connection = _connect(self._path, writable=False)
            try:
                connection.execute("BEGIN")
                try:
                    return fn(Transaction(connection))
                finally:
                    connection.execute("ROLLBACK")
            finally:
                self._put_back(connection)

    def write(self, fn: Callable[[Transaction], T], durable: bool = True) -> T:
        """Run `fn` in the writer's thread and commit; returns when that is done.

        `durable`: it outlasts a power cut from then on; without, only a crash of this process.
        """
        with _translated(self._path):
            return self._writer.submit(fn, durable).result()

    async def read_async(self, fn: Callable[[Transaction], T]) -> T:
        """`read` for the event loop, which goes on meanwhile."""
        return await to_thread(self.read, fn)

    async def write_async(self, fn: Callable[[Transaction], T], durable: bool = True) -> T:
        """`write` for the event loop, which goes on meanwhile.

        Cancelled before its turn it does nothing; cancelled later it is done all the same.
        """
        with _translated(self._path):
            return await asyncio.wrap_future(self._writer.submit(fn, durable))

    def _put_back(self, connection: sqlite3.Connection) -> None:
        if self._closed or len(self._readers) >= _SPARE_READERS:
            connection.close()
        else:
            self._readers.append(connection)


def _make_private(path: Path) -> None:
    """Root's alone from its first moment: it holds containers' variables, which hold passwords.

    SQLite gives its own files beside it the same mode.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    # Transactions are ours (isolation_level=None). A connection serves one thread at a time, not
    # always the same.
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    try:
        if writable:
            connection.execute("PRAGMA foreign_keys = ON")
        else:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _engine_error(path, error) from error
    except UnicodeDecodeError as error:
        # Python can't read what SQLite says about a schema with such bytes in it.
        raise schema.damaged(str(path), "text in it is no UTF-8") from error


def _engine_error(path: Path, error: sqlite3.Error) -> errdefs.EngineError:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return errdefs.exhausted(f"the database {path} cannot grow: no space left on the device")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return schema.damaged(str(path), error)
    if name.startswith("SQLITE_BUSY"):
        return errdefs.unavailable(f"the database {path} is locked by another program")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR")):
        return errdefs.unavailable(f"the database {path} cannot be used: {error}")
    return errdefs.internal(f"the database {path}: {error}")
