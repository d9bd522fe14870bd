"""The process that forks shims, and does nothing else.

Whatever a shim's parent writes to between two forks, the older shim has to keep for itself: its
parent has another version, and so has the next shim. So the launcher, which hears requests and
mounts layers, has this child for the forks::

    launcher ---- forecast + the ends of a spare's sockets ----> nursery ---- fork ----> shim

It is forked when all is loaded, and ends with the launcher, whose end it notices.
"""

import json
import os
import signal
import socket
from typing import NoReturn

from wherry.linux import syscalls as sc
from wherry.linux.cgroups import Cgroups
from wherry.shim import shim, wire
from wherry.spec.runtime import Spec

_NO_FORECAST = b"{}"


class Nursery:
    """The launcher's side: asks for spares. Ends the launcher if the nursery ends."""

    def __init__(self, hierarchy: Cgroups) -> None:
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            self._end.close()
            _serve(theirs, hierarchy)
        theirs.close()
        # Without it nothing can be started any more: the daemon makes a new launcher.
        signal.signal(signal.SIGCHLD, lambda *_: os._exit(1))

    def fork_shim(
        self, orders: socket.socket, child_orders: socket.socket, forecast: Spec | None
    ) -> None:
        """A shim that waits for what comes by `orders`, with a child that waits too.

        The child prepares for the `forecast`. If the fork fails, these sockets are closed.
        """
        told = json.dumps(forecast).encode() if forecast else _NO_FORECAST
        wire.send_bytes(self._end, told, (orders.fileno(), child_orders.fileno()))


def _serve(end: socket.socket, hierarchy: Cgroups) -> NoReturn:
    sc.prctl(sc.PR_SET_NAME, b"wherry-nursery")
    own = os.getpid()
    signal.signal(signal.SIGCHLD, lambda *_: _reap(own))
    sc.close_all_but((0, 1, 2, end.fileno()))
    code = 1
    try:
        _fork_on_demand(end, hierarchy)
        code = 0
    finally:
        os._exit(code)


def _fork_on_demand(end: socket.socket, hierarchy: Cgroups) -> None:
    """In few words: what is written to here, every shim has to copy."""
    while True:
        forecast, fds = wire.receive_bytes(end)
        if not forecast:
            return
        try:
            pid = os.fork()
        except OSError:
            pid = -1  # no room for another process: the closed sockets say it
        if pid == 0:
            _be_shim(forecast, fds, hierarchy)
        for fd in fds:
            os.close(fd)


def _be_shim(forecast: bytes, fds: list[int], hierarchy: Cgroups) -> NoReturn:
    code = 1
    try:
        orders, child_orders = (socket.socket(fileno=fd) for fd in fds)
        shim.main(orders, child_orders, forecast, hierarchy)
        code = 0
    except Exception as error:  # noqa: BLE001 - a fork must never run its parent's loop
        # Standard error is gone by now, and the daemon will see that the shim died.
        os.write(2, f"shim: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def _reap(nursery: int) -> None:
    """Reap shims that have ended. They inherit this handler, and wait for their own in their way:
    to ignore SIGCHLD here would cost each of them a change of it."""
    if os.getpid() != nursery:
        return
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
