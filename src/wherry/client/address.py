"""Where the daemon listens: `-H`, `WHERRY_HOST` and `DOCKER_HOST` made one socket path."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SOCKET = "/run/wherry/wherry.sock"
_ELSEWHERE = ("tcp", "http", "https", "ssh", "npipe", "fd")


class Address:
    """A daemon's unix socket; `chosen` says that somebody named it rather than the default."""

    __slots__ = ("chosen", "path")

    def __init__(self, path: str, chosen: bool) -> None:
        self.path = path
        self.chosen = chosen

    def __str__(self) -> str:
        return f"unix://{self.path}"


def find_address(wanted: str | None, environment: Mapping[str, str]) -> Address:
    """The address from the flag, else `WHERRY_HOST`, else `DOCKER_HOST`, else the default.

    Raises ValueError, with a sentence for the user, for a host that is no unix socket.
    """
    host = wanted or environment.get("WHERRY_HOST") or environment.get("DOCKER_HOST")
    if not host:
        return Address(DEFAULT_SOCKET, chosen=False)
    scheme, separator, rest = host.partition("://")
    if separator and scheme == "unix":
        # Docker takes a bare `unix://` for its own default.
        return Address(rest or DEFAULT_SOCKET, chosen=True)
    if separator and scheme in _ELSEWHERE:
        raise ValueError(
            f"daemon address {host!r}: {scheme}:// is not supported yet, only unix:///path/to/socket"
        )
    if not separator and host.startswith("/"):
        return Address(host, chosen=True)
    raise ValueError(f"invalid daemon address {host!r}: expected unix:///path/to/socket")
