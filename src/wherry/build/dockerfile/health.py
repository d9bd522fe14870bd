"""HEALTHCHECK: the command that tells whether a container is well, and how often it is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from wherry.build.dockerfile.errors import RefusalError
from wherry.build.dockerfile.flags import Flags
from wherry.build.dockerfile.words import SPACE, json_words, quoted
from wherry.spec.image import Healthcheck

_UNITS: Final = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9,
    "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_PART: Final = re.compile(r"([0-9]{1,18})?(?:\.([0-9]{0,18}))?(ns|us|µs|μs|ms|s|m|h)")
_TIMES: Final = ("interval", "timeout", "start-period", "start-interval")
_LEAST: Final = 10**6
_RETRIES_MAX: Final = 2**31 - 1
_TIME_MAX: Final = 2**63 - 1


def healthcheck_of(flag_words: Sequence[str], text: str) -> Healthcheck:
    """What a HEALTHCHECK sets. Refused in Docker's words."""
    if not text:
        raise RefusalError("HEALTHCHECK requires at least one argument")
    kind, *others = text.split(maxsplit=1)
    rest = others[0].strip(SPACE) if others else ""
    if kind.upper() == "NONE":
        if rest:
            raise RefusalError("HEALTHCHECK NONE takes no arguments", rest)
        return Healthcheck(("NONE",))
    flags = Flags(flag_words, texts=(*_TIMES, "retries"))
    if kind.upper() != "CMD":
        raise RefusalError(f"Unknown type {quoted(kind.upper())} in HEALTHCHECK (try CMD)", kind)
    words = json_words(rest)
    command = words if words is not None else [rest] if rest else []
    if not command:
        raise RefusalError("Missing command after HEALTHCHECK CMD")
    times = {name: _time(name, flags.text(name)) for name in _TIMES}
    return Healthcheck(
        ("CMD" if words is not None else "CMD-SHELL", *command),
        interval=times["interval"],
        timeout=times["timeout"],
        start_period=times["start-period"],
        start_interval=times["start-interval"],
        retries=_retries(flags.text("retries")),
    )


def _time(name: str, text: str) -> int:
    """Nanoseconds; 0, which is the default's, for nothing."""
    if not text:
        return 0
    time = _duration(text)
    if time and time < _LEAST:
        raise RefusalError(f'Interval "{name}" cannot be less than 1ms', text)
    return time


def _duration(text: str) -> int:
    """Go's form of a duration: `1h2m3.5s`."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[0] in "+-" else text
    if rest == "0":
        return 0
    total = 0
    parts = list(_PART.finditer(rest))
    if not rest or "".join(part[0] for part in parts) != rest:
        raise RefusalError(f'time: invalid duration "{text}" (write it like 30s or 1m30s)', text)
    for part in parts:
        whole, fraction, unit = part[1] or "", part[2] or "", _UNITS[part[3]]
        if not whole and not fraction:
            raise RefusalError(f'time: invalid duration "{text}"', text)
        total += int(whole or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
    if total > _TIME_MAX:
        raise RefusalError(f'time: invalid duration "{text}": it is too long', text)
    return sign * total


def _retries(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", text) or abs(int(text)) > _RETRIES_MAX:
        raise RefusalError(f'--retries must be a whole number (not "{text}")', text)
    if int(text) < 0:
        raise RefusalError(f"--retries cannot be negative ({int(text)})", text)
    return int(text)
