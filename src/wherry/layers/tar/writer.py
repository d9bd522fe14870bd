"""Writing a tar archive to a stream: the same entries give the same bytes, always.

Headers are ustar's where its fields can hold the truth. Where they cannot (long names, large
numbers, fractions of seconds, xattrs), a PAX extended header comes before. Nothing is written that
was not asked for: no user names, no access times, no process id.
"""

from typing import Final, Protocol

from wherry import errdefs
from wherry.layers.tar import header, pax
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
from wherry.layers.tar.fields import BLOCK, END_OF_ARCHIVE, Malformed, byte_sum
from wherry.layers.tar.names import quoted
from wherry.layers.tar.source import Readable

_CHUNK: Final = 1 << 18
_FLAGS: Final[dict[Kind, bytes]] = {
    FILE: b"0",
    HARDLINK: b"1",
    SYMLINK: b"2",
    CHAR_DEVICE: b"3",
    BLOCK_DEVICE: b"4",
    DIRECTORY: b"5",
    FIFO: b"6",
}
_EXTENDED: Final = b"x"
_EXTENDED_NAME: Final = b"PaxHeaders/"

_MAX_NAME: Final = 100
_MAX_PREFIX: Final = 155
_MAX_SMALL: Final = 0o7777777  # seven digits: owners
_MAX_LARGE: Final = 0o77777777777  # eleven digits: sizes and times
_SECOND: Final = 1_000_000_000


class Writable(Protocol):
    """All that a stream has to do to be written here; every buffered BinaryIO does."""

    def write(self, data: bytes, /) -> object: ...


class TarWriter:
    """Adds entries to an archive.

        writer = TarWriter(stream)
        writer.add(Entry(b"etc", DIRECTORY, mode=0o755))
        writer.add(Entry(b"etc/hostname", size=5), b"host\\n")
        writer.finish()

    The stream is written from its present position on, and neither flushed nor closed. Its own
    OSError passes through, as only the caller knows what it writes to.
    """

    def __init__(self, stream: Writable) -> None:
        self._stream = stream

    def add(self, entry: Entry, data: bytes | Readable = b"") -> None:
        """Write the entry, and after it exactly `entry.size` bytes of `data`.

        Holes are written as the zeros they read as. Raises InvalidArgument for an entry that the
        reader would not give back as it is, and Conflict if there is less data than `size` says:
        a file that shrank meanwhile. The archive is then of no use.
        """
        self._stream.write(encode(entry))
        left = entry.size
        if isinstance(data, bytes):
            left -= len(data)
            self._stream.write(data)
        else:
            while left > 0 and (chunk := data.read(min(left, _CHUNK))):
                left -= len(chunk)
                self._stream.write(chunk)
        if left:
            raise errdefs.conflict(
                f"{quoted(entry.name)}: its size is {entry.size} bytes, but there were"
                f" {entry.size - left} to read; it changes while it is being written to an archive"
            )
        self._stream.write(bytes(-entry.size % BLOCK))

    def finish(self) -> None:
        """Write the end of the archive."""
        self._stream.write(END_OF_ARCHIVE * 2)


def encode(entry: Entry) -> bytes:
    """The header blocks of an entry. Raises InvalidArgument as TarWriter.add does."""
    try:
        _judge(entry)
    except Malformed as error:
        raise errdefs.invalid(f"tar entry {quoted(entry.name)}: {error}") from None
    name = entry.name + b"/" if entry.kind == DIRECTORY else entry.name
    if not entry.name:
        name = b"./"
    prefix, base = _split(name)
    records = _records(entry, name, base)
    seconds = entry.mtime_ns // _SECOND
    block = _block(
        base or name[:_MAX_NAME],
        entry.mode,
        entry.uid if entry.uid <= _MAX_SMALL else 0,
        entry.gid if entry.gid <= _MAX_SMALL else 0,
        entry.size if entry.size <= _MAX_LARGE else 0,
        min(max(seconds, 0), _MAX_LARGE),
        _FLAGS[entry.kind],
        entry.link[:_MAX_NAME],
        entry.major,
        entry.minor,
        prefix,
    )
    return _extended_header(name, records) + block if records else block


def _judge(entry: Entry) -> None:
    """Nothing is written that would not be read back the same."""
    as_read = Entry(
        entry.name or b"./",
        entry.kind,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.mtime_ns,
        entry.size,
        entry.link,
        entry.major,
        entry.minor,
        entry.xattrs,
        entry.sparse,
        entry.offset,
    )
    header.judge(as_read)
    if as_read != entry:
        raise Malformed("it is not in the form that an entry of its kind has")
    if not 0 <= entry.mode <= 0o7777:
        raise Malformed(f"its mode is {entry.mode:o}, of which {0o7777:o} is what a layer holds")
    pax.judge_xattrs(entry.xattrs)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """(prefix, name) for ustar's two fields, or two empty ones if the name does not fit them."""
    if len(name) <= _MAX_NAME:
        return b"", name
    cut = name.find(b"/", len(name) - _MAX_NAME - 1, -1)
    if 0 < cut <= _MAX_PREFIX:
        return name[:cut], name[cut + 1 :]
    return b"", b""


def _records(entry: Entry, name: bytes, base: bytes) -> pax.Records:
    """What ustar's fields cannot hold, sorted by key."""
    records: pax.Records = {}
    if not base:
        records[b"path"] = name
    if len(entry.link) > _MAX_NAME:
        records[b"linkpath"] = entry.link
    if entry.uid > _MAX_SMALL:
        records[b"uid"] = b"%d" % entry.uid
    if entry.gid > _MAX_SMALL:
        records[b"gid"] = b"%d" % entry.gid
    if entry.size > _MAX_LARGE:
        records[b"size"] = b"%d" % entry.size
    if entry.mtime_ns % _SECOND or not 0 <= entry.mtime_ns // _SECOND <= _MAX_LARGE:
        records[b"mtime"] = pax.encode_time(entry.mtime_ns)
    if entry.xattrs:
        records.update(pax.encode_xattr(*item) for item in entry.xattrs.items())
    return dict(sorted(records.items()))


def _extended_header(name: bytes, records: pax.Records) -> bytes:
    body = pax.encode(records)
    title = (_EXTENDED_NAME + name.rstrip(b"/").rpartition(b"/")[2])[:_MAX_NAME]
    block = _block(title, 0o644, 0, 0, len(body), 0, _EXTENDED, b"", 0, 0, b"")
    return block + body + bytes(-len(body) % BLOCK)


def _block(
    name: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    seconds: int,
    flag: bytes,
    link: bytes,
    major: int,
    minor: int,
    prefix: bytes,
) -> bytes:
    block = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%bustar\x0000%64b%07o\0%07o\0%b" % (
        name.ljust(_MAX_NAME, b"\0"),
        mode,
        uid,
        gid,
        size,
        seconds,
        flag,
        link.ljust(_MAX_NAME, b"\0"),
        bytes(64),
        major,
        minor,
        prefix.ljust(167, b"\0"),
    )
    return b"%b%06o\0 %b" % (block[:148], byte_sum(block), block[156:])
