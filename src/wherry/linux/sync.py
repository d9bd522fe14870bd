"""syncfs(2), which Python's `os` lacks."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)


def syncfs(fd: int) -> None:
    """Write everything of the file system that `fd` is on to its disk. Raises OSError.

    Since Linux 5.8 that includes errors of writing which happened since `fd` was opened.
    """
    if _libc.syncfs(fd):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "syncfs")
