"""Answers into bytes."""

import asyncio
import functools
import time

# Pieces of a stream are put together up to this size while they come without a pause.
FULL = 64 * 1024

# Statuses whose answers have no body, and no length either.
BODILESS = (101, 204, 304)

_REASONS = {
    100: "Continue", 101: "UPGRADED", 200: "OK", 201: "Created", 204: "No Content",
    304: "Not Modified", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict",
    413: "Request Entity Too Large", 415: "Unsupported Media Type", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip


class Batch:
    """Small pieces that come without a pause leave as one write, at the loop's next turn."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, chunked: bool
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._chunked = chunked
        self._pieces: list[bytes] = []
        self._size = 0
        self._handle: asyncio.Handle | None = None

    def add(self, piece: bytes) -> int:
        """Returns how many bytes wait now."""
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
            if self._handle is None:
                self._handle = self._loop.call_soon(self.flush)
        return self._size

    def flush(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if not self._pieces or self._transport.is_closing():
            return
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)


def head_of(status: int, headers: dict[str, str]) -> bytes:
    """A status line and headers, with the empty line behind them."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if status != 101:
        lines.append(f"Date: {_date(int(time.time()))}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@functools.lru_cache(maxsize=1)
def _date(second: int) -> str:
    """RFC 9110's date; `strftime` would follow the locale."""
    now = time.gmtime(second)
    return (
        f"{_DAYS[now.tm_wday]}, {now.tm_mday:02} {_MONTHS[now.tm_mon - 1]} {now.tm_year} "
        f"{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} GMT"
    )
