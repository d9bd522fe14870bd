"""Standard output and error, in UTF-8 whatever the locale, as bytes where they are bytes."""

from __future__ import annotations

import sys


def out(text: str) -> None:
    """Write `text` to standard output as it is. Raises BrokenPipeError if nobody reads."""
    out_bytes(encode(text))


def encode(text: str) -> bytes:
    """UTF-8, where bytes of the command line that were none come out as they went in."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")  # half a character, from somebody's JSON


def out_line(text: str) -> None:
    out(text + "\n")


def out_bytes(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def err_bytes(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


def err_line(text: str) -> None:
    err_bytes(encode(text) + b"\n")


def complain(message: str) -> None:
    """An error that does not end the command yet."""
    from wherry.cli.colours import RED, painted

    err_line(f"{painted('wherry:', RED, 2)} {message}")
