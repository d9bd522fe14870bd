"""Standard output and error, in UTF-8 whatever the locale, as bytes where they are bytes."""

from __future__ import annotations

import sys


def out(text: str) -> None:
    """Write `text` to standard output as it is. Raises BrokenPipeError if nobody reads."""
    out_bytes(text.encode("utf-8", "surrogateescape"))


def out_line(text: str) -> None:
    out(text + "\n")


def out_bytes(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def err_bytes(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


def err_line(text: str) -> None:
    err_bytes(text.encode("utf-8", "surrogateescape") + b"\n")


def complain(message: str) -> None:
    """An error that does not end the command yet."""
    err_line(f"wherry: {message}")
