"""The daemon's pid file."""

import contextlib
import os
from pathlib import Path

from wherry import errdefs


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
