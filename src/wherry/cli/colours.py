"""Colours, where a person looks: on a terminal, and not if they said NO_COLOR."""

from __future__ import annotations

import os

BOLD, RED = "1", "1;31"


def coloured(fd: int) -> bool:
    """Whether what is written to `fd` may have colours (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    try:
        return os.isatty(fd)
    except OSError:
        return False


def painted(text: str, colour: str, fd: int) -> str:
    """`text` in `colour`, if it goes to a terminal."""
    return f"\x1b[{colour}m{text}\x1b[0m" if coloured(fd) else text
