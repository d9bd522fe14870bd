"""A container in memory: its document, its process, and those who wait for it."""

import asyncio
import contextlib
import select
import socket
import weakref
from collections.abc import Coroutine, Iterator
from typing import Any

from wherry import errdefs
from wherry.engine.document import EXITED, REMOVING, RUNNING, Document
from wherry.engine.model import UNSET, WaitError, WaitResult
from wherry.shim.runtime import Attach, Exit, Task

MAX_CLIENTS = 63
"""Attached clients of one container: what a start can hand over in one message, beside its control
socket; and each that does not read may cost the container's shim a megabyte."""

# Its shim may stay longer, for clients that are slow to read; then its mounts are long gone.
_LEAVING_SECONDS = 1.0


class Container:
    """One container's state, changed only while `lock` is held.

    ::

        created --start--> running --exit--> exited --start--> running ...
           |                                   |
           +-------------remove----------------+---> removing ---> gone

    `task` is there while it runs. `ended` is set when nothing more will come of the current or the
    last run; each start makes a new one. A start holds the lock and may take long: `give_up_start`
    needs no lock.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.lock = asyncio.Lock()
        self.task: Task | None = None
        self.ended = asyncio.Event()
        self.ended.set()
        # See `securing`; None if it was not begun.
        self.secured: asyncio.Future[None] | None = None
        self._starting: asyncio.Task[Task] | None = None
        self._waiting: list[Attach] = []
        self._clients: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._next_exit: asyncio.Future[WaitResult] | None = None
        self._removed: asyncio.Future[WaitResult] | None = None
        self._end_error = ""
        self._staying = 0
        self._leaving: Task | None = None

    @property
    def id(self) -> str:
        return self.document.id

    @property
    def name(self) -> str:
        return self.document.name

    @property
    def running(self) -> bool:
        return self.task is not None

    @property
    def removing(self) -> bool:
        return self.document.life.status == REMOVING

    # --- its life ---------------------------------------------------------------------------------

    @property
    def starting(self) -> bool:
        return self._starting is not None

    async def attempt(self, start: Coroutine[Any, Any, Task]) -> Task:
        """Await the start of its process. Raises Conflict if `give_up_start` ends it."""
        starting = self._starting = asyncio.get_running_loop().create_task(start)
        try:
            return await starting
        except asyncio.CancelledError:
            if self._starting is not None:
                raise  # who awaits the start was cancelled, and the start with it
            raise errdefs.conflict(
                f"container {self.id}: it was stopped or removed while it was being started"
            ) from None
        finally:
            self._starting = None

    def give_up_start(self) -> None:
        """End a start that is under way; whoever waits for it is told so."""
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()

    def began(self, task: Task) -> None:
        life = self.document.life
        life.status, life.pid, life.started_at = RUNNING, task.pid, task.started_at
        life.exit_code, life.error, life.oom_killed = 0, "", False
        self.task = task
        self._end_error = ""
        self.ended = asyncio.Event()

    def finished(self, ended: Exit) -> None:
        """Record the end and wake who waits for it."""
        life = self.document.life
        life.status, life.pid = EXITED, 0
        life.exit_code, life.oom_killed = ended.code, ended.oom_killed
        life.finished_at, life.error = ended.finished_at, ended.error
        self._end_error = ended.error
        self._leaving, self.task = self.task, None
        self.ended.set()
        if self._next_exit is not None:
            self._next_exit.set_result(self.result())
            self._next_exit = None

    async def left(self) -> None:
        """Wait a moment until its mounts are gone, after its end: they use its directories."""
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LEAVING_SECONDS):
                    await leaving.gone()

    def gone(self) -> None:
        """It was removed: wake all who wait, for whatever."""
        self.close_waiting()
        result = WaitResult(status_code=self.document.life.exit_code)
        if self._end_error:
            # Not that of a failed start: that was the start's own answer.
            result.error = WaitError(message=self._end_error)
        for future in (self._next_exit, self._removed):
            if future is not None:
                future.set_result(result)
        self._next_exit = self._removed = None

    def result(self) -> WaitResult:
        life = self.document.life
        error = WaitError(message=life.error) if life.error else UNSET
        return WaitResult(status_code=life.exit_code, error=error)

    @property
    def stays(self) -> bool:
        """Whether its next end is not that after which `--rm` takes it away."""
        return self._staying > 0

    @contextlib.contextmanager
    def staying(self) -> Iterator[None]:
        """Its end meanwhile is not the last."""
        self._staying += 1
        try:
            yield
        finally:
            self._staying -= 1

    # --- those who wait ---------------------------------------------------------------------------

    def next_exit(self) -> asyncio.Future[WaitResult]:
        if self._next_exit is None:
            self._next_exit = asyncio.get_running_loop().create_future()
        return self._next_exit

    def removed(self) -> asyncio.Future[WaitResult]:
        if self._removed is None:
            self._removed = asyncio.get_running_loop().create_future()
        return self._removed

    def count_client(self, stream: socket.socket) -> None:
        """Count a client's end of the streams as long as it is open.

        Raises ResourceExhausted if there are too many; the others stay.
        """
        attached = sum(client.fileno() >= 0 for client in self._clients)
        if attached >= MAX_CLIENTS:
            raise errdefs.exhausted(
                f"container {self.id} has {attached} attached clients, which is the most it may "
                "have: one of them has to leave first"
            )
        self._clients.add(stream)

    def attach_later(self, attach: Attach) -> None:
        """Keep a client's streams until the next start."""
        self._waiting = [kept for kept in self._waiting if not _left(kept)]
        self._waiting.append(attach)

    def take_waiting(self) -> list[Attach]:
        """Those who still wait; they are the caller's now."""
        taken, self._waiting = self._waiting, []
        return [attach for attach in taken if not _left(attach)]

    def close_waiting(self) -> None:
        for attach in self._waiting:
            attach.socket.close()
        self._waiting = []

    # --- rules ------------------------------------------------------------------------------------

    def running_task(self) -> Task:
        """Raises Conflict if it is not running."""
        if self.task is None:
            raise errdefs.conflict(f"container {self.id} is not running")
        return self.task


def _left(attach: Attach) -> bool:
    """Has the client gone altogether? Its half-close is only the end of its input."""
    poll = select.poll()
    poll.register(attach.socket.fileno(), 0)
    gone = any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))
    if gone:
        attach.socket.close()
    return gone


def stream_pair() -> tuple[socket.socket, socket.socket]:
    """(the client's end, the shim's end) of a container's streams."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return ours, theirs
