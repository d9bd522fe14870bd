"""inotify(7), for readers of growing files: something in this directory changed."""

import ctypes
import os

_IN_MODIFY = 0x2
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_ONLYDIR = 0x01000000

_libc = ctypes.CDLL(None, use_errno=True)


class DirectoryWatch:
    """Readable when a file in the directory was written, made, or renamed into place.

    Raises OSError if the kernel gives no watch: the user's limit is reached, or it has none.
    """

    def __init__(self, directory: str) -> None:
        self._fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")
        mask = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE | _IN_ONLYDIR
        try:
            added = _libc.inotify_add_watch(self._fd, os.fsencode(directory), mask)
            _checked(added, f"inotify_add_watch {directory}")
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        return self._fd

    def clear(self) -> None:
        """Forget the changes so far. Which they were is not told: equal ones are merged."""
        try:
            while len(os.read(self._fd, 16384)) > 8192:
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _checked(result: int, what: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")
    return result
