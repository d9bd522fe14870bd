"""A request's body read by a worker thread, from the client's socket itself.

A large upload that comes through the loop is woken for, copied and handed over in each of its
small pieces, while the thread that wants them waits for the interpreter's lock::

    client --- socket --- loop --- pieces --- thread          a body that is fed
    client --- socket ----------------------- thread          a body that is lent

While it is lent, the loop doesn't read from the connection; it may write to it.
"""

import io
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from wherry import errdefs
from wherry.api.http.messages import HTTPError
from wherry.api.http.parser import RequestParser

# What lies in a unix socket by default, and a little more.
_PIECE = 256 * 1024

Pieces: TypeAlias = "deque[bytes | memoryview]"


class Line:
    """What is lent: the way to the client, and the parser that knows where in the body it is.

    `over` is called once, in the borrowing thread, when that has no more use for them.
    """

    def __init__(
        self, client: socket.socket, parser: RequestParser, over: Callable[["Line"], None]
    ) -> None:
        """`client` does not block. Its descriptor is copied: the connection may be closed
        meanwhile. Raises OSError where there are no descriptors left."""
        self._parser = parser
        self.finished = False
        self.refusal: HTTPError | None = None
        self._over = over
        self._client: socket.socket | None = client.dup()
        try:
            self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError:
            self._client.close()
            raise
        self._closing = threading.Lock()
        self._rung = False

    def receive(self, pieces: Pieces) -> bool:
        """Wait for bytes, and add what there is of the body; returns whether that is its end.

        Raises InvalidArgument if it is cut short or malformed, or `ring` was called.
        """
        data = self._read()
        try:
            events = self._parser.feed(data)
        except HTTPError as error:
            self.refusal = error
            raise errdefs.invalid(f"the upload was broken off: {error.message}") from error
        for event in events:
            if isinstance(event, bytes):
                pieces.append(event)
            else:
                self.finished = True
        return self.finished

    def _read(self) -> bytes:
        while not self._rung and self._client is not None:
            try:
                data = self._client.recv(_PIECE)
            except BlockingIOError:
                self._wait(self._client)
                continue
            except OSError as error:
                raise cut_short() from error
            if not data:
                raise cut_short()
            return data
        raise broken_off()

    def _wait(self, client: socket.socket) -> None:
        poll = select.poll()
        poll.register(client, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        poll.poll()

    def ring(self) -> None:
        """End the waiting, from any thread."""
        with self._closing:
            self._rung = True
            if self._client is not None:
                os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        with self._closing:
            if self._client is None:
                return
            self._client.close()
            self._client = None
            os.close(self._bell)
        self._over(self)


class LentBody(io.RawIOBase):
    """A body as a file, to be read and closed by one thread.

    Reading raises InvalidArgument where the body ends too early. `abandon` may be called by
    another: then what waits for bytes, and every later reading, raises that too.
    """

    def __init__(
        self, arrived: Pieces, line: Line | None = None, failure: Exception | None = None
    ) -> None:
        """`arrived` was read before. Without a line that is all of it, or all until `failure`."""
        super().__init__()
        self._pieces = arrived
        self._line = line
        self._failure = failure
        self._abandoned = False

    def abandon(self) -> None:
        """Nobody is to wait for the rest of it."""
        self._abandoned = True
        if self._line is not None:
            self._line.ring()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        # The buffer is what BufferedReader passes: typeshed's Buffer has no len().
        if self._abandoned:
            raise broken_off()
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self._line is None or self._line.finished:
                return 0
            if self._line.receive(self._pieces):
                # Who has sent all may send more, or leave: the loop sees to that again.
                self._line.close()
        return self._take(buffer)

    def _take(self, buffer: bytearray | memoryview) -> int:
        """Move as many of the pieces as there is room for."""
        pieces, at, room = self._pieces, 0, len(buffer)
        while pieces and at < room:
            piece = pieces.popleft()
            end = at + len(piece)
            if end > room:
                view = memoryview(piece)
                pieces.appendleft(view[room - at :])
                piece, end = view[: room - at], room
            buffer[at:end] = piece
            at = end
        return at

    def close(self) -> None:
        if not self.closed:
            super().close()
            if self._line is not None:
                self._line.close()


def cut_short() -> errdefs.EngineError:
    """The client ended the connection in the middle of the body."""
    return errdefs.invalid("unexpected end of the request's body")


def broken_off() -> errdefs.EngineError:
    return errdefs.invalid("the upload was broken off")
