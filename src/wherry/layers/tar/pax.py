"""PAX extended headers: records that replace or add to what a header's fields can say.

The form is POSIX's ("pax Extended Header"); `SCHILY.xattr.` is star's, which GNU tar and Go use,
and `LIBARCHIVE.xattr.` is bsdtar's.
"""

import binascii
from collections.abc import Iterator
from typing import Final, TypeAlias

from wherry.layers.tar.entry import Entry
from wherry.layers.tar.fields import Malformed, decimal

Records: TypeAlias = dict[bytes, bytes]

SCHILY_XATTR: Final = b"SCHILY.xattr."
LIBARCHIVE_XATTR: Final = b"LIBARCHIVE.xattr."
SPARSE_MAP: Final = b"GNU.sparse.map"
_SPARSE_PAIR: Final = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
_KNOWN: Final = frozenset((b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"))
_KNOWN_PREFIXES: Final = (SCHILY_XATTR, LIBARCHIVE_XATTR, b"GNU.sparse.")

# The kernel's limits (xattr(7)): a longer one could not be set anywhere.
_MAX_XATTR_NAME: Final = 255
_MAX_XATTR_VALUE: Final = 65536
_MAX_XATTR_NAMES: Final = 65536

_MAX_SECONDS: Final = 1 << 63


def update(records: Records, body: bytes) -> None:
    """Add an extended header's records, as far as they matter here; a later one replaces.

    An empty value stays, to hide a global header's record; for all but xattrs it means that the
    header's own field counts. The repeated offsets of a sparse file's map (GNU.sparse 0.0) are
    gathered into the one record that format 0.1 has for them.
    """
    sparse: list[bytes] = []
    for key, value in _parse(body):
        if key in _SPARSE_PAIR:
            if key != _SPARSE_PAIR[len(sparse) % 2]:
                raise Malformed("its sparse map has an offset without a length")
            sparse.append(value)
        elif key in _KNOWN or key.startswith(_KNOWN_PREFIXES):
            records[key] = value
    if sparse:
        records[SPARSE_MAP] = b",".join(sparse)


def _parse(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each `length key=value newline` of an extended header; the length counts the whole record."""
    position = 0
    while position < len(body):
        space = body.find(b" ", position, position + 8)
        length = body[position : max(space, position)]
        if not length.isdigit():
            raise Malformed("its PAX header holds a record without a length")
        end = position + int(length)
        equals = body.find(b"=", space + 2, end)
        if equals < 0 or end > len(body) or body[end - 1] != 0x0A:
            raise Malformed("its PAX header holds a record that is no key, value and newline")
        yield body[space + 1 : equals], body[equals + 1 : end - 1]
        position = end


def override(entry: Entry, records: Records) -> None:
    """Replace in `entry` what the records say otherwise. A sparse file's size comes later."""
    get = records.get
    if path := get(b"path"):
        entry.name = path
    if link := get(b"linkpath"):
        entry.link = link
    if size := get(b"size"):
        entry.size = decimal(size, "size")
    if uid := get(b"uid"):
        entry.uid = decimal(uid, "owner")
    if gid := get(b"gid"):
        entry.gid = decimal(gid, "group")
    if mtime := get(b"mtime"):
        entry.mtime_ns = time_ns(mtime)
    entry.xattrs = xattrs(records)


def time_ns(value: bytes) -> int:
    """Nanoseconds of a PAX time: decimal seconds, perhaps negative, perhaps with a fraction."""
    whole, _, fraction = value.partition(b".")
    negative = whole.startswith(b"-")
    seconds = decimal(whole[1:] if negative else whole, "time")
    if fraction and not fraction.isdigit():
        raise Malformed(f"its time is {value[:40]!r}, which is not a number")
    if seconds >= _MAX_SECONDS:
        raise Malformed(f"its time is {seconds} seconds, which no file system can hold")
    nanoseconds = seconds * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -nanoseconds if negative else nanoseconds


def xattrs(records: Records) -> dict[bytes, bytes]:
    """The extended attributes by full name; star's form goes before libarchive's."""
    found: dict[bytes, bytes] = {}
    for key, value in records.items():
        if key.startswith(SCHILY_XATTR):
            found[key[len(SCHILY_XATTR) :]] = value
        elif key.startswith(LIBARCHIVE_XATTR):
            name = _url_decoded(key[len(LIBARCHIVE_XATTR) :])
            if SCHILY_XATTR + name not in records:
                found[name] = _base64_decoded(value)
    if found:
        judge_xattrs(found)
    return found


def judge_xattrs(found: dict[bytes, bytes]) -> None:
    """Raises Malformed for what could not be set on any file."""
    for name, value in found.items():
        if not 0 < len(name) <= _MAX_XATTR_NAME or b"\0" in name:
            raise Malformed(f"it has an xattr with the name {name[:40]!r}, which Linux refuses")
        if len(value) > _MAX_XATTR_VALUE:
            raise Malformed(f"its xattr {name!r} is over {_MAX_XATTR_VALUE} bytes long")
    if sum(len(name) + 1 for name in found) > _MAX_XATTR_NAMES:
        raise Malformed(f"the names of its xattrs are over {_MAX_XATTR_NAMES} bytes long")


def _url_decoded(name: bytes) -> bytes:
    first, *rest = name.split(b"%")
    try:
        return first + b"".join(binascii.unhexlify(part[:2]) + part[2:] for part in rest)
    except binascii.Error:
        raise Malformed(f"it has an xattr with the name {name[:40]!r}, wrongly encoded") from None


def _base64_decoded(value: bytes) -> bytes:
    try:
        return binascii.a2b_base64(value + b"=" * (-len(value) % 4))  # libarchive does not pad
    except binascii.Error:
        raise Malformed("it has an xattr whose value is not base64") from None


def encode(records: Records) -> bytes:
    """The body of an extended header, in the records' own order."""
    return b"".join(_record(key, value) for key, value in records.items())


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + len(str(len(rest)))
    length = len(rest) + len(str(length))  # its own digits may have made it one digit longer
    return b"%d%b" % (length, rest)


def encode_time(time_ns: int) -> bytes:
    """Decimal seconds, with as many digits of a fraction as it takes."""
    seconds, nanoseconds = divmod(abs(time_ns), 1_000_000_000)
    sign = b"-" if time_ns < 0 else b""
    fraction = (b".%09d" % nanoseconds).rstrip(b"0") if nanoseconds else b""
    return b"%b%d%b" % (sign, seconds, fraction)


def encode_xattr(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """The record for an xattr: star's, but for names that only libarchive's form can hold."""
    if b"=" not in name:
        return SCHILY_XATTR + name, value
    quoted = name.replace(b"%", b"%25").replace(b"=", b"%3D")
    return LIBARCHIVE_XATTR + quoted, binascii.b2a_base64(value, newline=False)
