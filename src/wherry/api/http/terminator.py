"""TLS, ended in front of the server: a client's connection becomes one end of a socket pair.

    client <== TCP, encrypted ==> Terminator | _Inside <== socket pair ==> Connection

Behind it everything is as with a client on the unix socket: a `close_notify` is the half-close of
the pair, and ends standard input while output still flows; who has left altogether closes it whole;
uploads are lent to threads. asyncio's own TLS knows no half-close, and has no socket to lend. The
price is one more copy, beside which the cipher costs more.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, MutableSet

from wherry.api.http.hangup import HangupWatch, is_gone
from wherry.tls import Wire

log = logging.getLogger("wherry.api")

# Until then a client has to have shown who it is; nothing is held for it but a socket.
HANDSHAKE_SECONDS = 10.0
_HANDSHAKE = 22  # the record type that every TLS connection begins with
# As Go's server says it: the stock CLI shows the second line.
_PLAIN_HTTP = (
    b"HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\n"
    b"Client sent an HTTP request to an HTTPS server.\n"
)

# Serves the other end of a pair, which is its own from then on.
Adopt = Callable[[socket.socket], Awaitable[None]]


class Terminator(asyncio.Protocol):
    """The client's side of one connection: ciphertext, and the handshake.

    Without `close_notify` the end of the connection is no end of input: somebody cut it.
    """

    def __init__(
        self, context: ssl.SSLContext, adopt: Adopt, all_open: MutableSet["Terminator"]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._wire = Wire(context, server_side=True)
        self._adopt = adopt
        self._all_open = all_open
        self._inside: _Inside | None = None
        self._opening: asyncio.Task[None] | None = None
        self._early = b""
        self._begun = False
        self._input_ended = False

    # --- what the loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._all_open.add(self)
        self._deadline = self._loop.call_later(HANDSHAKE_SECONDS, self._too_slow)

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            if data[0] != _HANDSHAKE:
                self._refuse_plain(data)
                return
        try:
            plain = self._wire.receive(data)
        except ssl.SSLError as error:
            self._fail(error)
            return
        self.flush()
        if self._wire.ready and self._opening is None:
            self._deadline.cancel()
            self._transport.pause_reading()
            self._early = plain
            self._opening = self._loop.create_task(self._open())
        else:
            self._pass_on(plain)

    def eof_received(self) -> bool:
        return False  # with `close_notify` or without: nobody is there any more

    def connection_lost(self, exc: Exception | None) -> None:
        self._all_open.discard(self)
        self._deadline.cancel()
        if self._inside is not None:
            self._inside.close()

    def pause_writing(self) -> None:
        if self._inside is not None:
            self._inside.hold(True)

    def resume_writing(self) -> None:
        if self._inside is not None:
            self._inside.hold(False)

    # --- what the other side calls ---

    def hold(self, hold: bool) -> None:
        """Stop reading from the client, or go on."""
        if hold:
            self._transport.pause_reading()
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def send(self, plain: bytes) -> None:
        if not self._transport.is_closing():
            self._wire.send(plain)
            self.flush()

    def end(self) -> None:
        """Nothing more comes from the server; the client may still speak."""
        if not self._transport.is_closing():
            self._wire.end()
            self.flush()

    def close(self) -> None:
        """Nobody is there any more; what was said is still delivered."""
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def flush(self) -> None:
        if (data := self._wire.outgoing()) and not self._transport.is_closing():
            self._transport.write(data)

    # --- the handshake ---

    async def _open(self) -> None:
        """Join the server, now that the client has shown who it is."""
        try:
            ours, theirs = socket.socketpair()
        except OSError:  # no descriptors left
            self.abort()
            return
        await self._adopt(theirs)
        inside = _Inside(self)
        await self._loop.create_unix_connection(lambda: inside, sock=ours)
        self._inside = inside
        if self._transport.is_closing():
            inside.close()
            return
        self._transport.resume_reading()
        early, self._early = self._early, b""
        self._pass_on(early)

    def _pass_on(self, plain: bytes) -> None:
        if self._inside is None:
            return
        if plain:
            self._inside.write(plain)
        if self._wire.ended and not self._input_ended:
            self._input_ended = True
            self._inside.write_eof()

    def _refuse_plain(self, data: bytes) -> None:
        if data[:1].isalpha():
            self._transport.write(_PLAIN_HTTP)
        self._transport.close()

    def _fail(self, error: ssl.SSLError) -> None:
        """Say why, in the way that TLS has for it, and in the log."""
        self.flush()
        self._transport.close()
        what = "TLS broken" if self._wire.ready else "TLS handshake failed"
        self._log(what, reason_of(error))

    def _too_slow(self) -> None:
        self._log("TLS handshake failed", f"not done after {HANDSHAKE_SECONDS:.0f} seconds")
        self.abort()

    def _log(self, what: str, why: str) -> None:
        peer = self._transport.get_extra_info("peername")
        name = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
        log.info(what, extra={"fields": {"client": name, "error": why}})


class _Inside(asyncio.Protocol):
    """The server's side: our end of the pair."""

    def __init__(self, outside: Terminator) -> None:
        self._outside = outside
        self._watch: HangupWatch | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._outside.send(data)

    def eof_received(self) -> bool:
        self._ended = True
        self._outside.end()
        fd: int = self._transport.get_extra_info("socket").fileno()
        if is_gone(fd):
            return False
        self._watch = HangupWatch(asyncio.get_running_loop(), fd, self._transport.abort)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.close()
        if not self._ended:
            self._outside.end()
        self._outside.close()

    def pause_writing(self) -> None:
        self._outside.hold(True)

    def resume_writing(self) -> None:
        self._outside.hold(False)

    def hold(self, hold: bool) -> None:
        if hold:
            self._transport.pause_reading()
        elif not self._ended and not self._transport.is_closing():
            self._transport.resume_reading()

    def write(self, plain: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(plain)

    def write_eof(self) -> None:
        if not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        self._transport.close()


def reason_of(error: ssl.SSLError) -> str:
    """OpenSSL's own words, without the numbers and names around them."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate: {error.verify_message}"
    return (error.reason or str(error)).lower().replace("_", " ")
