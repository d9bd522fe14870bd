"""Signals as clients write them: a number, or a name with or without SIG."""

import re
import signal

from wherry import errdefs

_REALTIME = re.compile(r"RT(?:MIN(?:\+(?P<up>[0-9]{1,3}))?|MAX(?:-(?P<down>[0-9]{1,3}))?)")


def parse_signal(text: str) -> int:
    """The signal's number on Linux. Raises InvalidArgument in Docker's words."""
    if text.isascii() and text.isdigit():
        number = int(text) if len(text) < 4 else 0
        if 1 <= number <= signal.SIGRTMAX:
            return number
        raise errdefs.invalid(f"Invalid signal: {text}")
    name = text.upper().removeprefix("SIG")
    if match := _REALTIME.fullmatch(name):
        if name.startswith("RTMIN"):
            number = signal.SIGRTMIN + int(match["up"] or 0)
        else:
            number = signal.SIGRTMAX - int(match["down"] or 0)
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
    elif "_" not in name and (found := getattr(signal.Signals, f"SIG{name}", None)) is not None:
        return int(found)
    raise errdefs.invalid(f"Invalid signal: {text}")
