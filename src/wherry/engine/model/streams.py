"""What flows: logs, attached streams, and the progress of long work."""

import socket
from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from msgspec import Struct

from wherry.engine.model.base import UNSET, UnsetType
from wherry.engine.model.containers import WaitResult


class LogOptions(Struct, kw_only=True, frozen=True):
    """Which lines of a log are wanted, and in which form.

    `since` and `until` are nanoseconds of the epoch, 0 for no limit. `tail` is how many of the
    last lines, counted before `since` and `until` apply to them; None is all. With `timestamps`
    each line begins with its time in RFC 3339, nine digits, and a space. With `details` its
    attributes come next, of which there are none yet, and a space.
    """

    stdout: bool = False
    stderr: bool = False
    timestamps: bool = False
    details: bool = False
    follow: bool = False
    since: int = 0
    until: int = 0
    tail: int | None = None


class LogStream(NamedTuple):
    """A container's log, as the bytes that the client gets.

    `chunks` holds many lines in each, already Docker's multiplexed frames, or raw with a `tty`:
    a long log is sent in few steps. Closing it ends the reading.
    """

    tty: bool
    chunks: AsyncIterator[bytes]


class AttachOptions(Struct, kw_only=True, frozen=True):
    """`logs` asks for what was written before, `stream` for what comes from now on."""

    stream: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    logs: bool = False


class AttachedStream(NamedTuple):
    """A container's streams on one socket, which the receiver owns and closes.

    Bytes from it are Docker's multiplexed frames, or raw with a `tty`; bytes to it are standard
    input, and its half-close is standard input's end. `socket` is None when only the `history`
    was asked for. `history` comes before all else, in the same form, many lines to a chunk.
    """

    socket: socket.socket | None
    tty: bool
    history: AsyncIterator[bytes] | None


class Waiter(Protocol):
    """Somebody who waits for a container, already counted when this object is handed out."""

    async def result(self) -> WaitResult:
        """Return when the condition is met. Cancelling it is giving up waiting."""


class ErrorDetail(Struct, kw_only=True):
    code: int | UnsetType = UNSET
    message: str = ""


class ProgressDetail(Struct, kw_only=True):
    """In bytes, unless `units` names something else."""

    current: int | UnsetType = UNSET
    total: int | UnsetType = UNSET
    units: str | UnsetType = UNSET


class JSONMessage(Struct, rename="camel", kw_only=True):
    """One line of the progress of a load or pull. An `error` is the last one."""

    stream: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    progress_detail: ProgressDetail | UnsetType = UNSET
    id: str | UnsetType = UNSET
    error: str | UnsetType = UNSET
    error_detail: ErrorDetail | UnsetType = UNSET
