"""Files and pipes on their way to the daemon."""

from __future__ import annotations

import os

from wherry.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 256 * 1024


def open_input(path: str) -> int:
    """The descriptor of a file, or of standard input if `path` is empty."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else 0
    except OSError as error:
        raise CliError(f"open {path}: {(error.strerror or '').lower()}") from error


def pieces(fd: int, path: str) -> Iterator[bytes]:
    """What `fd` holds. A file that cannot be read to its end is an error, not a shorter file."""
    while True:
        try:
            piece = os.read(fd, PIECE)
        except OSError as error:
            raise CliError(f"read {path or 'standard input'}: {error.strerror}") from error
        if not piece:
            return
        yield piece
