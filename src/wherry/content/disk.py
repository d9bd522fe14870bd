"""What the store asks of the disk: directories that last, and errors that name what was tried."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wherry import errdefs


@contextmanager
def trying(what: str) -> Iterator[None]:
    """Translate an OSError at the room's edge."""
    try:
        yield
    except OSError as error:
        raise errdefs.from_os_error(what, error) from error


def make_directory(path: Path) -> None:
    """Make `path`, for root alone, and what is missing above it; a power cut does not undo it."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Bring the names in `path` to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
