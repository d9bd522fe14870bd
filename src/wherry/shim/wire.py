"""The wire between daemon, launcher and shims: JSON messages over SOCK_SEQPACKET.

Each message has the wire's version and a container's ID, so that a newer daemon can serve old
shims, and one shim may come to serve several containers. Descriptors travel beside a message.

::

    daemon -> launcher   forecast {spec} | release {path}
    daemon -> launcher   start + [control, attached streams ...]        `order` has its form
    launcher -> shim     which layers it lends, a zero byte, the same bytes and
                         descriptors; the bytes to its child too, with the control
                         socket and the descriptors that are the child's own
    daemon -> shim       the word `GO`, if the order says that it is to wait for it
    shim   -> daemon     started {pid, started_ns} | failed {kind, message, exit_code}
    daemon -> shim       kill | resize | attach (+ stream) | state      each with a number n
    shim   -> daemon     reply {n} | reply {n, kind, message}
    shim   -> daemon     exit {code, oom_killed, finished_at, error}
"""

import array
import json
import socket
from typing import TypedDict

from wherry.spec.runtime import Spec

VERSION = 1
GO = b"go"
# Bytes of a message. A start names every layer by its path and carries a compiled filter; more than
# this does not fit a socket's default buffer (net.core.wmem_default, 208 KiB).
LIMIT = 200_000
MAX_DESCRIPTORS = 64
# What a launcher adds to it: a descriptor's number for each layer.
ADDED = 8_000


class AttachFlags(TypedDict):
    """Which of the container's streams an attached client shares."""

    stdin: bool
    stdout: bool
    stderr: bool


class ExitDocument(TypedDict):
    """How a container ended; also the content of exit.json."""

    code: int
    oom_killed: bool
    finished_at: str
    error: str


class Message(TypedDict, total=False):
    """All fields that a message may have; `op` says which are there."""

    v: int
    id: str
    op: str
    n: int
    spec: Spec  # forecast
    path: str  # release
    # kill, resize, attach
    signal: int
    height: int
    width: int
    attach: AttachFlags
    # started, state
    pid: int
    started_ns: int  # after 1970
    exit: ExitDocument | None
    # failed, reply
    kind: str
    message: str
    exit_code: int


def encode(message: Message) -> bytes:
    return json.dumps({"v": VERSION, **message}).encode()


def encode_started(container_id: str, pid: int, started_ns: int) -> bytes:
    """`encode` of this one message, in words that a shim can afford: see `order`."""
    return b'{"v": %d, "op": "started", "id": "%s", "pid": %d, "started_ns": %d}' % (
        VERSION,
        container_id.encode(),
        pid,
        started_ns,
    )


def decode(data: bytes) -> Message:
    message: Message = json.loads(data.decode())
    return message


def send(end: socket.socket, message: Message, fds: tuple[int, ...] = ()) -> None:
    """Raises OSError if the other side is gone, or BlockingIOError if it does not listen."""
    send_bytes(end, encode(message), fds)


def send_bytes(end: socket.socket, data: bytes, fds: tuple[int, ...] = ()) -> None:
    ancillary = []
    if fds:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    end.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)


def receive(end: socket.socket) -> tuple[Message | None, list[int]]:
    """The next message with its descriptors, close-on-exec; None at end of file."""
    data, fds = receive_bytes(end)
    return decode(data) if data else None, fds


def receive_bytes(end: socket.socket) -> tuple[bytes, list[int]]:
    """The same, undecoded; no bytes at end of file."""
    fds = array.array("i")
    space = socket.CMSG_SPACE(MAX_DESCRIPTORS * fds.itemsize)
    data, ancillary, _, _ = end.recvmsg(LIMIT + ADDED, space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
    return data, fds.tolist()
