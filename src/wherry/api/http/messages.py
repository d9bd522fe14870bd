"""What goes in and out of an application: a request, and one of three kinds of answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec import Struct, field


class HTTPError(Exception):
    """A request that HTTP itself refuses; the connection ends with the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Head(Struct):
    """A request's first lines. Names of headers are in lower case; repeated ones are joined."""

    method: str
    target: str
    http_version: tuple[int, int]
    headers: dict[str, str]

    def wants_keep_alive(self) -> bool:
        tokens = {token.strip() for token in self.headers.get("connection", "").lower().split(",")}
        if self.http_version < (1, 1):
            return "keep-alive" in tokens
        return "close" not in tokens


class Body(Protocol):
    """A request's body, read once, either whole or piece by piece."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Pieces as they arrive. EngineError (invalid) if the client ends too early."""

    async def read(self, limit: int) -> bytes:
        """All of it. HTTPError 413 as soon as it is known to be longer than `limit` bytes."""


class Request(Struct):
    """One request. `path` is decoded and has no query."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: Body

    @classmethod
    def of(cls, head: Head, body: Body) -> "Request":
        target = head.target
        if not target.startswith("/"):  # the absolute form, which proxies use
            target = urlsplit(target)._replace(scheme="", netloc="").geturl() or "/"
        path, _, fields = target.partition("?")
        try:
            query = parse_qs(fields, keep_blank_values=True, errors="strict") if fields else {}
            path = unquote(path, errors="strict")
        except ValueError as error:  # UnicodeDecodeError is one
            raise HTTPError(400, f"malformed request target: {error}") from error
        return cls(head.method, path, query, head.headers, body)


class Reply(Struct):
    """An answer that is all there."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Stream(Struct):
    """An answer whose head is sent at once and whose pieces follow as they come.

    `pieces` is closed when the client leaves. If it raises, the connection is cut without the end
    of the chunked coding, so that the client can tell.
    """

    status: int
    pieces: AsyncIterator[bytes]
    headers: dict[str, str] = field(default_factory=dict)


class Wire(Struct):
    """A connection that is handed over.

    `early` came behind the request; `ended` says that the client will send nothing more.
    """

    transport: asyncio.Transport
    early: bytes
    ended: bool


# Takes a connection over: sets a protocol of its own before it first awaits, returns when it is
# done, and leaves the transport closed, also when it is cancelled.
Takeover = Callable[[Wire], Awaitable[None]]


class Hijack(Struct):
    """An answer after which the connection is no HTTP any more."""

    status: int
    takeover: Takeover
    headers: dict[str, str] = field(default_factory=dict)


Answer = Reply | Stream | Hijack


class Application(Protocol):
    """What stands behind the server."""

    async def __call__(self, request: Request) -> Answer:
        """The answer; every error has become one already."""

    def refuse(self, error: HTTPError) -> Reply:
        """How a request that is no HTTP is answered."""
