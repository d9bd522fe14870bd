"""Time as the Engine API writes it."""

import time


def now() -> str:
    """RFC 3339 in UTC with nanoseconds: 2026-11-23T08:14:46.123456789Z."""
    ns = time.time_ns()
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9))
    return f"{seconds}.{ns % 10**9:09d}Z"
