"""The sockets that the API is reached by."""

import contextlib
import grp
import ipaddress
import logging
import os
import socket
import stat
from pathlib import Path
from typing import Protocol

from wherry import errdefs
from wherry.daemon.activation import Inherited
from wherry.daemon.hosts import Host, InheritedHost, TcpHost, UnixHost

log = logging.getLogger("wherry.daemon")

DEFAULT_GROUP = "docker"


class Listener(Protocol):
    """Bound stream sockets for one `-H`."""

    name: str
    sockets: list[socket.socket]

    def withdraw(self) -> None:
        """Leave nothing behind where others look for a daemon."""


def open_listener(host: Host, group: str | None, inherited: Inherited) -> Listener:
    """Bind what `host` asks for.

    EngineError: conflict if somebody else has it, invalid if it makes no sense on this machine.
    """
    if isinstance(host, UnixHost):
        return UnixListener(host.path, group)
    if isinstance(host, TcpHost):
        return TcpListener(host)
    return InheritedListener(host, inherited)


class UnixListener:
    """A bound unix socket at a path.

    Members of the group may use it (0660), which makes them root on this machine; without the
    group, only root may (0600).
    """

    def __init__(self, path: str, group: str | None) -> None:
        """Bind it, in place of one that nobody answers at any more.

        EngineError: conflict if somebody answers, invalid if a `group` was named that isn't there.
        """
        self.name = f"unix://{path}"
        self._path = path
        gid = _group_id(group)
        try:
            Path(path).parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            _remove_stale(path)
            bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            bound.bind(path)
            if gid is not None:
                os.chown(path, 0, gid)
            os.chmod(path, 0o600 if gid is None else 0o660)
        except OSError as error:
            raise errdefs.from_os_error(f"listening at {self.name}", error) from error
        self.sockets = [bound]
        self._inode = os.stat(path).st_ino

    def withdraw(self) -> None:
        """Remove the path, unless it is another's by now."""
        with contextlib.suppress(OSError):
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)


class TcpListener:
    """A port, on all addresses that a name has."""

    def __init__(self, host: TcpHost) -> None:
        self.name = str(host)
        self.sockets: list[socket.socket] = []
        try:
            found = socket.getaddrinfo(
                host.name or None, host.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except OSError as error:
            raise errdefs.invalid(f"hosts: {self.name}: {error.strerror}") from error
        try:
            for family, kind, protocol, _, (at, _port, *more) in dict.fromkeys(found):
                self._bind(socket.socket(family, kind, protocol), (at, self._port(host), *more))
        except OSError as error:
            for bound in self.sockets:
                bound.close()
            raise errdefs.from_os_error(f"listening at {self.name}", error) from error
        self.name = str(TcpHost(host.name, self._port(host)))

    def _port(self, host: TcpHost) -> int:
        """The same for all of its addresses, also where any will do."""
        port: int = self.sockets[0].getsockname()[1] if self.sockets else host.port
        return port

    def _bind(self, bound: socket.socket, address: tuple[object, ...]) -> None:
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if bound.family is socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
        self.sockets.append(bound)

    def withdraw(self) -> None:
        """A port goes with its sockets."""


class InheritedListener:
    """Sockets that the service manager has bound, and keeps: who connects meanwhile waits."""

    def __init__(self, host: InheritedHost, inherited: Inherited) -> None:
        self.name = str(host)
        self.sockets = inherited.take(host.which)

    def withdraw(self) -> None:
        """Their paths are not ours to remove."""


def judge_access(listener: Listener, verified: bool, accepted: bool) -> None:
    """Warn of TCP sockets without client certificates, and refuse those that others can reach.

    Whoever reaches the API is root here. `verified` says that clients show certificates,
    `accepted` that somebody said in so many words that they needn't.
    """
    if verified:
        return
    for bound in listener.sockets:
        if bound.family is socket.AF_UNIX:
            continue
        at = bound.getsockname()[0]
        if not accepted and not ipaddress.ip_address(at.partition("%")[0]).is_loopback:
            raise errdefs.invalid(
                f"hosts: {listener.name} without --tlsverify would make everyone root on this "
                "machine who reaches it over the network (give --tlsverify with certificates, "
                "listen on 127.0.0.1, use ssh, or say --tlsverify=false if you mean it)"
            )
        log.warning(
            "whoever reaches this address is root on this machine (see --tlsverify)",
            extra={"fields": {"at": listener.name}},
        )
        return


def _group_id(name: str | None) -> int | None:
    try:
        return grp.getgrnam(name or DEFAULT_GROUP).gr_gid
    except KeyError:
        if name:
            raise errdefs.invalid(f"group: there is no group {name} on this machine") from None
        return None


def _remove_stale(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise errdefs.conflict(f"{path} is there and is no socket") from None
            os.unlink(path)
            return
    raise errdefs.conflict(f"unix://{path} is in use: another daemon answers there")
