"""What `-H` says: where the API is to be reached."""

from typing import NamedTuple

from wherry import errdefs

PLAIN_PORT, TLS_PORT = 2375, 2376


class UnixHost(NamedTuple):
    """A unix socket at a path."""

    path: str

    def __str__(self) -> str:
        return f"unix://{self.path}"


class TcpHost(NamedTuple):
    """A name or an address, "" for all of this machine's, and a port, 0 for any."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"tcp://{f'[{self.name}]' if ':' in self.name else self.name}:{self.port}"


class InheritedHost(NamedTuple):
    """What systemd has bound for us: all (""), those of a name, or a descriptor by its number."""

    which: str

    def __str__(self) -> str:
        return f"fd://{self.which}"


Host = UnixHost | TcpHost | InheritedHost


def parse_host(host: str, tls: bool) -> Host:
    """`unix:///path`, `tcp://name:port`, `fd://`; TCP's port is by default 2375, with `tls` 2376.

    EngineError (invalid) says what is wrong.
    """
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = "", host
    if scheme == "unix":
        return _unix_host(rest)
    if scheme == "fd":
        return InheritedHost("" if rest == "*" else rest)
    if scheme == "tcp" or (not scheme and ":" in rest and "/" not in rest):
        return _tcp_host(host, rest, tls)
    raise errdefs.invalid(
        f"hosts: {host} is not supported (unix:///path, tcp://address:port and fd:// are)"
    )


def _unix_host(path: str) -> UnixHost:
    if not path.startswith("/") or len(path.encode()) > 107:
        raise errdefs.invalid(f"hosts: {path} is not an absolute path of at most 107 bytes")
    return UnixHost(path)


def _tcp_host(host: str, rest: str, tls: bool) -> TcpHost:
    default = TLS_PORT if tls else PLAIN_PORT
    if not rest:
        return TcpHost("127.0.0.1", default)
    if rest.startswith("["):  # an IPv6 address has colons of its own
        name, bracket, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = rest.partition(":")
        bracket = "]"
    if not bracket or "/" in rest or not (port.isdecimal() or not port) or len(port) > 5:
        raise errdefs.invalid(f"hosts: {host} is not like tcp://address:port")
    number = int(port or default)
    if number > 65535:
        raise errdefs.invalid(f"hosts: {host}: there is no port {number}")
    return TcpHost(name, number)
