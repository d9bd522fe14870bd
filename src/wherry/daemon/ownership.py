"""That one daemon, and no second, owns a folder."""

import contextlib
import fcntl
import os
from pathlib import Path

from wherry import errdefs


class Lock:
    """A lock on a folder that lasts as long as its holder, however that ends.

    The kernel drops it with the process; what the file says is only for people and for messages.
    """

    def __init__(self, folder: Path) -> None:
        """Take it. EngineError (conflict) names the process that has it."""
        self._path = folder / "wherryd.lock"
        try:
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise errdefs.from_os_error(f"opening {self._path}", error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").split("\n")[0]
            os.close(self._file)
            raise errdefs.conflict(
                f"{folder} is in use by another wherryd, process {holder or 'unknown'} "
                f"(stop it, or choose another folder)"
            ) from None
        self._write()

    def _write(self) -> None:
        """The process, the tick it started at, and the boot: together they are never reused."""
        stat = Path("/proc/self/stat").read_text(encoding="ascii")
        start = stat.rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n{start}\n{boot}\n".encode("ascii"), 0)

    def release(self) -> None:
        os.close(self._file)


class PidFile:
    """The daemon's process ID and nothing else, as scripts expect it."""

    def __init__(self, path: Path) -> None:
        """Write it. EngineError (conflict) if it names another daemon that lives."""
        self._path = path
        with contextlib.suppress(OSError, ValueError):
            pid = int(path.read_text(encoding="ascii"))
            if pid != os.getpid() and _is_wherryd(pid):
                raise errdefs.conflict(
                    f"pid file found, ensure wherryd (pid {pid}) is not running or delete {path}"
                )
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.write_text(f"{os.getpid()}\n", encoding="ascii")
        except OSError as error:
            raise errdefs.from_os_error(f"writing {path}", error) from error

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()


def _is_wherryd(pid: int) -> bool:
    """Whether that process is one of ours; after a reboot the number may be anybody's."""
    try:
        return b"wherry" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
