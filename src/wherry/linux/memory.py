"""How much memory a process keeps that it does not use (mallopt(3))."""

import ctypes

_M_TRIM_THRESHOLD = -1
_M_ARENA_MAX = -8
_TRIM_AT = 256 * 1024
_ARENAS = 2


def keep_little() -> None:
    """Give memory back soon, and have few heaps: for a process of many threads that lives long.

    By itself glibc makes a heap for each thread, and keeps ever larger pieces once they were
    wanted. Another C library may not know these words; then nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_AT)
