"""One connection to the daemon, blocking: a socket below, the sans-I/O parser above."""

from __future__ import annotations

# `socket` is this module with enumerations around it, which cost 10 ms to build.
import _socket

from wherry.client.errors import broken, daemon_error
from wherry.client.http import (
    Data,
    Head,
    ProtocolError,
    ResponseParser,
    encode_chunk,
    encode_request,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wherry.client.address import Address
    from wherry.client.calls import Call
    from wherry.client.http import Event

READ_SIZE = 64 * 1024
MAX_DOCUMENT = 256 * 1024 * 1024


class StaleConnectionError(Exception):
    """The daemon had closed the kept connection before it answered anything."""


class Connection:
    """A connected socket that carries one call after another.

    Every method raises EngineError when the daemon can't be reached or stops making sense. The
    socket is closed by `close`, or by whoever took it with `Response.hijack`.
    """

    def __init__(self, address: Address) -> None:
        self._link = address.dial()
        self._socket = self._link.socket
        self.reusable = True

    def close(self) -> None:
        self.reusable = False
        self._socket.close()
        self._link.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(
        self, call: Call, version: str | None, stream: Iterable[bytes] | None = None
    ) -> Response:
        """Send `call` (with `stream` as its body) and read the answer's head.

        Raises StaleConnectionError if the connection was dead already, EngineError of the matching
        kind for an error status, and closes the connection when it is of no more use.
        """
        try:
            self._send_request(call, version, stream)
            response = Response(self, call)
            response.read_head()
        except ProtocolError as error:
            self.close()
            raise broken(str(error)) from error
        if response.status >= 400:
            raise daemon_error(response.status, response.read())
        return response

    def _send_request(
        self, call: Call, version: str | None, stream: Iterable[bytes] | None
    ) -> None:
        headers = call.headers()
        body = call.body
        if stream is not None:
            headers.append(("Transfer-Encoding", "chunked"))
        elif body is None and call.method == "POST":
            body = b""
        head = encode_request(call.method, call.target(version), headers, body)
        try:
            self._send_all(head)
            if stream is not None:
                for piece in stream:
                    if piece:
                        self._send_all(encode_chunk(piece))
                self._send_all(encode_chunk(b""))
        except ConnectionError:
            # The daemon refused early and closed; what it said is still to be read.
            self.reusable = False

    def _send_all(self, data: bytes) -> None:
        # A daemon that goes away is an error to report, not a signal to die of.
        self._socket.sendall(data, _socket.MSG_NOSIGNAL)

    def receive(self) -> bytes:
        try:
            return self._socket.recv(READ_SIZE)
        except ConnectionResetError:
            return b""

    def why(self) -> str:
        """Why it ended without an answer, if its way has a reason to tell; else ""."""
        return self._link.why()

    def detach(self) -> _socket.socket:
        """Give the socket away."""
        self.reusable = False
        return self._socket


def listens(path: str) -> bool:
    """Whether somebody accepts connections at `path`; True too where this user may not ask."""
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        probe.connect(path)
    except PermissionError:
        return True
    except OSError:
        return False
    finally:
        probe.close()
    return True


class Response:
    """An answer whose head is read. Read its body to the end, or close it."""

    def __init__(self, connection: Connection, call: Call) -> None:
        self._connection = connection
        self._parser = ResponseParser(call.method, upgrade=call.upgrade)
        self._events: list[Event] = []
        self.status = 0
        self.headers: dict[str, str] = {}
        self.upgraded = False

    def fileno(self) -> int:
        """The socket's descriptor, readable when more of the body has come."""
        return self._connection.fileno()

    @property
    def buffered(self) -> bool:
        """Whether some of the body is here already, where no `poll` sees it."""
        return bool(self._events) or self._parser.done

    def read_head(self) -> None:
        received_any = False
        while not self._events:
            data = self._connection.receive()
            if not data and not received_any:
                self._connection.close()
                raise StaleConnectionError
            received_any = True
            self._events += self._parser.feed(data)
        head = self._events.pop(0)
        assert isinstance(head, Head)
        self.status = head.status
        self.headers = head.headers
        self.upgraded = head.upgraded
        self._settle()

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. Raises EngineError if it stops before its end."""
        while True:
            # One by one, so that `buffered` knows of those that are left.
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, Data):
                    yield event.data
            if self._parser.done:
                return
            try:
                self._events = self._parser.feed(self._connection.receive())
            except ProtocolError as error:
                self._connection.close()
                raise broken(str(error)) from error
            self._settle()

    def read(self, limit: int = MAX_DOCUMENT) -> bytes:
        """The whole body, at most `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        for piece in self.pieces():
            size += len(piece)
            if size > limit:
                self.close()
                raise broken(f"the daemon's answer is longer than {limit} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def hijack(self) -> tuple[_socket.socket, bytes]:
        """The raw stream after an upgrade, and what was read of it already; the caller's to close.

        Raises EngineError if the daemon did not hand the connection over.
        """
        if not self.upgraded:
            self.close()
            raise broken("the daemon answered where it should have opened a stream")
        early = b"".join(event.data for event in self._events if isinstance(event, Data))
        return self._connection.detach(), early

    def close(self) -> None:
        """Leave the rest of the body unread."""
        if not self._parser.done:
            self._connection.close()

    def _settle(self) -> None:
        if self._parser.done and not self._parser.keep_alive:
            self._connection.close()
