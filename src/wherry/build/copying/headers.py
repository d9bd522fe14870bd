"""Headers of a layer's entries. What most files are is written by one formatting; the rest by the
tar writer."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Final

from wherry.layers.tar import Entry, encode

_SECOND: Final = 1_000_000_000
_MAX_NAME: Final = 100
_MAX_PREFIX: Final = 155
_MAX_SMALL: Final = 0o7777777
_MAX_LARGE: Final = 0o77777777777
_SPACES: Final = 8 * 0x20  # of the checksum's own field

# After the checksum: type, an empty link, magic, no names of owners, device 0/0.
_FILE_TAIL: Final = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2
_NO_PREFIX: Final = bytes(167)
_HEADER: Final = b"%b%b%b%b%06o\0 " + _FILE_TAIL + b"%b"


def file_header(name: bytes, mode: int, uid: int, gid: int, size: int, seconds: int) -> bytes:
    """Of a plain file without xattrs. `name` is normal; the time is in whole seconds.

    Raises InvalidArgument as `encode` does.
    """
    prefix = b""
    base = name
    if len(name) > _MAX_NAME:
        cut = name.find(b"/", len(name) - _MAX_NAME - 1)
        if not 0 < cut <= _MAX_PREFIX or len(name) - cut > _MAX_NAME + 1:
            return _unusual(name, mode, uid, gid, size, seconds)
        prefix, base = name[:cut], name[cut + 1 :]
    if not (
        size <= _MAX_LARGE
        and 0 <= seconds <= _MAX_LARGE
        and uid <= _MAX_SMALL
        and gid <= _MAX_SMALL
    ):
        return _unusual(name, mode, uid, gid, size, seconds)
    fixed, total = _permissions(mode, uid, gid)
    time, time_sum = _number(seconds)
    length = b"%011o\0" % size
    # adler32's lower half is one more than the sum of the bytes.
    total += time_sum + (zlib.adler32(length) & 0xFFFF) + (zlib.adler32(base) & 0xFFFF) - 2
    if prefix:
        total += (zlib.adler32(prefix) & 0xFFFF) - 1
    return _HEADER % (
        base.ljust(_MAX_NAME, b"\0"),
        fixed,
        length,
        time,
        total,
        prefix.ljust(167, b"\0") if prefix else _NO_PREFIX,
    )


def _unusual(name: bytes, mode: int, uid: int, gid: int, size: int, seconds: int) -> bytes:
    return encode(Entry(name, "file", mode, uid, gid, mtime_ns=seconds * _SECOND, size=size))


@lru_cache(maxsize=1024)
def _permissions(mode: int, uid: int, gid: int) -> tuple[bytes, int]:
    """The fields, and what they and all that is the same in each header add up to."""
    fixed = b"%07o\0%07o\0%07o\0" % (mode, uid, gid)
    return fixed, sum(fixed) + sum(_FILE_TAIL) + _SPACES


@lru_cache(maxsize=1024)
def _number(seconds: int) -> tuple[bytes, int]:
    field = b"%011o\0" % seconds
    return field, sum(field)
