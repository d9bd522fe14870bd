"""syncfs(2) and sync_file_range(2), which Python's `os` lacks."""

import ctypes
import os

_RANGE_WRITE = 2

_libc = ctypes.CDLL(None, use_errno=True)


def syncfs(fd: int) -> None:
    """Write everything of the file system that `fd` is on to its disk. Raises OSError.

    Since Linux 5.8 that includes errors of writing which happened since `fd` was opened.
    """
    if _libc.syncfs(fd):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "syncfs")


def start_writing(fd: int, offset: int, size: int) -> None:
    """Have the kernel begin to write this part of a file to its disk, and do not wait.

    A later fsync finds it done. It promises nothing, so a kernel that can't is no error.
    """
    _libc.sync_file_range(fd, ctypes.c_int64(offset), ctypes.c_int64(size), _RANGE_WRITE)
