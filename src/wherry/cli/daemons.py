"""The daemon as a process of this machine: which one listens, and where its log goes."""

from __future__ import annotations

import _socket
import os

from wherry.cli.autostart import default_log
from wherry.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.command import Context

# Of the system V init scripts, which service managers and scripts know.
NOT_RUNNING, UNKNOWN = 3, 4


def socket_path(context: Context) -> str:
    """The unix socket of the daemon that is meant. CliError if it is elsewhere."""
    from wherry.client.address import UnixAddress

    address = context.address()
    if isinstance(address, UnixAddress):
        return address.path
    raise CliError(f"{address} may be on another machine: ask there", UNKNOWN)


def find_daemon(path: str) -> int:
    """The process that listens at `path`; 0 if nobody does. CliError if that can't be told."""
    asking = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        asking.connect(path)
        peer = asking.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    except (FileNotFoundError, ConnectionRefusedError):
        return 0
    except OSError as error:
        raise CliError(f"can't ask at unix://{path}: {error.strerror}", UNKNOWN) from error
    finally:
        asking.close()
    pid = int.from_bytes(peer[:4], "little")
    if _is_daemon(pid):
        return pid
    # A service manager has bound the socket; the daemon has written down who it is.
    try:
        with open(f"{os.path.dirname(path)}/wherryd.pid", encoding="ascii") as file:
            pid = int(file.read())
    except (OSError, ValueError):
        pid = 0
    if not pid or not _is_daemon(pid):
        raise CliError(f"what listens at unix://{path} is no wherryd", UNKNOWN)
    return pid


def _is_daemon(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"wherry" in file.read()
    except OSError:
        return False


def log_of(pid: int, path: str) -> str:
    """The file that the daemon logs to; of one that doesn't run (0), the last started one's.

    "" if it logs elsewhere, as to a terminal or the journal.
    """
    if not pid:
        return default_log(path)
    try:
        log = os.readlink(f"/proc/{pid}/fd/2")
    except OSError as error:
        raise CliError(f"can't see where process {pid} logs to: {error.strerror}") from error
    return log if log.startswith("/") and os.path.isfile(log) else ""
