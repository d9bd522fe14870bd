"""Ending a shim that does not answer: one whose container's start hangs, or that was stopped."""

import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7), SO_PEERCRED)
_LOOK_SECONDS = 0.02


def end_shim(connect: Callable[[], socket.socket | None], patience: float) -> bool:
    """Kill the shim that listens where `connect` leads, and return when it is gone; blocks.

    False if none has begun to listen after `patience` seconds. Its container's init dies with it.
    """
    deadline = time.monotonic() + patience
    while True:
        end = connect()
        if end is not None:
            with end:
                return _kill_listener(end)
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)


def await_end(end: socket.socket, patience: float) -> None:
    """Wait until nobody holds the other side of `end`, whatever was said by it."""
    poll = select.poll()
    poll.register(end.fileno(), 0)
    poll.poll(int(patience * 1000))


def _kill_listener(end: socket.socket) -> bool:
    """Kill the process that called listen(2) for the other end."""
    credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, _, _ = _CREDENTIALS.unpack(credentials)
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        # The connection still stands, so the pid was still its listener's when it was opened.
        if not _is_ready(end.fileno(), 0):
            signal.pidfd_send_signal(process, signal.SIGKILL)
            _is_ready(process, 10_000)
    finally:
        os.close(process)
    return True


def _is_ready(fd: int, milliseconds: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(milliseconds))
