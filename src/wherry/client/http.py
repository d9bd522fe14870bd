"""HTTP/1.1 as the Engine API uses it, without any input or output: bytes in, events out.

One parser reads one response:

    parser = ResponseParser("GET")
    for event in parser.feed(received): ...      # Head, then Data..., then END
    for event in parser.feed(b""): ...           # the peer closed its side

After an upgrade (`POST /containers/{id}/attach`) what follows the head belongs to no HTTP any
more; it comes as Data, unframed, until the peer closes.

The rules are RFC 9112's, and strict where a lenient reader could be led to see another message
than its neighbour: a length given twice, a length beside chunks, a folded header are refused.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_HEAD = 64 * 1024
MAX_CHUNK_LINE = 1024

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_UNRESERVED = frozenset(b"-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_HEX = frozenset(b"0123456789abcdefABCDEF")


class ProtocolError(Exception):
    """The peer sent something that is not HTTP/1.1, or stopped in the middle of it."""


class Head:
    """A response's first part. Header names are in lower case; of equal ones the last counts."""

    __slots__ = ("headers", "status", "upgraded")

    def __init__(self, status: int, headers: dict[str, str], upgraded: bool) -> None:
        self.status = status
        self.headers = headers
        self.upgraded = upgraded


class Data:
    """Some of the body's bytes, never none."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class End:
    """The body is whole."""

    __slots__ = ()


END = End()
if TYPE_CHECKING:
    Event = Head | Data | End


class ResponseParser:
    """Reads the response to one request, however its bytes are cut.

    `method` is the request's, because HEAD has no body; `upgrade` says that the request asked for
    a raw stream, so that a 200 without a length (as older daemons answer) starts one too.
    """

    def __init__(self, method: str, *, upgrade: bool = False) -> None:
        self._method = method
        self._upgrade = upgrade
        self._buffer = bytearray()
        self._step: Callable[[list[Event]], bool] = self._head
        self._remaining = 0
        self._closed = False
        self.keep_alive = False
        self.done = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes; empty `data` means that the peer closed its side.

        Raises ProtocolError for anything that is not a response, and for a body cut short.
        """
        self._closed = not data
        self._buffer += data
        events: list[Event] = []
        while self._step(events):
            pass
        if self._closed and not self.done:
            raise ProtocolError("the daemon closed the connection in the middle of its answer")
        return events

    # Each step takes what it can from the buffer, and says whether another step may go on.

    def _head(self, events: list[Event]) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if (end if end >= 0 else len(self._buffer)) > MAX_HEAD:
            raise ProtocolError(f"the daemon's headers are longer than {MAX_HEAD} bytes")
        if end < 0:
            return False
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        status, minor = _status_line(lines[0])
        headers = _headers(lines[1:])
        if 100 <= status < 200 and status != 101:
            return True  # interim; the real response follows
        self._choose_body(status, minor, headers, events)
        return True

    def _choose_body(
        self, status: int, minor: int, headers: dict[str, str], events: list[Event]
    ) -> None:
        coding = headers.get("transfer-encoding")
        length = headers.get("content-length")
        if coding is not None and coding.lower() != "chunked":
            raise ProtocolError(f"the daemon sent an unknown transfer encoding, {coding[:40]!r}")
        if coding is not None and length is not None:
            raise ProtocolError("the daemon sent both a length and chunks")
        framed = coding is not None or length is not None
        upgraded = status == 101 or (self._upgrade and status == 200 and not framed)
        if status == 101 and not self._upgrade:
            raise ProtocolError("the daemon switched protocols without being asked")
        events.append(Head(status, headers, upgraded))
        self.keep_alive = minor >= 1 and "close" not in headers.get("connection", "").lower()
        # Who was spoken to in the wrong protocol says so in a body, to HEAD as well, and hangs up.
        says_why = status >= 400 and not framed and not self.keep_alive
        if upgraded or says_why:
            self.keep_alive = False
            self._step = self._until_close
        elif self._method == "HEAD" or status in (204, 304):
            self._finish(events)
        elif coding is not None:
            self._step = self._chunk_line
        elif length is not None:
            self._remaining = _length(length)
            self._step = self._fixed
        else:
            self.keep_alive = False
            self._step = self._until_close

    def _finish(self, events: list[Event]) -> None:
        self.done = True
        self._step = self._over
        events.append(END)

    def _over(self, events: list[Event]) -> bool:
        if self._buffer:
            raise ProtocolError("the daemon sent more than it had announced")
        return False

    def _fixed(self, events: list[Event]) -> bool:
        self._take(events)
        if self._remaining == 0:
            self._finish(events)
        return self.done

    def _take(self, events: list[Event]) -> None:
        if self._remaining and self._buffer:
            taken = bytes(self._buffer[: self._remaining])
            del self._buffer[: self._remaining]
            self._remaining -= len(taken)
            events.append(Data(taken))

    def _until_close(self, events: list[Event]) -> bool:
        if self._buffer:
            events.append(Data(bytes(self._buffer)))
            self._buffer.clear()
        if self._closed:
            self._finish(events)
        return False

    def _chunk_line(self, events: list[Event]) -> bool:
        line = self._line(MAX_CHUNK_LINE, "chunk")
        if line is None:
            return False
        size = line.split(b";", 1)[0].rstrip(b" \t")
        if not size or len(size) > 15 or not _HEX.issuperset(size):
            raise ProtocolError(f"the daemon sent a chunk without a size: {line[:40]!r}")
        self._remaining = int(size, 16)
        self._step = self._chunk if self._remaining else self._trailers
        return True

    def _chunk(self, events: list[Event]) -> bool:
        self._take(events)
        if self._remaining or len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise ProtocolError("the daemon sent a chunk that is longer than its size")
        del self._buffer[:2]
        self._step = self._chunk_line
        return True

    def _trailers(self, events: list[Event]) -> bool:
        line = self._line(MAX_HEAD, "trailer")
        if line is None:
            return False
        if line:
            return True  # nobody needs a trailer of the Engine API
        self._finish(events)
        return True

    def _line(self, limit: int, what: str) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if (end if end >= 0 else len(self._buffer)) > limit:
            raise ProtocolError(f"the daemon sent a {what} line longer than {limit} bytes")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line


def _status_line(line: bytes) -> tuple[int, int]:
    """The status and the minor version."""
    version, _, rest = line.partition(b" ")
    status = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not (len(status) == 3 and status.isdigit()):
        raise ProtocolError(f"this is no HTTP answer: {line[:40]!r} (is it a daemon's socket?)")
    if rest[3:4] not in (b"", b" ") or status < b"100":
        raise ProtocolError(f"this is no HTTP status: {line[:40]!r}")
    return int(status), 1 if version == b"HTTP/1.1" else 0


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or not _TOKEN.issuperset(name):
            raise ProtocolError(f"the daemon sent a malformed header: {line[:40]!r}")
        key = name.decode("ascii").lower()
        text = value.strip(b" \t").decode("latin-1")
        if key == "content-length" and headers.get(key, text) != text:
            raise ProtocolError("the daemon sent two different lengths")
        headers[key] = text
    return headers


def _length(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ProtocolError(f"the daemon sent a length that is no number: {text[:40]!r}")
    return int(text)


def encode_request(
    method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None = None
) -> bytes:
    """A request's head, and its body if that is at hand.

    Without `body` the caller says in `headers` how the body is framed, or has none.
    Raises ValueError if a header or the target would end its line early.
    """
    lines = [f"{method} {target} HTTP/1.1", "Host: wherry"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
        raise ValueError(f"a line break in a request's head: {target!r}")
    return text.encode("latin-1") + b"\r\n\r\n" + (body or b"")


def encode_chunk(data: bytes) -> bytes:
    """One chunk of a streamed body; of empty `data`, the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def quote(text: str, safe: bytes = b"") -> str:
    """Percent-encode (RFC 3986). Bytes that were no UTF-8 on the command line stay themselves."""
    keep = _UNRESERVED.union(safe)
    return "".join(
        chr(byte) if byte in keep else f"%{byte:02X}"
        for byte in text.encode("utf-8", "surrogateescape")
    )


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """`?a=b&c=d`, or nothing for no pairs."""
    text = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
    return f"?{text}" if text else ""
