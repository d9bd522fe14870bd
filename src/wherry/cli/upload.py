"""Files and pipes on their way to the daemon."""

from __future__ import annotations

import os
import stat

from wherry.cli.errors import CliError
from wherry.cli.meter import Meter, metered
from wherry.cli.terminal import is_terminal

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
    """What `fd` holds, with its progress on the terminal.

    A file that cannot be read to its end is an error, not a shorter file.
    """
    if is_terminal(fd):
        return _pieces(fd, path)  # somebody types, and needs the line
    return metered(_pieces(fd, path), Meter("Sent", _size(fd)))


def _size(fd: int) -> int:
    status = os.fstat(fd)
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _pieces(fd: int, path: str) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(fd, PIECE)
        except OSError as error:
            raise CliError(f"read {path or 'standard input'}: {error.strerror}") from error
        if not piece:
            return
        yield piece
