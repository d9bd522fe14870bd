"""`--ssh`: this user's ssh agent, lent to the build's steps.

A connection to the daemon waits until a step asks the agent something; then it is joined with the
agent, and the next one takes its place.
"""

from __future__ import annotations

import os
import stat
import threading

from wherry.cli.errors import CLI_FAILED, CliError, engine_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence

    from wherry.client.address import Address

_PIECE = 64 * 1024


class Lending:
    """The agents of one build. It ends with this process."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Raises CliError for an agent that is not there."""
        self._session = os.urandom(16).hex()
        self._sockets = dict(_read(text) for text in texts)

    def asked(self) -> dict[str, str]:
        """What the build is told: the session of each agent."""
        return dict.fromkeys(self._sockets, f"session:{self._session}")

    def begin(self, address: Address) -> None:
        """Offer a connection for each agent, from now on."""
        for name, path in self._sockets.items():
            arguments = (address, self._session, name, path)
            threading.Thread(target=_lend, args=arguments, daemon=True).start()


def _read(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    path = path or os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise CliError(
            f"--ssh {text}: there is no agent here: SSH_AUTH_SOCK is not set (--ssh "
            f"{name}=/path/to/agent.sock)",
            CLI_FAILED,
        )
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise CliError(f"--ssh {text}: {path}: {(error.strerror or '').lower()}") from error
    if not is_socket:
        raise CliError(
            f"--ssh {text}: {path} is no socket of an agent; key files are not supported "
            "(ssh-add them to an agent)",
            CLI_FAILED,
        )
    return name, path


def _lend(address: Address, session: str, name: str, path: str) -> None:
    """One conversation after another; each waits for its beginning."""
    from wherry.client.engine import EngineClient

    client = EngineClient(address)
    try:
        while True:
            stream, data = client.lend_agent(session, name)
            stream.setblocking(True)
            data = data or stream.recv(_PIECE)
            if not data:
                stream.close()
                return  # the build is over
            threading.Thread(target=_converse, args=(stream, data, path), daemon=True).start()
    except (engine_error(), OSError):
        return  # the daemon has gone; the build says so itself


def _converse(stream: _socket.socket, data: bytes, path: str) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as agent:
        try:
            agent.connect(path)
            agent.sendall(data)
            back = threading.Thread(target=_copy, args=(agent, stream), daemon=True)
            back.start()
            _copy(stream, agent)
            back.join()
        except OSError:
            pass  # ssh sees an agent that hangs up, which is what there is
    stream.close()


def _copy(source: _socket.socket, target: _socket.socket) -> None:
    try:
        while data := source.recv(_PIECE):
            target.sendall(data)
        target.shutdown(1)
    except OSError:
        return
