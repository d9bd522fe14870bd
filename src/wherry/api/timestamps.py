"""Moments in `since` and `until`: seconds with a fraction, or RFC 3339."""

import re

from wherry import errdefs

_SECONDS = re.compile(r"(-?[0-9]{1,18})(?:\.([0-9]{1,9})[0-9]*)?")
_NANOS = 1_000_000_000
_FRACTION = re.compile(r"\.([0-9]+)")


def nanoseconds(name: str, value: str) -> int:
    """Nanoseconds since the epoch; 0 (no limit) for an empty value or "0"."""
    if not value:
        return 0
    match = _SECONDS.fullmatch(value)
    if match is not None:
        return int(match[1]) * _NANOS + int((match[2] or "").ljust(9, "0"))
    import datetime  # rarely needed: most clients send seconds

    fraction = _FRACTION.search(value)
    whole = _FRACTION.sub("", value, count=1)
    try:
        moment = datetime.datetime.fromisoformat(whole)
        if moment.tzinfo is None:
            moment = moment.astimezone()
        seconds = int(moment.timestamp())
    except (ValueError, OverflowError) as error:  # the latter in the years 1 and 9999
        raise errdefs.invalid(
            f"invalid value for {name!r}: {value!r} is neither seconds of the epoch nor RFC 3339"
        ) from error
    return seconds * _NANOS + (int(fraction[1][:9].ljust(9, "0")) if fraction else 0)
