"""The one thread that changes the database."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from wherry import errdefs
from wherry.faults import fault
from wherry.metadata.transaction import Transaction

T = TypeVar("T")


class Writer:
    """Runs functions in transactions, one after the other, in a thread of its own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._durable: bool | None = None
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._closed = False
        self._closing = threading.Lock()
        # A daemon thread: an interpreter that ends without close() must not wait for it. What
        # is cut off then is a transaction that nobody was told of.
        self._thread = threading.Thread(target=self._run, name="wherry-metadata", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[[Transaction], T], durable: bool) -> Future[T]:
        """The result comes after the commit. Raises Unavailable after `close`."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a write inside a write: use the transaction that was given")
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = self._transact(fn, durable)
            except BaseException as error:  # noqa: BLE001 - whoever waits raises it
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._closing:
            if self._closed:
                raise errdefs.unavailable("the database is closed")
            self._work.put(work)
        return future

    def close(self) -> None:
        """Finish what was submitted, and end the thread. The connection stays the caller's."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _transact(self, fn: Callable[[Transaction], T], durable: bool) -> T:
        execute = self._connection.execute
        if durable != self._durable:
            # FULL syncs the log at each commit, NORMAL leaves the last ones to the kernel: a
            # power cut may undo them, in order, but never half of one.
            execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        execute("BEGIN IMMEDIATE")
        try:
            result = fn(Transaction(self._connection))
            fault("metadata.write.before-commit")
            execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after a full disk or a failing one.
            with contextlib.suppress(sqlite3.OperationalError):
                execute("ROLLBACK")
            raise
        fault("metadata.write.after-commit")
        return result
