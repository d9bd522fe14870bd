"""The fields of a tar header block: numbers, text, checksum.

The layout is POSIX's ustar (IEEE Std 1003.1, pax, "ustar Interchange Format"); GNU tar's base-256
numbers are read as well. Nothing here knows which entry it looks at: what is wrong is said by
`Malformed`, and the reader adds the entry's name and place.
"""

from typing import Final
from zlib import adler32

BLOCK: Final = 512
END_OF_ARCHIVE: Final = bytes(BLOCK)
MAX_EXTENDED: Final = 1 << 20
"""Bytes that the extended headers of one entry may hold, and a sparse file's map: Linux takes no
name over 4 KiB and no xattrs over 64 KiB each, so more is an attack on memory."""


class Malformed(ValueError):  # noqa: N818 - the word for what the archive is
    """What is wrong with an entry, as the end of a sentence that begins with its name."""


def text(field: bytes) -> bytes:
    """A field up to its first NUL; one that fills its field has none."""
    return field.partition(b"\0")[0]


def number(field: bytes) -> int:
    """An octal or base-256 number; blank is 0."""
    digits = field[:-1]
    if digits.isdigit() and field[-1] in b"\0 ":
        try:
            return int(digits, 8)
        except ValueError:
            pass  # an 8 or a 9
    return _unusual_number(field)


def _unusual_number(field: bytes) -> int:
    if field[0] & 0x80:
        bits = len(field) * 8 - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        return value - (1 << bits) if field[0] & 0x40 else value
    digits = text(field.strip(b" \0")).rstrip(b" ")
    if digits.translate(None, b"01234567"):
        raise Malformed(f"its header holds {field!r} where an octal number belongs")
    return int(digits, 8) if digits else 0


def decimal(value: bytes, what: str) -> int:
    """A number of a PAX record: digits only, few enough for Python to convert in no time."""
    if not value.isdigit() or len(value) > 20:
        raise Malformed(f"its {what} is {value[:40]!r}, which is not a number")
    return int(value)


def byte_sum(block: bytes) -> int:
    """The sum of a block's bytes, by two calls in C.

    adler32's lower half is one more than the sum modulo 65521, and half a block adds up to 65280
    at most.
    """
    return (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2


def verify_checksum(block: bytes, field: bytes) -> None:
    """Raises Malformed unless the block's bytes add up to what its checksum field says.

    The field itself counts as spaces. Some old programs added up signed bytes, which is taken too.
    """
    total = byte_sum(block) - (adler32(field) & 0xFFFF) + 1 + 8 * 0x20
    try:
        stored = int(field.strip(b" \0"), 8)
    except ValueError:
        raise Malformed("its header has no checksum: this is not a tar archive") from None
    if stored != total:
        high = sum(byte > 0x7F for byte in block) - sum(byte > 0x7F for byte in field)
        if stored != total - 256 * high:
            raise Malformed("its header's checksum does not match: the archive is corrupt")
