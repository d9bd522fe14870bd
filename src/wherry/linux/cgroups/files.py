"""Control files: read and written with the kernel's answer kept.

`open(f, "w").write(x)` loses an error that comes at close, and pathlib costs more than the write;
so every control file is one open, one write of the whole value, one close.
"""

import errno
import os

# One read of this size takes any control file whole: the kernel fills a seq_file's buffer by pages.
_CHUNK = 65536


def write(path: str, value: str) -> None:
    """Write `value` at once. Raises OSError with the kernel's errno and `path`."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)


def read(path: str) -> str:
    """The file's text, without the newline at its end. Raises OSError with `path`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        while chunk := os.read(fd, _CHUNK):
            chunks.append(chunk)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)
    return b"".join(chunks).decode().rstrip("\n")


def read_number(path: str) -> int | None:
    """A single number; None for `max`, or where the file or its controller is not there."""
    try:
        text = read(path)
    except OSError as error:
        # ENODEV: the group is being removed; EOPNOTSUPP: the kernel keeps the file but not the use.
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            return None
        raise
    return int(text) if text.lstrip("-").isdigit() else None


def read_keyed(path: str) -> dict[str, int]:
    """A file of `key number` lines ("flat keyed"); empty if it is not there."""
    try:
        return parse_keyed(read(path))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            return {}
        raise


def parse_keyed(text: str) -> dict[str, int]:
    """`key number` lines as a dict; lines of another shape are left out."""
    values: dict[str, int] = {}
    for line in text.splitlines():
        key, _, number = line.partition(" ")
        if number.lstrip("-").isdigit():
            values[key] = int(number)
    return values
