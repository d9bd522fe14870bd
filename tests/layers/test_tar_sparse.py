"""Sparse files in each of GNU tar's four formats."""

import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from wherry.errdefs import EngineError
from wherry.layers.tar import TarReader

END = bytes(1024)
SEGMENTS = [(4096, 512), (100_000, 700)]
SIZE = 200_000
DATA = b"a" * 512 + b"b" * 700
CONTENT = (bytes(4096) + b"a" * 512).ljust(100_000, b"\0") + (b"b" * 700).ljust(100_000, b"\0")
VERSION_1 = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": b"real"}


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def old_gnu(block, segments, size, data, more=()) -> bytes:
    """A type S header with up to four segments, and continuations of up to 21."""
    header = bytearray(block(b"sparse", len(data), b"S", magic=b"ustar  \0"))
    header[386:482] = pairs(segments).ljust(96, b"\0")
    header[482] = bool(more)
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    extensions = b""
    for number, group in enumerate(more, 1):
        extension = bytearray(pairs(group).ljust(512, b"\0"))
        extension[504] = number < len(more)
        extensions += extension
    return bytes(header) + extensions + padded(data)


def pairs(segments) -> bytes:
    return b"".join(b"%011o\0%011o\0" % pair for pair in segments)


def numbers(segments) -> list[bytes]:
    return [b"%d" % number for pair in segments for number in pair]


def archives(block, pax) -> dict[str, bytes]:
    repeated = b""
    for offset, length in SEGMENTS:
        for record in (b"GNU.sparse.offset=%d\n" % offset, b"GNU.sparse.numbytes=%d\n" % length):
            repeated += b"%d %b" % (len(record) + 3, record)
    sized = {b"GNU.sparse.size": b"%d" % SIZE, b"GNU.sparse.numblocks": b"2"}
    map_01 = {b"GNU.sparse.map": b",".join(numbers(SEGMENTS)), b"GNU.sparse.name": b"real"}
    map_10 = padded(b"2\n" + b"".join(number + b"\n" for number in numbers(SEGMENTS)))
    return {
        "old": old_gnu(block, SEGMENTS, SIZE, DATA),
        "0.0": pax(sized)
        + block(b"pax", len(repeated), b"x")
        + padded(repeated)
        + block(b"real", len(DATA))
        + padded(DATA),
        "0.1": pax(sized | map_01) + block(b"GNUSparseFile.1/x", len(DATA)) + padded(DATA),
        "1.0": pax(VERSION_1 | {b"GNU.sparse.realsize": b"%d" % SIZE})
        + block(b"GNUSparseFile.1/x", len(map_10) + len(DATA))
        + map_10
        + padded(DATA),
    }


@pytest.mark.parametrize("form", ["old", "0.0", "0.1", "1.0"])
class TestFormats:
    def test_holes_are_zeros(self, block, pax, form):
        reader = TarReader(io.BytesIO(archives(block, pax)[form] + block(b"next") + END))
        entries = iter(reader)
        entry = next(entries)
        assert entry.name in (b"real", b"sparse")
        assert (entry.size, entry.sparse) == (SIZE, SEGMENTS)
        assert reader.read(4100) == CONTENT[:4100]
        assert reader.read() == CONTENT[4100:]
        assert next(entries).name == b"next"

    def test_the_data_lie_at_the_offset(self, block, pax, form):
        archive = archives(block, pax)[form] + END
        entry = next(iter(TarReader(io.BytesIO(archive))))
        assert archive[entry.offset : entry.offset + len(DATA)] == DATA

    def test_copies_have_holes(self, block, pax, form, tmp_path):
        reader = TarReader(io.BytesIO(archives(block, pax)[form] + block(b"next") + END))
        entries = iter(reader)
        next(entries)
        with (tmp_path / "copy").open("wb") as file:
            reader.copy_to(file.fileno())
            assert os.fstat(file.fileno()).st_blocks * 512 < SIZE // 2
        assert (tmp_path / "copy").read_bytes() == CONTENT
        assert reader.read() == b""
        assert next(entries).name == b"next"

    def test_data_may_be_skipped(self, block, pax, form):
        archive = archives(block, pax)[form] + block(b"next") + END
        assert [entry.name for entry in TarReader(io.BytesIO(archive))][1] == b"next"


def test_old_maps_go_on_in_further_blocks(block):
    segments = [(number * 1024, 512) for number in range(40)]
    data = os.urandom(512 * 40)
    groups = (segments[4:25], segments[25:])
    archive = old_gnu(block, segments[:4], 50_000, data, groups) + block(b"next") + END
    reader = TarReader(io.BytesIO(archive))
    entries = iter(reader)
    assert next(entries).sparse == segments
    content = reader.read()
    assert b"".join(content[at : at + length] for at, length in segments) == data
    assert len(content) == 50_000
    assert next(entries).name == b"next"


@pytest.mark.parametrize(
    ("segments", "size", "said"),
    [
        ([(0, 512), (100, 512)], 5000, "overlaps"),
        ([(1024, 512), (0, 512)], 5000, "overlaps"),
        ([(0, 512), (4800, 512)], 5000, "leaves"),
        ([(0, 100)], 5000, "does not match"),
        ([(0, 2000)], 5000, "does not match"),
        ([], 5000, "does not match"),
    ],
)
def test_maps_that_lie(block, pax, segments, size, said):
    data = bytes(1024)
    mapped = {b"GNU.sparse.map": b",".join(numbers(segments)), b"GNU.sparse.size": b"%d" % size}
    for archive in (
        old_gnu(block, segments, size, data),
        pax(mapped) + block(size=1024) + data,
    ):
        with pytest.raises(EngineError, match=said):
            list(TarReader(io.BytesIO(archive + END)))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b"1\n0\n", "longer than its data"),
        (b"x\n", "not a number"),
        (b"-1\n", "not a number"),
        (b"\n\n", "not a number"),
        (b"99999999\n", "too long"),
        (b"1" * 2000, "not a list"),
        (b"", "not a number|not a list|longer"),
    ],
)
def test_lines_that_are_no_map(block, pax, lines, said):
    records = VERSION_1 | {b"GNU.sparse.realsize": b"100"}
    body = padded(lines or bytes(512))
    archive = pax(records) + block(size=len(body)) + body + END
    with pytest.raises(EngineError, match=said):
        list(TarReader(io.BytesIO(archive)))


def test_records_that_are_no_map(block, pax):
    for records in (
        {b"GNU.sparse.map": b"1,2,3", b"GNU.sparse.size": b"9"},
        {b"GNU.sparse.map": b"1,,3", b"GNU.sparse.size": b"9"},
        {b"GNU.sparse.map": b"0,0"},
        {b"GNU.sparse.numbytes": b"0", b"GNU.sparse.size": b"9"},
        {b"GNU.sparse.size": b"-1"},
    ):
        with pytest.raises(EngineError, match="sparse"):
            list(TarReader(io.BytesIO(pax(records) + block() + END)))


@pytest.mark.parametrize("size", [2**63, 10**20 - 1])
def test_sizes_that_no_file_has(block, pax, size):
    archive = pax({b"GNU.sparse.size": b"%d" % size, b"GNU.sparse.map": b""}) + block() + END
    with pytest.raises(EngineError, match="no file can have"):
        list(TarReader(io.BytesIO(archive)))


def test_an_old_size_below_zero(block):
    header = bytearray(old_gnu(block, [], 0, b""))
    header[483:495] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(EngineError, match="-1 bytes"):
        list(TarReader(io.BytesIO(bytes(header) + END)))


def test_an_old_map_without_an_end(block):
    archive = old_gnu(block, [], 0, b"", [[(0, 0)] * 21] * 2)
    with pytest.raises(EngineError, match="too long"):
        list(TarReader(io.BytesIO(archive[:512] + archive[512:1024] * 5000 + END)))


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar as the peer")
@pytest.mark.parametrize(
    "options", [["gnu"], ["pax", "--sparse-version=0.0"], ["pax", "--sparse-version=0.1"], ["pax"]]
)
def test_what_gnu_tar_writes(tmp_path: Path, options):
    files = {}
    for name, size, places in [
        ("s" * 120, 10_000_000, range(65536, 9_000_000, 300_000)),
        ("tail", 1_000_000, [999_000]),
        ("hole", 3_000_000, []),
        ("odd", 123_457, [60_000]),
    ]:
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
            for place in places:
                os.pwrite(file.fileno(), os.urandom(700), place)
        files[name.encode()] = (tmp_path / name).read_bytes()
    command = ["tar", "-C", tmp_path, "--sparse", f"--format={options[0]}", *options[1:], "-c"]
    archive = subprocess.run([*command, *files], check=True, capture_output=True).stdout
    reader = TarReader(io.BytesIO(archive))
    got = {}
    for entry in reader:
        assert entry.sparse is not None
        got[entry.name] = reader.read()
    assert got == files
