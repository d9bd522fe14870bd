"""A container's three streams: from its pipes or terminal to its log and to who is attached.

Nothing is kept but what a slow client has yet to take, at most `HIGH` bytes for each; when one
is behind that far, the container's output waits for it, as a pipe would.
"""

import os
import select
import socket
import struct
from collections.abc import Callable
from functools import partial

from wherry import errdefs
from wherry.logs.jsonfile import Writer
from wherry.shim.wire import AttachFlags

HIGH = 1 << 20
LOW = 1 << 18
CHUNK = 1 << 16
READ, WRITE = select.EPOLLIN, select.EPOLLOUT
_FRAME = struct.Struct(">BxxxL")
_KINDS = {"stdout": 1, "stderr": 2}

Callback = Callable[[int], None]


class Watch:
    """Descriptors and what to call when they are ready.

    Upon epoll itself, not `selectors`: each Python function that a shim runs costs it pages that
    it else shares with the launcher.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[int, Callback]] = {}

    def set(self, fd: int, events: int, callback: Callback) -> None:
        """Watch `fd` for `events` (READ, WRITE, both, or 0 for none) from now on."""
        if fd not in self._watched:
            if events:
                self._epoll.register(fd, events)
                self._watched[fd] = (events, callback)
        elif events == 0:
            self.forget(fd)
        elif self._watched[fd][0] != events:
            self._epoll.modify(fd, events)
            self._watched[fd] = (events, callback)

    def close(self) -> None:
        self._epoll.close()

    def forget(self, fd: int) -> None:
        if self._watched.pop(fd, None):
            self._epoll.unregister(fd)

    def wait(self, seconds: float | None) -> None:
        """Call back for all that is ready within `seconds`; an end or an error reads as READ."""
        for fd, events in self._epoll.poll(seconds):
            watched = self._watched.get(fd)
            if watched:
                ready = events & WRITE | (READ if events & ~WRITE else 0)
                watched[1](ready)


class Attached:
    """A client's stream: takes framed (or, with a terminal, raw) output, gives standard input."""

    def __init__(self, end: socket.socket, flags: AttachFlags) -> None:
        end.setblocking(False)
        self.socket = end
        self.flags = flags
        self.buffer = bytearray()
        self.reading = flags["stdin"]

    def wants(self, stream: str) -> bool:
        return self.flags["stdout"] if stream == "stdout" else self.flags["stderr"]


class Streams:
    """The fan-out of one container's output, and the way in for its input."""

    def __init__(
        self, watch: Watch, log: Writer | None, stdin: int, stdin_once: bool, terminal: bool
    ) -> None:
        self.watch = watch
        self.log = log
        self.log_error = ""
        self.stdin = stdin
        self.stdin_once = stdin_once
        self.terminal = terminal
        self.sources: dict[int, str] = {}
        self.attached: list[Attached] = []
        self._input = bytearray()
        self._input_ended = False
        self._paused = False

    # --- output ---------------------------------------------------------------------------

    def add_source(self, fd: int, stream: str) -> None:
        os.set_blocking(fd, False)
        self.sources[fd] = stream
        self._rewatch()

    def _read_source(self, fd: int) -> None:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a terminal says EIO when its last user has gone
        if not data:
            self._end_source(fd)
            return
        self._publish(self.sources[fd], data)

    def _end_source(self, fd: int) -> None:
        self.watch.forget(fd)
        del self.sources[fd]
        if fd == self.stdin:
            self.stdin = -1
        os.close(fd)

    def _publish(self, stream: str, data: bytes) -> None:
        if self.log:
            try:
                self.log.write(stream, data)
            except (errdefs.EngineError, OSError) as error:
                # A full disk must not stop the container; what is lost is said at its end.
                self.log_error = str(error)
        frame = data if self.terminal else _FRAME.pack(_KINDS[stream], len(data)) + data
        for client in list(self.attached):
            if client.wants(stream):
                client.buffer += frame
                self._flush(client)
        self._regulate()

    def _flush(self, client: Attached) -> None:
        try:
            while client.buffer:
                with memoryview(client.buffer) as view:
                    sent = client.socket.send(view[: 4 * CHUNK], socket.MSG_NOSIGNAL)
                del client.buffer[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.detach(client)
            return
        self._watch_client(client)

    def _regulate(self) -> None:
        """Pause the container's output when a client is too far behind, and resume it."""
        most = max((len(client.buffer) for client in self.attached), default=0)
        if not self._paused and most > HIGH:
            self._paused = True
            self._rewatch()
        elif self._paused and most < LOW:
            self._paused = False
            self._rewatch()

    def _rewatch(self) -> None:
        for fd in self.sources:
            events = 0 if self._paused else READ
            if fd == self.stdin and self._input:
                events |= WRITE
            self.watch.set(fd, events, partial(self._source_ready, fd))

    def _source_ready(self, fd: int, ready: int) -> None:
        if ready & WRITE and fd == self.stdin:
            self._write_input()
        if ready & READ and not self._paused:
            self._read_source(fd)

    # --- clients ----------------------------------------------------------------------------

    def attach(self, client: Attached) -> None:
        self.attached.append(client)
        self._watch_client(client)

    def detach(self, client: Attached) -> None:
        if client in self.attached:
            self.attached.remove(client)
            self.watch.forget(client.socket.fileno())
            client.socket.close()
            if client.reading and self.stdin_once:
                self._end_input()
            self._regulate()

    def _watch_client(self, client: Attached) -> None:
        events = WRITE if client.buffer else 0
        if client.reading and len(self._input) < HIGH:
            events |= READ
        fd = client.socket.fileno()
        self.watch.set(fd, events, lambda ready: self._client_ready(client, ready))

    def _client_ready(self, client: Attached, ready: int) -> None:
        if ready & WRITE and client.buffer:
            self._flush(client)
            self._regulate()
        if ready & READ and client.reading and client in self.attached:
            self._read_client(client)

    def _read_client(self, client: Attached) -> None:
        try:
            data = client.socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.detach(client)
            return
        if data:
            self._input += data
            self._write_input()
        else:
            client.reading = False
            self._watch_client(client)
            if self.stdin_once:
                self._end_input()

    # --- input --------------------------------------------------------------------------------

    def _end_input(self) -> None:
        """No more will come; a terminal stays open, since it is the output too."""
        if not self.terminal:
            self._input_ended = True
            self._write_input()

    def _write_input(self) -> None:
        try:
            while self._input and self.stdin >= 0:
                with memoryview(self._input) as view:
                    written = os.write(self.stdin, view[:CHUNK])
                del self._input[:written]
        except BlockingIOError:
            pass
        except OSError:
            self._close_input()  # the container closed its end: nobody will read this
        if self.stdin < 0:
            self._input.clear()
        elif not self._input and self._input_ended:
            self._close_input()
        self._watch_input()
        for client in self.attached:
            self._watch_client(client)

    def _watch_input(self) -> None:
        if self.terminal:
            self._rewatch()
        elif self.stdin >= 0:
            events = WRITE if self._input else 0
            self.watch.set(self.stdin, events, lambda _: self._write_input())

    def _close_input(self) -> None:
        if self.stdin >= 0 and not self.terminal:
            self.watch.forget(self.stdin)
            os.close(self.stdin)
        self.stdin = -1

    # --- the end --------------------------------------------------------------------------------

    def abandon_sources(self) -> None:
        """Stop reading: what still holds the other ends is not the container's any more."""
        for fd in list(self.sources):
            self._end_source(fd)
        self._close_input()

    def close_log(self) -> None:
        if self.log:
            try:
                self.log.close()
            except (errdefs.EngineError, OSError) as error:
                self.log_error = str(error)
            self.log = None

    @property
    def held_up(self) -> bool:
        """Whether a client that is far behind keeps us from reading the output."""
        return self._paused

    @property
    def flushed(self) -> bool:
        return not any(client.buffer for client in self.attached)

    def close_clients(self) -> None:
        for client in list(self.attached):
            client.reading = False
            self.detach(client)

    def close_flushed(self) -> None:
        """Let those go who have all of it."""
        for client in list(self.attached):
            if not client.buffer:
                client.reading = False
                self.detach(client)
