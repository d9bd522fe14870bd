"""A terminal, or two pipes, joined to a container until it ends.

    standard input --> [detach keys] --> attach stream --> standard output and error
    signals        --> kill            (the terminal's size --> resize)
    wait stream    --> the exit code

One thread and one `poll`: nothing of it can wait for something else of it. What the container does
not take yet is held here, and no more is read of standard input meanwhile.
"""

from __future__ import annotations

import _socket
import os
import select

from wherry.cli.errors import CliError, engine_error
from wherry.cli.signals import TERMINATING, WINDOW_CHANGED, Signals
from wherry.cli.terminal import window_size
from wherry.client.multiplex import STDERR, SYSTEM_ERROR, Demultiplexer, FrameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.detach import DetachKeys
    from wherry.client.engine import EngineClient, Waiting

READ_SIZE = 64 * 1024
FORCE_AFTER = 3
# A resize right after the start may come before the container's terminal is there.
RESIZE_TRIES = 10
RESIZE_PAUSE = 20  # milliseconds

STDIN_FD, STDOUT_FD, STDERR_FD = 0, 1, 2


class DetachedError(Exception):
    """The user pressed the detach keys; the container goes on."""


class Session:
    """One attached container. `run` returns when its streams and its wait have ended."""

    def __init__(
        self,
        client: EngineClient,
        ref: str,
        stream: _socket.socket,
        early: bytes,
        *,
        tty: bool,
        stdin: bool,
        proxied: bool,
        keys: DetachKeys | None = None,
    ) -> None:
        self._client = client
        self._ref = ref
        self._stream = stream
        self._frames = None if tty else Demultiplexer()
        self._tty = tty
        self._reading = stdin
        self._proxied = proxied
        self._keys = keys
        self._pending = bytearray()
        self._half_closed = False
        self._terminations = 0
        self._resize_tries = 0
        self._by_way_of_another = False
        self._streaming = True
        stream.setblocking(False)
        self._show(early)

    def resize_soon(self, *, by_way_of_another: bool = False) -> None:
        """Tell the container its terminal's size, again until it has one.

        `by_way_of_another` tells it a larger one just before. Programs draw themselves anew for a
        size that has changed, and who attaches to a shell sees its prompt, as with Docker.
        """
        self._resize_tries = RESIZE_TRIES
        self._by_way_of_another = by_way_of_another

    def run(self, signals: Signals, waiting: Waiting | None) -> None:
        """Copy until the stream has ended and `waiting` has its answer.

        Raises DetachedError, and CliError where the stream breaks or the user insists on leaving.
        """
        answered = waiting is None or waiting.ready
        while self._streaming or not answered:
            ready = self._poll(signals, None if answered else waiting)
            if signals.fileno() in ready:
                self._take_signals(signals.read())
            if self._streaming and self._stream.fileno() in ready:
                self._copy(ready[self._stream.fileno()])
            if STDIN_FD in ready:
                self._read_input()
            if waiting is not None and not answered and waiting.fileno() in ready:
                answered = True
            if self._resize_tries:
                self._try_resize()

    def _poll(self, signals: Signals, waiting: Waiting | None) -> dict[int, int]:
        poller = select.poll()
        poller.register(signals.fileno(), select.POLLIN)
        if self._streaming:
            sending = select.POLLOUT if self._pending else 0
            poller.register(self._stream.fileno(), select.POLLIN | sending)
            if self._reading and not self._pending:
                poller.register(STDIN_FD, select.POLLIN)
        if waiting is not None:
            poller.register(waiting.fileno(), select.POLLIN)
        return dict(poller.poll(RESIZE_PAUSE if self._resize_tries else None))

    def _copy(self, events: int) -> None:
        if events & select.POLLOUT:
            self._send()
        if events & ~select.POLLOUT:
            try:
                data = self._stream.recv(READ_SIZE)
            except BlockingIOError:
                return
            except ConnectionError:
                data = b""
            if not data:
                self._streaming = False
            self._show(data)

    def _show(self, data: bytes) -> None:
        if self._frames is None:
            _write_all(STDOUT_FD, data)
            return
        try:
            pieces = self._frames.feed(data)
        except FrameError as error:
            raise CliError(str(error)) from error
        for stream, piece in pieces:
            if stream == SYSTEM_ERROR:
                raise CliError(f"the daemon's stream: {piece.decode('utf-8', 'replace')}")
            _write_all(STDERR_FD if stream == STDERR else STDOUT_FD, piece)

    def _read_input(self) -> None:
        try:
            data = os.read(STDIN_FD, READ_SIZE)
        except OSError:
            data = b""  # a terminal that hung up
        if not data:
            self._reading = False
            self._half_closed = True
        detached = False
        if self._keys is not None:
            data, detached = self._keys.feed(data)
        self._pending += data
        self._send()
        if detached:
            raise DetachedError

    def _send(self) -> None:
        try:
            while self._pending:
                sent = self._stream.send(self._pending, _socket.MSG_NOSIGNAL)
                del self._pending[:sent]
            if self._half_closed:
                self._half_closed = False
                self._stream.shutdown(1)  # SHUT_WR: the container's input has ended
        except BlockingIOError:
            return
        except OSError:
            # The container reads no more; what it still says is to come.
            self._pending.clear()
            self._reading = False

    def _take_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == WINDOW_CHANGED:
                if self._tty:
                    self.resize_soon()
                continue
            if number in TERMINATING:
                self._terminations += 1
            if not self._proxied:
                raise CliError("", 128 + number)
            if self._terminations >= FORCE_AFTER:
                raise CliError(f"got {FORCE_AFTER} SIGTERM/SIGINTs, forcefully exiting")
            try:
                self._client.kill(self._ref, str(number))
            except engine_error():
                continue  # it has ended meanwhile, or not begun

    def _try_resize(self) -> None:
        height, width = window_size(STDOUT_FD)
        self._resize_tries -= 1
        if not height and not width:
            self._resize_tries = 0
            return
        try:
            if self._by_way_of_another:
                self._client.resize(self._ref, height + 1, width + 1)
                self._by_way_of_another = False
            self._client.resize(self._ref, height, width)
        except engine_error():
            return
        self._resize_tries = 0


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            # Somebody made the terminal non-blocking; wait for it as it should have.
            poller = select.poll()
            poller.register(fd, select.POLLOUT)
            poller.poll()
