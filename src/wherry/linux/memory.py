"""How much memory a process keeps that it does not use (mallopt(3), malloc_trim(3))."""

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2
# The pieces in which streams are read are 1 MiB. Each would else be mapped, filled by faults, and
# unmapped again, which takes three times as long as the rest of a load.
_PIECES: Final = 8 << 20
_KEPT: Final = 16 << 20

_libc: Final = ctypes.CDLL(None)


def keep_little() -> None:
    """Have few heaps, and let them serve for large pieces too: for a process of many threads that
    lives long.

    By itself glibc makes a heap for each thread. Another C library may not know these words; then
    nothing happens.
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _PIECES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


def give_back() -> None:
    """Give unused memory back to the kernel: after work that needed much of it."""
    trim = getattr(_libc, "malloc_trim", None)
    if trim is not None:
        trim(0)
