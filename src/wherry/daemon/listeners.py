"""The unix sockets that the API is reached by."""

import contextlib
import grp
import os
import socket
import stat
from pathlib import Path

from wherry import errdefs

DEFAULT_GROUP = "docker"


class Listener:
    """A bound unix socket at a path.

    Members of the group may use it (0660), which makes them root on this machine; without the
    group, only root may (0600).
    """

    def __init__(self, path: str, group: str | None) -> None:
        """Bind it, in place of one that nobody answers at any more.

        EngineError: conflict if somebody answers, invalid if a `group` was named that isn't there.
        """
        self.path = path
        gid = _group_id(group)
        try:
            Path(path).parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            _remove_stale(path)
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.bind(path)
            if gid is not None:
                os.chown(path, 0, gid)
            os.chmod(path, 0o600 if gid is None else 0o660)
        except OSError as error:
            raise errdefs.from_os_error(f"listening at unix://{path}", error) from error
        self._inode = os.stat(path).st_ino

    def unlink(self) -> None:
        """Remove the path, unless it is another's by now."""
        with contextlib.suppress(OSError):
            if os.stat(self.path).st_ino == self._inode:
                os.unlink(self.path)


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
