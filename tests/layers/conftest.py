"""Tar headers made by hand, with whatever a test wants to be wrong in them."""

import io
from collections.abc import Callable

import pytest

from wherry.layers.tar import Entry, TarReader


def make_block(
    name: bytes = b"file",
    size: bytes | int = 0,
    flag: bytes = b"0",
    *,
    link: bytes = b"",
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000000\0",
    gid: bytes = b"0000000\0",
    mtime: bytes = b"00000000000\0",
    magic: bytes = b"ustar\x0000",
    major: bytes = b"0000000\0",
    minor: bytes = b"0000000\0",
    prefix: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """One header block; a size that is an int is written in octal."""
    written = size if isinstance(size, bytes) else b"%011o\0" % size
    block = b"".join(
        (
            name.ljust(100, b"\0"),
            mode,
            uid,
            gid,
            written,
            mtime,
            b" " * 8,
            flag,
            link.ljust(100, b"\0"),
            magic,
            bytes(64),
            major,
            minor,
            prefix.ljust(167, b"\0"),
        )
    )
    assert len(block) == 512
    stored = b"%06o\0 " % sum(block) if checksum is None else checksum
    return block[:148] + stored + block[156:]


def make_pax(records: dict[bytes, bytes], flag: bytes = b"x") -> bytes:
    """An extended header and its body, from records that may be anything."""
    body = b""
    for key, value in records.items():
        rest = b" " + key + b"=" + value + b"\n"
        length = len(rest) + len(str(len(rest)))
        length = len(rest) + len(str(length))
        body += b"%d" % length + rest
    return make_block(b"pax", len(body), flag) + body + bytes(-len(body) % 512)


def read_all(archive: bytes) -> list[tuple[Entry, bytes]]:
    """Every entry with its content."""
    reader = TarReader(io.BytesIO(archive))
    return [(entry, reader.read()) for entry in reader]


@pytest.fixture(scope="session")
def block() -> Callable[..., bytes]:
    return make_block


@pytest.fixture(scope="session")
def pax() -> Callable[..., bytes]:
    return make_pax


@pytest.fixture(scope="session")
def read() -> Callable[[bytes], list[tuple[Entry, bytes]]]:
    return read_all
