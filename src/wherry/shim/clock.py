"""Time as the Engine API writes it."""

import time


def now() -> str:
    """RFC 3339 in UTC with nanoseconds: 2026-11-23T08:14:46.123456789Z."""
    return text(time.time_ns())


def text(ns: int) -> str:
    """The same of nanoseconds after 1970."""
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9))
    return f"{seconds}.{ns % 10**9:09d}Z"
