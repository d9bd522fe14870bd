"""TLS to a daemon, by a thread that stands between the network and one end of a socket pair.

    caller <== socket pair ==> thread <== network, encrypted ==> daemon

The caller may wait for its socket by `poll` and half-close it; the thread makes a `close_notify` of
that, which ends a container's input and lets its output go on.
"""

from __future__ import annotations

import _socket
import select
import ssl
from threading import Thread

from wherry.client.address import Link
from wherry.client.errors import broken
from wherry.tls import Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.client.remote import TlsFiles

_PIECE = 128 * 1024
_HANDSHAKE_SECONDS = 30
_PATIENCE = 2.0
_SHUT_WR = 1


def secure(network: _socket.socket, files: TlsFiles, name: str, address: str) -> Link:
    """Shake hands with the daemon, for `name`, over `network`, which is the link's from then on.

    Raises EngineError (unavailable): what is wrong with its certificate, or with ours.
    """
    context = _context(files)
    wire = Wire(context, server_side=False, hostname=name)
    network.settimeout(_HANDSHAKE_SECONDS)
    early = b""
    try:
        wire.shake_hands()
        network.sendall(wire.outgoing())
        while not wire.ready:
            data = network.recv(_PIECE)
            if not data:
                raise broken(f"the daemon at {address} hung up during the TLS handshake")
            early += wire.receive(data)
            network.sendall(wire.outgoing())
    except ssl.SSLCertVerificationError as error:
        raise broken(f"can't trust the daemon at {address}: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise broken(f"no TLS with the daemon at {address}: {_words(error)}") from error
    except OSError as error:
        raise broken(f"no TLS with the daemon at {address}: {error}") from error
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    network.setblocking(False)
    theirs.setblocking(False)
    return _SecuredLink(ours, _Pump(network, theirs, wire, early))


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not files.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if files.verify and files.ca:
            context.load_verify_locations(files.ca)
        elif files.verify:
            context.load_default_certs()
        if files.cert or files.key:
            context.load_cert_chain(files.cert or files.key, files.key or None)
    except ssl.SSLError as error:
        names = ", ".join(filter(None, (files.ca, files.cert, files.key)))
        raise broken(f"these are not certificates and a key in PEM: {names}") from error
    except OSError as error:
        missing = ", ".join(filter(_is_missing, (files.ca, files.cert, files.key)))
        raise broken(f"can't read {missing or 'certificates'}: {error.strerror}") from error
    return context


def _is_missing(path: str) -> bool:
    if not path:
        return False
    try:
        with open(path, "rb"):
            return False
    except OSError:
        return True


class _SecuredLink(Link):
    __slots__ = ("_pump",)

    def __init__(self, socket: _socket.socket, pump: _Pump) -> None:
        super().__init__(socket)
        self._pump = pump
        pump.start()

    def why(self) -> str:
        self._pump.join(_PATIENCE)
        return self._pump.failure


class _Pump(Thread):
    """Carries bytes both ways until one side has left, or both have said all."""

    def __init__(
        self, network: _socket.socket, inside: _socket.socket, wire: Wire, early: bytes
    ) -> None:
        super().__init__(name="tls", daemon=True)
        self._network = network
        self._inside = inside
        self._wire = wire
        self._to_inside = bytearray(early)
        self._to_network = bytearray()
        self._said_all = False
        self._caller_left = False
        self._daemon_left = False
        self.failure = ""

    def run(self) -> None:
        try:
            while self._has_work():
                self._turn()
        except ssl.SSLError as error:
            self.failure = _words(error)
        except OSError as error:
            self.failure = error.strerror or str(error)
        finally:
            self._inside.close()
            self._network.close()

    def _has_work(self) -> bool:
        if self._caller_left:
            return bool(self._to_network)
        if self._daemon_left:
            return bool(self._to_inside)
        over = self._wire.ended and self._said_all
        return not over or bool(self._to_inside or self._to_network)

    def _turn(self) -> None:
        """Do what can be done next. A side is read from when the other has taken what it got."""
        poll = select.poll()
        listens = not self._to_inside and not self._daemon_left
        takes = not self._to_network and not self._said_all
        if not self._daemon_left:
            poll.register(self._network, _events(listens, bool(self._to_network)))
        if not self._caller_left:
            poll.register(self._inside, _events(takes, bool(self._to_inside)))
        ready = dict(poll.poll())
        network = ready.get(self._network.fileno(), 0)
        inside = ready.get(self._inside.fileno(), 0)
        if network & select.POLLOUT:
            del self._to_network[: self._network.send(self._to_network, _socket.MSG_NOSIGNAL)]
        if inside & select.POLLOUT:
            self._give()
        if listens and network & ~select.POLLOUT:
            self._hear()
        if takes and inside & ~select.POLLOUT:
            self._take()
        elif inside & (select.POLLHUP | select.POLLERR):
            # Nobody reads any more; what was said before is still sent.
            self._caller_left = True

    def _hear(self) -> None:
        data = self._network.recv(_PIECE)
        if not data:
            if not self._wire.ended:
                self.failure = "the connection was cut"
            self._daemon_left = True
            return
        try:
            self._to_inside += self._wire.receive(data)
        finally:
            self._to_network += self._wire.outgoing()
        if self._wire.ended and not self._to_inside:
            self._inside.shutdown(_SHUT_WR)

    def _give(self) -> None:
        del self._to_inside[: self._inside.send(self._to_inside, _socket.MSG_NOSIGNAL)]
        if self._wire.ended and not self._to_inside:
            self._inside.shutdown(_SHUT_WR)

    def _take(self) -> None:
        data = self._inside.recv(_PIECE)
        if data:
            self._wire.send(data)
        else:
            self._said_all = True
            self._wire.end()
        self._to_network += self._wire.outgoing()


def _events(reading: bool, writing: bool) -> int:
    return (select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0)


def _words(error: ssl.SSLError) -> str:
    """OpenSSL's reason in words; an alert is what the daemon says of us."""
    reason = (error.reason or str(error)).lower().replace("_", " ")
    if reason == "wrong version number":
        return "it does not speak TLS"
    for prefix in ("tlsv13 alert ", "tlsv1 alert ", "sslv3 alert ", "ssl/tls alert "):
        if reason.startswith(prefix):
            return f"the daemon says: {reason.removeprefix(prefix)}"
    return reason
