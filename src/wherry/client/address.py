"""Where the daemon is: the command line's options and the environment made one address.

    address.dial() --> Link --> a stream socket, whatever is behind it

A socket of the kernel's at the end of every way, TLS and ssh included: it can be waited for by
`poll`, half-closed, and handed over, so that nothing above needs to know the way.
"""

from __future__ import annotations

# `socket` is this module with enumerations around it, which cost 10 ms to build.
import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SOCKET = "/run/wherry/wherry.sock"


class Link:
    """A connection to a daemon: its socket, and what is known if that ends without a word."""

    __slots__ = ("socket",)

    def __init__(self, socket: _socket.socket) -> None:
        self.socket = socket

    def close(self) -> None:
        """Whoever had the socket has closed it, and wants nothing more to go on behind it."""

    def why(self) -> str:
        """The reason of an end without an answer, if the way has one to tell; else ""."""
        return ""


class Address:
    """A daemon's place. `chosen` says that somebody named it rather than the default."""

    chosen = True

    def dial(self) -> Link:
        """Connect. Raises EngineError (unavailable, forbidden) in words for a user."""
        raise NotImplementedError


class UnixAddress(Address):
    """A unix socket on this machine."""

    def __init__(self, path: str, chosen: bool = True) -> None:
        self.path = path
        self.chosen = chosen

    def __str__(self) -> str:
        return f"unix://{self.path}"

    def dial(self) -> Link:
        connecting = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            connecting.connect(self.path)
        except OSError as error:
            from wherry.client.errors import unreachable

            connecting.close()
            raise unreachable(self, error) from error
        return Link(connecting)


class Wanted:
    """What a command line says of the daemon; "" and None where it says nothing.

    `config` is the docker CLI's folder, with its contexts and certificates.
    """

    __slots__ = ("config", "context", "host", "tls", "tlscacert", "tlscert", "tlskey", "tlsverify")

    def __init__(
        self,
        host: str = "",
        context: str = "",
        config: str = "",
        *,
        tls: bool | None = None,
        tlsverify: bool | None = None,
        tlscacert: str = "",
        tlscert: str = "",
        tlskey: str = "",
    ) -> None:
        self.host = host
        self.context = context
        self.config = config
        self.tls = tls
        self.tlsverify = tlsverify
        self.tlscacert = tlscacert
        self.tlscert = tlscert
        self.tlskey = tlskey


def find_address(
    wanted: str | Wanted | None, environment: Mapping[str, str], *, contexts: bool = True
) -> Address:
    """The daemon's address, in the docker CLI's order: the first of these that is there.

    `--context`, `--host`, `WHERRY_HOST`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context of
    the docker CLI (the last two only with `contexts`), the default socket.

    Raises ValueError, with a sentence for the user, for what makes no sense.
    """
    if not isinstance(wanted, Wanted):
        wanted = Wanted(wanted or "")
    if wanted.host and wanted.context:
        raise ValueError("conflicting options: cannot specify both --host and --context")
    context = wanted.context
    host = wanted.host or environment.get("WHERRY_HOST") or environment.get("DOCKER_HOST")
    if not context and not host and contexts:
        context = environment.get("DOCKER_CONTEXT", "") or _current_context(wanted, environment)
    if context and context != "default":
        from wherry.client.contexts import context_address

        return context_address(context, config_folder(wanted, environment))
    return parse_address(host, wanted, environment) if host else UnixAddress(DEFAULT_SOCKET, False)


def parse_address(host: str, wanted: Wanted, environment: Mapping[str, str]) -> Address:
    """The address that `host` says; TCP with the certificates that the other two say."""
    scheme, separator, rest = host.partition("://")
    if separator and scheme == "unix":
        # Docker takes a bare `unix://` for its own default.
        return UnixAddress(rest or DEFAULT_SOCKET)
    if not separator and host.startswith("/"):
        return UnixAddress(host)
    if scheme in ("npipe", "fd"):
        raise ValueError(f"daemon address {host!r}: {scheme}:// is nothing to connect to from here")
    from wherry.client.remote import SshAddress, TcpAddress, flagged_tls

    if separator and scheme == "ssh":
        return SshAddress.parse(host)
    if scheme == "tcp" if separator else ":" in host and "/" not in host:
        tls = flagged_tls(wanted, environment, config_folder(wanted, environment))
        return TcpAddress.parse(host, tls)
    raise ValueError(
        f"invalid daemon address {host!r}: expected unix:///path, tcp://host:port or ssh://host"
    )


def config_folder(wanted: Wanted, environment: Mapping[str, str]) -> str:
    """The docker CLI's folder, "" where there is no home for it."""
    home = environment.get("HOME")
    default = f"{home}/.docker" if home else ""
    return wanted.config or environment.get("DOCKER_CONFIG") or default


def _current_context(wanted: Wanted, environment: Mapping[str, str]) -> str:
    folder = config_folder(wanted, environment)
    if not folder:
        return ""
    try:
        with open(f"{folder}/config.json", "rb") as file:
            text = file.read()
    except OSError:
        return ""
    from wherry.client.contexts import current_context

    return current_context(text, f"{folder}/config.json")
