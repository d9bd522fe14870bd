"""A header block as an Entry: first as it is written there, then as Linux can have it."""

import struct
from functools import lru_cache
from typing import Final, TypeAlias

from wherry.layers.tar import names
from wherry.layers.tar.entry import (
    BLOCK_DEVICE,
    CHAR_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
    Kind,
)
from wherry.layers.tar.fields import Malformed, number, text, verify_checksum

Fields: TypeAlias = tuple[
    bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes
]
"""name; mode, uid and gid; size; mtime; checksum; type; link; magic; major; minor; prefix"""

_FIELDS: Final = struct.Struct("100s24s12s12s8sc100s8s64x8s8s155s12x")
_USTAR: Final = b"ustar\0"

_KINDS: Final[dict[bytes, Kind]] = {
    b"0": FILE,
    b"\0": FILE,
    b"7": FILE,  # contiguous: a wish about the disk
    b"S": FILE,  # sparse, as GNU tar says it without PAX
    b"1": HARDLINK,
    b"2": SYMLINK,
    b"3": CHAR_DEVICE,
    b"4": BLOCK_DEVICE,
    b"5": DIRECTORY,
    b"6": FIFO,
}
_DEVICES: Final = (CHAR_DEVICE, BLOCK_DEVICE)

_SLASH: Final = 0x2F

_MAX_SIZE: Final = (1 << 63) - 1  # loff_t
_MAX_ID: Final = (1 << 32) - 2  # the one above is -1, which tells chown to change nothing
_MAX_MAJOR: Final = (1 << 12) - 1  # a device number, as mknod(2) takes it
_MAX_MINOR: Final = (1 << 20) - 1
_MAX_TIME_NS: Final = ((1 << 63) - 1) * 1_000_000_000


def fields_of(block: bytes) -> Fields:
    """The block's fields as they stand; raises Malformed if its checksum does not match."""
    fields: Fields = _FIELDS.unpack(block)
    verify_checksum(block, fields[4])
    return fields


def draft(fields: Fields) -> Entry:
    """The entry as its header has it. Extended headers may replace anything but the kind."""
    name, permissions, size, mtime, _, flag, link, magic, major, minor, prefix = fields
    name = text(name)
    if prefix[0] and magic[:6] == _USTAR:
        name = text(prefix) + b"/" + name
    kind = _KINDS.get(flag)
    if kind is None:
        raise Malformed(f"it has the type {flag!r}, which no layer holds")
    mode, uid, gid = _mode_and_owner(permissions)
    entry = Entry(
        name,
        kind,
        mode,
        uid,
        gid,
        number(mtime) * 1_000_000_000,
        number(size),
        text(link) if link[0] else b"",
    )
    if kind in _DEVICES:
        entry.major, entry.minor = number(major), number(minor)
    return entry


@lru_cache(maxsize=1024)
def _mode_and_owner(field: bytes) -> tuple[int, int, int]:
    """Of these an archive holds few."""
    return number(field[:8]) & 0o7777, number(field[8:16]), number(field[16:])


def judge(entry: Entry, rooted: bool = False) -> None:
    """Bring a complete draft into the form that Entry promises; refuse what Linux cannot have.

    `rooted` is as in `entry_name`.
    """
    raw = entry.name
    entry.name = names.entry_name(raw, rooted)
    if entry.kind == FILE:
        judge_size(entry.size)
        if raw[-1] == _SLASH:  # how archives older than ustar mark a directory
            if entry.size:
                raise Malformed("its name is a directory's, but it holds data")
            entry.kind = DIRECTORY
        entry.link = b""
    else:
        _judge_link(entry)
        entry.size = 0  # whatever it says: no data follows
    if not entry.name and entry.kind != DIRECTORY:
        raise Malformed("it would replace the root directory")
    if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID):
        raise Malformed(f"its owner is {entry.uid}:{entry.gid}, which Linux does not have")
    if not -_MAX_TIME_NS <= entry.mtime_ns <= _MAX_TIME_NS:
        raise Malformed(f"its time is {entry.mtime_ns} ns, which no file system can hold")


def judge_size(size: int) -> None:
    """Raises Malformed for a length that no file can have."""
    if not 0 <= size <= _MAX_SIZE:
        raise Malformed(f"its size is {size} bytes, which no file can have")


def _judge_link(entry: Entry) -> None:
    if entry.kind == SYMLINK:
        entry.link = names.symlink_text(entry.link)
    elif entry.kind == HARDLINK:
        entry.link = names.link_name(entry.link)
        if entry.link == entry.name:
            raise Malformed("it is a hardlink to itself")
    else:
        entry.link = b""
        if not (0 <= entry.major <= _MAX_MAJOR and 0 <= entry.minor <= _MAX_MINOR):
            raise Malformed(f"its device is {entry.major}:{entry.minor}, which Linux cannot have")
