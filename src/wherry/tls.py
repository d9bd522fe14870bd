"""TLS without any input or output: bytes in, bytes out.

Client and daemon both need a connection that one side can end while the other goes on speaking:
the end of a container's input is not the end of its output. TLS has that (`close_notify` ends one
direction, RFC 8446, 6.1), and OpenSSL too; neither `asyncio` nor `ssl.SSLSocket` lets it through.

A connection that ends without `close_notify` was cut, by whoever sits between: never take that for
the end of an input.
"""

from __future__ import annotations

import ssl

_RECORD = 16 * 1024


class Wire:
    """One connection's TLS. After each call, `outgoing` is to be sent, also when it has raised.

    wire = Wire(context, server_side=True)
    plain = wire.receive(data)          # what came by the network; handshakes too
    wire.send(b"answer")
    wire.end()                          # we say nothing more, and still listen
    network.write(wire.outgoing())
    """

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool, hostname: str | None = None
    ) -> None:
        """`hostname` is what a server's certificate has to be for, a name or an IP address."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=hostname
        )
        self.ready = False
        self.ended = False

    def shake_hands(self) -> None:
        """Begin, or go on as far as it goes; `ready` says that it is done. Raises ssl.SSLError."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.ready = True

    def receive(self, data: bytes) -> bytes:
        """The plain text that `data` completes; `ended` says that the other side says no more.

        Raises ssl.SSLError if the other side refuses us, or we it.
        """
        self._incoming.write(data)
        if not self.ready:
            self.shake_hands()
        pieces: list[bytes] = []
        while self.ready and not self.ended:
            try:
                piece = self._tls.read(_RECORD)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                piece = b""
            if piece:
                pieces.append(piece)
            else:
                self.ended = True
        return b"".join(pieces)

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt `data`; the handshake must be done."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]

    def end(self) -> None:
        """Say that nothing more will come from this side."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            return  # said; the other side has more to say, or is past hearing

    def outgoing(self) -> bytes:
        return self._outgoing.read()
