"""Sizes and times as Docker's command line reads and writes them."""

from __future__ import annotations

_BINARY = "kmgtpe"
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY_NAMES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_NANOSECONDS = {
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "ns": 1,
}


def read_size(text: str) -> int:
    """Bytes of `512`, `64k`, `1.5 GiB`: units are powers of 1024, whatever their case."""
    number = text.lower().removesuffix("b").removesuffix("i")
    factor = 1
    if number[-1:] and number[-1] in _BINARY:
        factor = 1 << 10 * (_BINARY.index(number[-1]) + 1)
        number = number[:-1]
    number = number.removesuffix(" ")
    if not number.replace(".", "", 1).isdecimal() or not number.isascii():
        raise ValueError(f"invalid size: '{text}'")
    return int(float(number) * factor) if "." in number else int(number) * factor


def read_swap(text: str) -> int:
    """A size, or -1 for no limit."""
    return -1 if text == "-1" else read_size(text)


def read_cpus(text: str) -> int:
    """Billionths of a processor: `1.5` is 1,500,000,000."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not digits.isdecimal() or not digits.isascii():
        raise ValueError("failed to parse it as a number of CPUs")
    if len(fraction.rstrip("0")) > 9:
        raise ValueError("value is too precise")
    return int(whole or "0") * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))


def read_duration(text: str) -> int:
    """Nanoseconds of Go's form: `1h30m`, `1.5s`, `250ms`, `0`."""
    rest = text.removeprefix("-").removeprefix("+")
    if rest == "0":
        return 0
    total = 0.0
    while rest:
        number, unit, rest = _duration_part(rest, text)
        total += float(number) * _NANOSECONDS[unit]
    if not text.strip("+-"):
        raise ValueError(f"invalid duration {text!r}")
    return -int(total) if text.startswith("-") else int(total)


def _duration_part(rest: str, text: str) -> tuple[str, str, str]:
    end = 0
    while end < len(rest) and (rest[end].isdecimal() or rest[end] == "."):
        end += 1
    number = rest[:end]
    start = end
    while end < len(rest) and not (rest[end].isdecimal() or rest[end] == "."):
        end += 1
    unit = rest[start:end]
    if not number.replace(".", "", 1).isdecimal() or unit not in _NANOSECONDS:
        raise ValueError(f"invalid duration {text!r} (such as 1h30m, 1.5s, 250ms)")
    return number, unit, rest[end:]


def human_size(size: float, digits: int = 4) -> str:
    """Decimal units with `digits` significant digits: `4.26MB`."""
    return _scaled(size, 1000.0, _DECIMAL, digits)


def binary_size(size: float) -> str:
    """Binary units: `23.54GiB`."""
    return _scaled(size, 1024.0, _BINARY_NAMES, 4)


def _scaled(size: float, base: float, units: tuple[str, ...], digits: int) -> str:
    step = 0
    while size >= base and step < len(units) - 1:
        size /= base
        step += 1
    return f"{size:.{digits}g}{units[step]}"


def human_duration(seconds: float) -> str:
    """How long, about: `Less than a second`, `About a minute`, `3 weeks`."""
    if seconds < 60:
        return _below_a_minute(int(seconds))
    minutes = int(seconds / 60)
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    for limit, size, name in (
        (48, 1, "hours"),
        (24 * 7 * 2, 24, "days"),
        (24 * 30 * 2, 24 * 7, "weeks"),
        (24 * 365 * 2, 24 * 30, "months"),
    ):
        if hours < limit:
            return f"{hours // size} {name}"
    return f"{int(seconds / 3600) // 24 // 365} years"


def _below_a_minute(seconds: int) -> str:
    if seconds < 1:
        return "Less than a second"
    return "1 second" if seconds == 1 else f"{seconds} seconds"
