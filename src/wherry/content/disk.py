"""What the store asks of the disk: directories that last, errors that name what was tried, and
that it is never filled to the brim."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

from wherry import errdefs
from wherry.linux.sync import syncfs

_STEP_MIN: Final = 1 << 20
_STEP_MAX: Final = 1 << 26
_KEPT: Final = 1 << 28
_KEPT_SHARE: Final = 20  # of a small file system one twentieth
_KEPT_INODES: Final = 10_000


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Reserve:
    """What of a file system is left to others, whatever an archive grows to.

    A megabyte can hold a terabyte of zeros. Databases, logs and containers on the same disk must
    not meet its end because of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unseen = 0
        self._step = _STEP_MIN

    def spend(self, size: int) -> None:
        """`size` bytes are about to be written. Looks at the disk every 1 to 64 MiB of them, the
        more often the fuller it is.

        Raises ResourceExhausted where fewer than 256 MiB would stay free (of a small file system:
        a twentieth), or hardly an inode.
        """
        self._unseen += size
        if self._unseen >= self._step:
            self._unseen = 0
            self._look()

    def _look(self) -> None:
        with trying(f"looking how full the disk of {self._path} is"):
            disk = os.statvfs(self._path)
        free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        kept = min(_KEPT, size // _KEPT_SHARE)
        if free < kept:
            raise errdefs.exhausted(
                f"the file system of {self._path} has only {free >> 20} MB left of {size >> 20} MB,"
                f" and {kept >> 20} MB are kept free: remove images or containers that are not"
                " needed, or use a larger disk"
            )
        self._step = max(_STEP_MIN, min((free - kept) // 4, _STEP_MAX))
        if disk.f_files and disk.f_favail < min(_KEPT_INODES, disk.f_files // _KEPT_SHARE):
            raise errdefs.exhausted(
                f"the file system of {self._path} can take only {disk.f_favail} more files: remove"
                " images or containers that are not needed"
            )


def sparing(stream: Readable, reserve: Reserve) -> BinaryIO:
    """The same stream, of what is going to be written; its reading ends with ResourceExhausted
    when the disk is nearly full."""
    return cast("BinaryIO", _Sparing(stream, reserve))


class _Sparing(io.BufferedIOBase):
    def __init__(self, stream: Readable, reserve: Reserve) -> None:
        self._stream = stream
        self._reserve = reserve

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        self._reserve.spend(len(data))
        return data


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
    _sync(path, os.O_DIRECTORY)


def sync_path(path: Path) -> None:
    """Bring a file's bytes, or a directory's names, to the disk."""
    _sync(path, 0)


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_filesystem(path: Path) -> None:
    """Bring all to the disk that is on the file system of the directory. May raise OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    finally:
        os.close(fd)
