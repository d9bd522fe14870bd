"""The talk between a container's init and those who make it, over a SOCK_SEQPACKET pair.

::

    shim                              init, or midwife and init (see `create`)
      | ---- fork ------------------->|  prepares; waits for its orders
      |                               |  cgroup, namespaces
      |                               |  `lo`, host name, root file system, pivot_root
      |                               |  limits, user, capabilities, seccomp
      | <--- born {pid} + terminal ---|
      | ---- go --------------------->|  execve
      | <--- end of file -------------|  the program runs: close-on-exec closed the socket
      |  or: failed {message, code}   |

Between a midwife and her init: `ready`, with the terminal. With a user namespace a process between
the two enters it first: it says `map`, hears `map` when its maps are written, forks init, says
`child {pid}` and ends.

A message is JSON; a failure carries a kind of error, one sentence, and the exit code that Docker
gives to such a container (126, 127 or 128).
"""

import json
import os
import socket
import struct
from typing import NoReturn, TypedDict

from wherry import errdefs

_LIMIT = 32768
# The one message that is not JSON, since each shim keeps the pages that it touches to read it.
_BORN = struct.Struct("ii")


class Message(TypedDict, total=False):
    """One message; `type` is one of ready, go, map, child, failed."""

    type: str
    pid: int
    kind: str
    message: str
    code: int


class StartFailure(errdefs.EngineError):
    """A container's program could not be started; `exit_code` is what Docker's users see."""

    def __init__(self, kind: errdefs.Kind, message: str, exit_code: int = 128) -> None:
        super().__init__(kind, message)
        self.exit_code = exit_code


class ClosedError(Exception):
    """The other side is gone."""


def pair() -> tuple["Channel", "Channel"]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(left), Channel(right)


def _raise_failure(message: Message) -> NoReturn:
    raise StartFailure(errdefs.Kind[message["kind"]], message["message"], message["code"])


class Channel:
    """One end of the talk. Blocking: each side has nothing else to do meanwhile."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def send(self, message: Message, fd: int | None = None) -> None:
        """Raises ClosedError if nobody listens any more."""
        data = json.dumps(message).encode()[:_LIMIT]
        ancillary = []
        if fd is not None:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
        try:
            self.socket.sendmsg([data], ancillary)
        except OSError as error:
            raise ClosedError(str(error)) from error

    def receive(self) -> tuple[Message, int | None]:
        """The next message and the descriptor that came with it.

        Raises ClosedError at end of file, and StartFailure if the other side says `failed`.
        """
        try:
            data, ancillary, _, _ = self.socket.recvmsg(
                _LIMIT, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
            )
        except OSError as error:
            raise ClosedError(str(error)) from error
        fd = None
        for _, _, raw in ancillary:
            fd = struct.unpack("i", raw[:4])[0]
        if not data:
            raise ClosedError("end of file")
        message: Message = json.loads(data)
        if message["type"] == "failed":
            if fd is not None:
                os.close(fd)
            _raise_failure(message)
        return message, fd

    def expect(self, wanted: str) -> int | None:
        """Receive the message `wanted`; the descriptor that came with it.

        Raises ClosedError, StartFailure, or Internal if it is another one.
        """
        message, fd = self.receive()
        if message["type"] != wanted:
            raise errdefs.internal(f"expected {wanted} from the other side, got {message['type']}")
        return fd

    def go(self) -> None:
        """Say `go` and wait until the program runs. Raises StartFailure.

        What `send` and `receive` do, in the words that a shim can afford: it runs this once and
        keeps every page that it has touched.
        """
        try:
            self.socket.send(b'{"type": "go"}')
            data = self.socket.recv(_LIMIT)
        except OSError:
            data = b'{"type": "failed", "kind": "INTERNAL", "message": "init died", "code": 128}'
        if data:
            _raise_failure(json.loads(data))

    def born(self, pid: int, between: int, console: int) -> None:
        """Tell the shim that its child is ready; `console` is -1 without a terminal."""
        fds = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", console))]
        try:
            self.socket.sendmsg([_BORN.pack(pid, between)], fds if console >= 0 else [])
        except OSError as error:
            raise ClosedError(str(error)) from error

    def await_born(self) -> tuple[int, int, int]:
        """(pid, between, console). Raises ClosedError, StartFailure. In few words, as `go`."""
        data, ancillary, _, _ = self.socket.recvmsg(
            _LIMIT, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC
        )
        if len(data) != _BORN.size:
            if not data:
                raise ClosedError("end of file")
            _raise_failure(json.loads(data))
        console = struct.unpack("i", ancillary[0][2][:4])[0] if ancillary else -1
        return (*_BORN.unpack(data), console)

    def fail(self, error: errdefs.EngineError, code: int) -> None:
        """Say that the start failed; silent if nobody listens."""
        text = error.message[:4096]
        failed: Message = {"type": "failed", "kind": error.kind.name, "message": text, "code": code}
        try:
            self.send(failed)
        except ClosedError:
            return

    def close(self) -> None:
        self.socket.close()
