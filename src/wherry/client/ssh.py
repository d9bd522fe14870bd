"""A daemon reached by the program `ssh`: its standard input and output are the connection."""

from __future__ import annotations

import _socket
import os
from threading import Thread

from wherry.client.address import Link
from wherry.client.errors import broken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.client.remote import SshAddress

_LAST_WORDS = 8192
# ssh would outlive us, and with it what it runs over there: it notices a reader that has left only
# when there is something to write. So a shell listens on descriptor 3, which ends with us.
# What a shell runs in the background has no standard input but by another name.
_WATCHED = (
    'exec 4<&0; "$@" <&4 3<&- 4<&- & ssh=$!; exec 4<&- 0<&-; '
    "{ read -r _ <&3; kill $ssh; } >/dev/null 2>&1 & watch=$!; "
    "exec 3<&- 1>&-; wait $ssh; code=$?; kill $watch 2>/dev/null; exit $code"
)
# Without a connection ssh has something to say within this time.
_PATIENCE = 5.0


def run_ssh(address: SshAddress) -> Link:
    """Start ssh; what it has to say against it comes with `Link.why`.

    In a session of its own: Ctrl-C is for the container, and ssh has no terminal to ask for a
    password at (as with the docker CLI; keys and agents work).
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    lifeline, watched = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    words, said = os.pipe()
    try:
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _WATCHED, "sh", *address.command()],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, said, 2),
                (os.POSIX_SPAWN_DUP2, watched.fileno(), 3),
            ],
            setsid=True,
        )
    except OSError as error:
        ours.close()
        os.close(words)
        raise broken(f"can't execute sh and ssh for {address}: {error.strerror}") from error
    finally:
        theirs.close()
        watched.close()
        os.close(said)
    return _SshLink(ours, pid, words, lifeline)


class _SshLink(Link):
    """The connection, and a thread that hears ssh's complaints and its end."""

    __slots__ = ("_lifeline", "_listener", "_said", "_status")

    def __init__(
        self, socket: _socket.socket, pid: int, words: int, lifeline: _socket.socket
    ) -> None:
        super().__init__(socket)
        self._lifeline = lifeline
        self._said = b""
        self._status: int | None = None
        self._listener = Thread(target=self._listen, args=(pid, words), daemon=True)
        self._listener.start()

    def _listen(self, pid: int, words: int) -> None:
        while data := os.read(words, 4096):
            self._said = (self._said + data)[-_LAST_WORDS:]
        os.close(words)
        try:
            self._status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:
            return  # this program waits for all its children
        finally:
            # This thread keeps the line, and ssh, alive for whoever has taken the socket over.
            self._lifeline.close()

    def close(self) -> None:
        self._lifeline.close()

    def why(self) -> str:
        self._listener.join(_PATIENCE)
        said = self._said.decode("utf-8", "replace").strip()
        if self._status is None:
            return f"ssh says: {said}" if said else ""
        return f"ssh ended with code {self._status}" + (f": {said}" if said else "")
