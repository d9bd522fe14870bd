"""Daemons on other machines: over TCP, with TLS or without, and over ssh."""

from __future__ import annotations

import _socket
import os

from wherry.client.address import Address, Link
from wherry.client.errors import unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from wherry.client.address import Wanted

CONNECT_SECONDS = 30
PLAIN_PORT, TLS_PORT = 2375, 2376
# Of what a daemon that left us without a word is noticed by: 15 s, then every 15 s.
_KEEPALIVE = ((_socket.TCP_KEEPIDLE, 15), (_socket.TCP_KEEPINTVL, 15), (_socket.TCP_KEEPCNT, 4))


class TlsFiles:
    """PEM files, "" for none: who may have signed the daemon's certificate, ours, and its key.

    Without `verify` any daemon is believed.
    """

    __slots__ = ("ca", "cert", "key", "verify")

    def __init__(self, ca: str, cert: str, key: str, verify: bool) -> None:
        self.ca = ca
        self.cert = cert
        self.key = key
        self.verify = verify


def flagged_tls(wanted: Wanted, environment: Mapping[str, str], folder: str) -> TlsFiles | None:
    """What flags and environment say of TLS; None if they ask for none.

    As the docker CLI has it: `--tlsverify` in any form asks for TLS, DOCKER_TLS_VERIFY with any
    value for verified TLS, DOCKER_TLS for TLS; a file that nobody named and that isn't there is
    done without, except for the authorities.
    """
    verify = wanted.tlsverify
    if verify is None:
        verify = bool(environment.get("DOCKER_TLS_VERIFY"))
        asked = verify or bool(environment.get("DOCKER_TLS") if wanted.tls is None else wanted.tls)
    else:
        asked = True
    if not asked:
        return None
    folder = environment.get("DOCKER_CERT_PATH") or folder
    return TlsFiles(
        ca=wanted.tlscacert or f"{folder}/ca.pem",
        cert=_named_or_there(wanted.tlscert, f"{folder}/cert.pem"),
        key=_named_or_there(wanted.tlskey, f"{folder}/key.pem"),
        verify=verify,
    )


def _named_or_there(named: str, default: str) -> str:
    return named or (default if os.path.exists(default) else "")


class TcpAddress(Address):
    """A port of a machine; with `tls`, the daemon's certificate has to be for its `name`."""

    def __init__(self, name: str, port: int, tls: TlsFiles | None) -> None:
        self.name = name
        self.port = port
        self.tls = tls

    @classmethod
    def parse(cls, host: str, tls: TlsFiles | None) -> TcpAddress:
        """`tcp://name:port`; both have defaults. Raises ValueError, for the user."""
        scheme, separator, rest = host.partition("://")
        if not separator:
            rest = scheme
        name, port = split_port(rest.removesuffix("/"), host)
        return cls(name or "127.0.0.1", port or (TLS_PORT if tls else PLAIN_PORT), tls)

    def __str__(self) -> str:
        return f"tcp://{f'[{self.name}]' if ':' in self.name else self.name}:{self.port}"

    def dial(self) -> Link:
        try:
            network = self._connect()
        except OSError as error:
            raise unreachable(self, error) from error
        if self.tls is None:
            return Link(network)
        from wherry.client.secured import secure

        try:
            return secure(network, self.tls, self.name, str(self))
        except BaseException:
            network.close()
            raise

    def _connect(self) -> _socket.socket:
        """To the first of the name's addresses that answers."""
        found = _socket.getaddrinfo(self.name, self.port, type=_socket.SOCK_STREAM)
        last: OSError = OSError("it has no address")
        for family, kind, protocol, _, address in found:
            connecting = _socket.socket(family, kind, protocol)
            try:
                connecting.settimeout(CONNECT_SECONDS)
                connecting.connect(address)
                connecting.settimeout(None)
                connecting.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
                connecting.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
                for option, value in _KEEPALIVE:
                    connecting.setsockopt(_socket.IPPROTO_TCP, option, value)
            except OSError as error:
                connecting.close()
                last = error
            else:
                return connecting
        raise last


class SshAddress(Address):
    """A machine that ssh reaches; there `system dial-stdio` joins us to its daemon.

    `path` is the daemon's socket there, "" for the one that the program there would choose.
    """

    def __init__(self, user: str, name: str, port: int, path: str) -> None:
        self.user = user
        self.name = name
        self.port = port
        self.path = path

    @classmethod
    def parse(cls, host: str) -> SshAddress:
        """`ssh://[user@]name[:port][/path]`. Raises ValueError, for the user."""
        rest = host.removeprefix("ssh://")
        place, _, path = rest.partition("/")
        user, at, machine = place.rpartition("@")
        if ":" in user:
            raise ValueError(f"daemon address {host!r}: plain-text password is not supported")
        if "?" in path or "#" in path:
            raise ValueError(f"daemon address {host!r}: there is nothing to say behind the path")
        name, port = split_port(machine, host)
        if not name or name.startswith("-") or user.startswith("-") or (at and not user):
            raise ValueError(f"invalid daemon address {host!r}: expected ssh://[user@]host[:port]")
        return cls(user, name, port, f"/{path}" if path else "")

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"ssh://{user}{name}{port}{self.path}"

    def dial(self) -> Link:
        from wherry.client.ssh import run_ssh

        return run_ssh(self)

    def command(self) -> list[str]:
        """The command line of ssh; what it runs there is `wherry`, or else `docker`."""
        words = ["ssh", "-o", "ConnectTimeout=30", "-T"]
        if self.user:
            words += ["-l", self.user]
        if self.port:
            words += ["-p", str(self.port)]
        there = f"--host {_quoted(f'unix://{self.path}')} " if self.path else ""
        choice = 'command -v wherry >/dev/null 2>&1 && exec wherry "$@"; exec docker "$@"'
        return [*words, "--", self.name, f"sh -c '{choice}' sh {there}system dial-stdio"]


def split_port(place: str, host: str) -> tuple[str, int]:
    """`name:port`, `[address]:port`; 0 for no port. Raises ValueError that names `host`."""
    if place.startswith("["):  # an IPv6 address has colons of its own
        name, _, port = place[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = place.partition(":")
    if "/" in place or (port and not (port.isdecimal() and len(port) < 6 and int(port) < 65536)):
        raise ValueError(f"invalid daemon address {host!r}: expected a host, or host:port")
    return name, int(port or 0)


def _quoted(word: str) -> str:
    """For a shell."""
    return "'" + word.replace("'", "'\\''") + "'"
