"""Requests out of bytes: RFC 9112, the server's half. No I/O happens here."""

import enum
import re

from wherry.api.http.messages import Head, HTTPError

MAX_HEAD = 64 * 1024
MAX_CHUNK_LINE = 4 * 1024

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/(\d)\.(\d)")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_TLS = b"\x16"
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class End(enum.Enum):
    """The event that closes a request."""

    OF_REQUEST = enum.auto()


Event = Head | bytes | End


class _State(enum.Enum):
    HEAD = enum.auto()
    SIZED = enum.auto()
    CHUNK_LINE = enum.auto()
    CHUNK_DATA = enum.auto()
    CHUNK_END = enum.auto()
    TRAILER = enum.auto()
    DONE = enum.auto()


class RequestParser:
    """Bytes in; a `Head`, the body's pieces and an `End` out, for one request after another.

    After an `End`, what follows is kept unread until `next_request()`, because it may be no
    request at all: `rest()` gives it to whoever takes the connection over.
    """

    def __init__(self) -> None:
        self._state = _State.HEAD
        self._buffer = b""
        self._remaining = 0

    @property
    def idle(self) -> bool:
        """Whether no request has begun."""
        return self._state is _State.HEAD and not self._buffer

    @property
    def in_head(self) -> bool:
        """Whether a request has begun, and its head is not whole yet."""
        return self._state is _State.HEAD and bool(self._buffer)

    @property
    def waiting(self) -> int:
        """How many bytes are kept behind a finished request."""
        return len(self._buffer) if self._state is _State.DONE else 0

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete. HTTPError ends the connection."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        events: list[Event] = []
        at = 0
        while True:
            before = self._state
            at = self._advance(data, at, events)
            if self._state in (before, _State.DONE):
                self._buffer = data[at:]
                return events

    def next_request(self) -> list[Event]:
        """Begin with the next request, which may be there already."""
        assert self._state is _State.DONE
        self._state = _State.HEAD
        return self.feed(b"")

    def rest(self) -> bytes:
        """What came behind the request; the parser's work is over."""
        rest, self._buffer = self._buffer, b""
        return rest

    def _advance(self, data: bytes, at: int, events: list[Event]) -> int:
        """Do one state's work; returns where it ended. No change of state means: more is needed.

        Positions, and no slices: a large piece holds many chunks, and would be copied for each.
        """
        match self._state:
            case _State.HEAD:
                return self._head(data, at, events)
            case _State.SIZED | _State.CHUNK_DATA:
                return self._data(data, at, events)
            case _State.CHUNK_LINE:
                return self._chunk_line(data, at)
            case _State.CHUNK_END:
                return self._chunk_end(data, at)
            case _State.TRAILER:
                return self._trailer(data, at, events)
            case _State.DONE:
                return at

    def _head(self, data: bytes, at: int, events: list[Event]) -> int:
        if data[at : at + 1] in (b"\r", b"\n"):  # RFC 9112, 2.2: empty lines are ignored
            at = len(data) - len(data[at:].lstrip(b"\r\n"))
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            if data[at : at + 1] == _TLS:  # it would wait for an answer, and we for an empty line
                raise HTTPError(400, "client sent a TLS handshake to an HTTP server")
            if len(data) - at > MAX_HEAD:
                raise HTTPError(431, f"request head is larger than {MAX_HEAD} bytes")
            return at
        head = parse_head(data[at:end])
        events.append(head)
        self._begin_body(head, events)
        return end + 4

    def _begin_body(self, head: Head, events: list[Event]) -> None:
        coding = head.headers.get("transfer-encoding")
        length = head.headers.get("content-length")
        if coding is not None:
            if length is not None or coding.lower() != "chunked":
                raise HTTPError(400, f"unsupported transfer encoding: {coding}")
            self._state = _State.CHUNK_LINE
            return
        if length is not None and not _LENGTH.fullmatch(length):
            raise HTTPError(400, f"malformed Content-Length: {length}")
        self._remaining = int(length) if length else 0
        if self._remaining:
            self._state = _State.SIZED
        else:
            self._finish(events)

    def _data(self, data: bytes, at: int, events: list[Event]) -> int:
        there = len(data) - at
        if there < self._remaining:
            if there:
                events.append(data[at:])
                self._remaining -= there
            return len(data)
        end = at + self._remaining
        events.append(data[at:end])
        self._remaining = 0
        if self._state is _State.CHUNK_DATA:
            self._state = _State.CHUNK_END
        else:
            self._finish(events)
        return end

    def _chunk_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at, at + MAX_CHUNK_LINE)
        if end < 0:
            if len(data) - at > MAX_CHUNK_LINE:
                raise HTTPError(400, "malformed chunk: its first line does not end")
            return at
        match = _CHUNK_LINE.fullmatch(data, at, end)
        if match is None:
            raise HTTPError(400, "malformed chunk: its size is not a hexadecimal number")
        self._remaining = int(match[1], 16)
        self._state = _State.CHUNK_DATA if self._remaining else _State.TRAILER
        return end + 2

    def _chunk_end(self, data: bytes, at: int) -> int:
        ending = data[at : at + 2]
        if len(ending) < 2:
            return at
        if ending != b"\r\n":
            raise HTTPError(400, "malformed chunk: it is longer than its size says")
        self._state = _State.CHUNK_LINE
        return at + 2

    def _trailer(self, data: bytes, at: int, events: list[Event]) -> int:
        while (end := data.find(b"\r\n", at)) >= 0:
            empty, at = end == at, end + 2
            if empty:
                self._finish(events)
                return at
        if len(data) - at > MAX_HEAD:
            raise HTTPError(431, f"request trailer is larger than {MAX_HEAD} bytes")
        return at

    def _finish(self, events: list[Event]) -> None:
        self._state = _State.DONE
        events.append(End.OF_REQUEST)


def parse_head(block: bytes) -> Head:
    """A request's head, without the empty line that ends it."""
    if len(block) > MAX_HEAD:
        raise HTTPError(431, f"request head is larger than {MAX_HEAD} bytes")
    first, *lines = block.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        raise HTTPError(400, "malformed request line")
    version = (int(match[3]), int(match[4]))
    if version[0] != 1:
        raise HTTPError(505, f"HTTP/{version[0]}.{version[1]} is not spoken here, HTTP/1.1 is")
    headers: dict[str, str] = {}
    for line in lines:
        pair = _FIELD_LINE.fullmatch(line)
        if pair is None or b"\0" in line:
            raise HTTPError(400, "malformed header line")
        name, value = pair[1].decode("ascii").lower(), pair[2].decode("latin-1")
        if name in headers:
            if name in ("content-length", "transfer-encoding"):
                raise HTTPError(400, f"repeated header: {name}")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return Head(match[1].decode("ascii"), match[2].decode("ascii"), version, headers)
