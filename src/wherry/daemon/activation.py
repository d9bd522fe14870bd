"""What a service manager hands over, and what it is told: sd_listen_fds(3) and sd_notify(3)."""

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

from wherry import errdefs

_FIRST = 3


class Inherited:
    """The sockets that were bound before this process began.

    Built once, before anything else opens a descriptor or starts a program: both are kept from
    taking them for their own.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment."""
        pid = environment.pop("LISTEN_PID", "")
        count = environment.pop("LISTEN_FDS", "")
        names = environment.pop("LISTEN_FDNAMES", "").split(":")
        self._names: dict[int, str] = {}
        if pid != str(os.getpid()) or not count.isdecimal() or len(count) > 4:
            return
        for at in range(int(count)):
            with contextlib.suppress(OSError):
                os.set_inheritable(_FIRST + at, False)
                self._names[_FIRST + at] = names[at] if at < len(names) else ""

    def take(self, which: str) -> list[socket.socket]:
        """All that nobody took yet (""), those of a name, or one by its descriptor's number.

        EngineError (invalid) if there are none, or they are no listening stream sockets.
        """
        if which.isdecimal():
            chosen = [fd for fd in self._names if fd == int(which)]
        else:
            chosen = [fd for fd, name in self._names.items() if which in ("", name)]
        if not chosen and not which:
            raise errdefs.invalid(
                "no sockets found via socket activation: make sure the service was started by "
                "systemd"
            )
        if not chosen:
            there = ", ".join(f"{fd} ({name})" for fd, name in self._names.items()) or "none"
            raise errdefs.invalid(f"hosts: fd://{which}: the service manager gave {there}")
        return [_listening(fd, self._names.pop(fd)) for fd in chosen]


def _listening(fd: int, name: str) -> socket.socket:
    try:
        found = socket.socket(fileno=fd)
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise errdefs.from_os_error(f"using the inherited socket {fd} ({name})", error) from error
    if found.type != socket.SOCK_STREAM or not listens:
        found.detach()
        raise errdefs.invalid(f"hosts: the inherited socket {fd} ({name}) does not listen")
    return found


class ServiceManager:
    """Who started the daemon and wants to know how it is; perhaps nobody."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take NOTIFY_SOCKET out of the environment: what the daemon starts has nothing to say."""
        path = environment.pop("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path

    def ready(self, status: str) -> None:
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """To be followed by `ready`."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify,
        ):
            notify.sendto("\n".join(lines).encode(), self._address)
