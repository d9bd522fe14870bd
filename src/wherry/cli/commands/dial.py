"""`wherry system dial-stdio`: what `docker -H ssh://` and `wherry -H ssh://` execute over there.

client --- ssh --- sshd --- standard input and output --- here --- the daemon
"""

from __future__ import annotations

import _socket
import os
import select

from wherry.cli.command import Command, Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.flags import Parsed

_PIECE = 128 * 1024
_SHUT_WR = 1


def _run(context: Context, parsed: Parsed) -> int:
    from threading import Thread

    # A daemon that doesn't run yet is started, as for any other command.
    daemon = context.client.address.dial().socket
    Thread(target=_carry_input, args=(daemon,), daemon=True).start()
    _carry_output(daemon)
    return 0


def _carry_input(daemon: _socket.socket) -> None:
    """The end of the input is a half-close, and no more: answers are still to come."""
    try:
        while data := os.read(0, _PIECE):
            daemon.sendall(data, _socket.MSG_NOSIGNAL)
        daemon.shutdown(_SHUT_WR)
    except OSError:
        return  # the daemon has left, which the other direction sees


def _carry_output(daemon: _socket.socket) -> None:
    """Until the daemon has said all, or nobody reads any more."""
    poll = select.poll()
    poll.register(daemon, select.POLLIN)
    poll.register(1, 0)
    while True:
        ready = dict(poll.poll())
        if daemon.fileno() not in ready:
            return  # the reader of our output is gone
        try:
            data = daemon.recv(_PIECE)
        except ConnectionError:
            return
        if not data:
            return
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(1, rest) :]


DIAL = Command(
    "wherry system dial-stdio",
    "Join standard input and output to the daemon",
    _run,
    examples=(
        ("wherry -H ssh://me@server ps", "executes it on the server"),
        ("docker -H ssh://me@server/run/wherry/wherry.sock ps", "so does Docker's, as docker"),
    ),
)
