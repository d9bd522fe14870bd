"""`--since` and `--until`: a moment, or how long ago, as the API's seconds with nanoseconds."""

from __future__ import annotations

import time

from wherry.cli.units import read_duration


def read_moment(text: str, now: float | None = None) -> str:
    """`10m` ago, `2026-01-02T15:04:05Z` (local without a zone), `2026-01-02` or Unix seconds.

    Raises ValueError for anything else.
    """
    if not text:
        return ""
    seconds, _, fraction = text.partition(".")
    if seconds.isdecimal() and (not fraction or fraction.isdecimal()):
        return f"{seconds}.{fraction[:9].ljust(9, '0')}"
    try:
        ago = read_duration(text)
    except ValueError:
        return _read_date(text)
    nanoseconds = int((time.time() if now is None else now) * 1_000_000_000) - ago
    return f"{nanoseconds // 1_000_000_000}.{nanoseconds % 1_000_000_000:09d}"


def seconds_since(moment: str) -> float:
    """How long ago the API's `moment` is: RFC 3339, in UTC.

    By hand: `time.strptime` imports twenty modules for it.
    """
    year, month, day = (int(part) for part in moment[:10].split("-"))
    hours, minutes, seconds = (int(part) for part in moment[11:19].split(":"))
    # Years that begin in March have the leap day at their end.
    year -= month < 3
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = 365 * year + year // 4 - year // 100 + year // 400 + day_of_year - 719_468
    return time.time() - (days * 86_400 + hours * 3_600 + minutes * 60 + seconds)


def _read_date(text: str) -> str:
    from datetime import datetime

    # A datetime holds microseconds; the API's times have nanoseconds.
    head, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        moment = datetime.fromisoformat(head + rest[len(digits) :] if dot else text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time (such as 10m, 2026-01-02T15:04:05Z or 2026-01-02)"
        ) from None
    return f"{int(moment.timestamp())}.{digits[:9].ljust(9, '0')}"
