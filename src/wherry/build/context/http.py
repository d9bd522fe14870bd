"""What lies at a URL: the file of an `ADD`, or a whole context."""

from __future__ import annotations

import email.utils
import http.client
import posixpath
import socket
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from wherry import errdefs
from wherry.build.context.context import Context
from wherry.build.context.index import Index
from wherry.build.context.spool import Spool
from wherry.build.context.upload import open_upload
from wherry.build.threads import Stop
from wherry.layers.tar import Entry

_CHUNK: Final = 1 << 18
_PATIENCE: Final = 60.0  # seconds without a byte
_LIMIT: Final = 64 << 30
_REDIRECTS: Final = 10
_UNNAMED: Final = "__unnamed__"
_DIGITS: Final = 18  # of a length; Python refuses to read very long ones
_YEAR_10000: Final = 253_402_300_800
_SHOWN_MAX: Final = 200


@dataclass(slots=True)
class Fetched:
    """A file that was fetched: the one in `context.tree`, under the name `name`.

    Its mode is 0600 and its time that of Last-Modified, or 1970 (as BuildKit has it).
    """

    context: Context
    name: str


def shown(url: str) -> str:
    """A URL for people and logs: without what may be a password in it, or a token."""
    parts = _split(url)
    return urlunsplit((parts.scheme, _host(parts), parts.path, "", ""))


def fetch_url(url: str, folder: Path, stop: Stop | None = None) -> Fetched:
    """Fetch one file into a file without a name in `folder`. Blocks.

    http and https alone, up to ten redirections, which cannot lead to anything else. `stop` breaks
    it off. Raises InvalidArgument for another scheme, NotFound, Forbidden or Unavailable by what
    the server says, and ResourceExhausted when the disk is nearly full.
    """
    name = posixpath.basename(unquote(_split(url).path)) or _UNNAMED
    if name in (".", "..") or "/" in name or "\0" in name:
        name = _UNNAMED
    spool = Spool(folder)
    try:
        with _opened(url, stop or Stop()) as response:
            while data := response.read(_CHUNK):
                spool.write(data)
        index = Index()
        entry = Entry(
            name.encode(errors="surrogateescape"),
            mode=0o600,
            mtime_ns=response.modified * 1_000_000_000,
            size=spool.size,
        )
        index.add(entry)
        return Fetched(Context(index.tree(spool)), name)
    except BaseException:
        spool.close()
        raise


def fetch_context(url: str, folder: Path, stop: Stop | None = None) -> Context:
    """Fetch a context: an archive, or a Dockerfile's text. Raises as fetch_url and open_upload."""
    with _opened(url, stop or Stop()) as response:
        return open_upload(response, folder, f"the build context {shown(url)}")


class _Response:
    """The body of an answer, for reading: whole, not endless, with errors of our own."""

    def __init__(self, url: str, response: http.client.HTTPResponse, stop: Stop) -> None:
        self._what = f"fetching {shown(url)}"
        self._response = response
        self._stop = stop
        self._seen = 0
        length = response.headers.get("Content-Length", "")
        is_number = length.isascii() and length.isdigit() and len(length) <= _DIGITS
        self._length = int(length) if is_number else None
        self.modified = _seconds(response.headers.get("Last-Modified", ""))

    def read(self, size: int, /) -> bytes:
        self._stop.check()
        try:
            data = self._response.read1(size)
        except (OSError, http.client.HTTPException) as error:
            raise errdefs.unavailable(f"{self._what}: {_reason(error)}") from error
        self._seen += len(data)
        if self._seen > _LIMIT:
            raise errdefs.invalid(f"{self._what}: it is over {_LIMIT >> 30} GB long")
        if not data and self._length is not None and self._seen < self._length:
            raise errdefs.unavailable(
                f"{self._what}: it ended after {self._seen} of {self._length} bytes"
            )
        return data


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = _REDIRECTS

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        _split(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]  # the stub asks for HTTPMessage


class _Wire:
    """The socket of the connection that is used now, for who breaks off what waits for it."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._is_cut = False

    def use(self, used: socket.socket) -> None:
        self._socket = used
        if self._is_cut:
            self.cut()

    def cut(self) -> None:
        self._is_cut = True
        if self._socket is not None:
            # Not SSLSocket's: that one takes away what another thread reads by.
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def plain(self, host: str, *, timeout: float) -> http.client.HTTPConnection:
        return self._told(http.client.HTTPConnection(host, timeout=timeout))

    def secure(
        self, host: str, *, timeout: float, context: ssl.SSLContext
    ) -> http.client.HTTPConnection:
        return self._told(http.client.HTTPSConnection(host, timeout=timeout, context=context))

    def _told(self, connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
        connect = connection.connect

        def connect_and_tell() -> None:
            connect()
            self.use(connection.sock)

        connection.connect = connect_and_tell  # type: ignore[method-assign]  # of this one alone
        return connection


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        # The stub asks for arguments that nobody gives.
        return self.do_open(self._wire.plain, req)  # type: ignore[arg-type]


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire
        self._trust = ssl.create_default_context()

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._wire.secure, req, context=self._trust)  # type: ignore[arg-type]


@contextmanager
def _opened(url: str, stop: Stop) -> Iterator[_Response]:
    stop.check()
    wire = _Wire()
    with stop.ending(wire.cut):
        try:
            with _answer(url, wire) as response:
                yield _Response(url, response, stop)
        except errdefs.EngineError:
            stop.check()  # it was broken off, which nobody need be told in other words
            raise


def _answer(url: str, wire: _Wire) -> http.client.HTTPResponse:
    request = _request(url)
    opener = urllib.request.OpenerDirector()
    # Those of build_opener but for file:, ftp: and data:, to which no server may send us.
    for handler in (
        urllib.request.ProxyHandler(),
        _Plain(wire),
        _Secure(wire),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    try:
        response = opener.open(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        error.close()
        raise _refused(url, error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise errdefs.unavailable(f"fetching {shown(url)}: {_reason(error)}") from None
    assert isinstance(response, http.client.HTTPResponse)
    return response


def _request(url: str) -> urllib.request.Request:
    """Without what is before the host: that goes into a header, which no redirection takes on."""
    parts = _split(url)
    plain = urlunsplit((parts.scheme, _host(parts), parts.path or "/", parts.query, ""))
    request = urllib.request.Request(  # noqa: S310 - _split has looked at the scheme
        _quoted(plain), headers={"User-Agent": "wherry"}
    )
    request.add_unredirected_header("Accept-Encoding", "identity")
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        encoded = b64encode(pair.encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {encoded}")
    return request


def _quoted(url: str) -> str:
    """What no request line may hold, escaped; what is escaped stays so."""
    return quote(url, safe="%/:=&?~#+!$,;'@()*[]")


def _split(url: str) -> SplitResult:
    """Raises InvalidArgument unless it is a URL of http or https, with a host."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for what is no number
        if parts.scheme in ("http", "https") and parts.hostname:
            return parts
    except ValueError:
        pass
    scheme = url.partition(":")[0]
    raise errdefs.invalid(
        f"nothing can be fetched from a URL of {scheme[:20]!r}: http and https can, and git"
    )


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _refused(url: str, error: urllib.error.HTTPError) -> errdefs.EngineError:
    message = f"fetching {shown(url)}: the server answers {error.code} {_plain(str(error.reason))}"
    if error.code in (404, 410):
        return errdefs.not_found(message)
    if error.code in (401, 403, 407):
        return errdefs.forbidden(message)
    return errdefs.unavailable(message)


def _reason(error: Exception) -> str:
    """What went wrong, without the URL that was asked for."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return "it timed out" if isinstance(reason, TimeoutError) else _plain(str(reason))


def _plain(text: str) -> str:
    """What a server says, for a terminal: nothing that this would obey, and not too much."""
    return "".join(one if one.isprintable() else "?" for one in text[:_SHOWN_MAX])


def _seconds(date: str) -> int:
    """Since 1970; 0 for what is no date, or none that a file can have."""
    try:
        parts = email.utils.parsedate_tz(date)
        seconds = int(email.utils.mktime_tz(parts)) if parts else 0
    except (ValueError, OverflowError):
        return 0
    return seconds if 0 <= seconds < _YEAR_10000 else 0
