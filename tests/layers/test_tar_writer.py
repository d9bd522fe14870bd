"""What the writer writes, read back by ourselves, by Python's tarfile and by GNU tar."""

import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.errdefs import EngineError, Kind
from wherry.layers.tar import (
    BLOCK_DEVICE,
    CHAR_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
    TarReader,
    TarWriter,
    encode,
)

EXAMPLES = 5000 if os.environ.get("WHERRY_SOAK") else 100

COMPONENTS = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.integers(1, 255).map(lambda length: b"n" * length),
    st.sampled_from([b".hidden", b"..x", b" ", b"new\nline", "é".encode(), b"\xff"]),
).filter(lambda part: part not in (b".", b"..") and not {0, 0x2F} & set(part))
PATHS = st.lists(COMPONENTS, min_size=1, max_size=8).map(b"/".join)
TEXTS = st.binary(min_size=1, max_size=300).filter(lambda text: b"\0" not in text)
IDS = st.sampled_from([0, 1, 1000, 0o7777777, 0o10000000, 2**32 - 2]) | st.integers(0, 2**32 - 2)
TIMES = (
    st.sampled_from([0, -1, 1, 10**9, -(10**9), 2**33 * 10**9, (2**33 - 1) * 10**9 + 1])
    | st.integers(-(2**62), 2**62)
    | st.integers(0, 2**33).map(lambda seconds: seconds * 10**9)
)
XATTRS = st.dictionaries(
    st.binary(min_size=1, max_size=30)
    .filter(lambda name: b"\0" not in name)
    .map(lambda name: b"user." + name),
    st.binary(max_size=200),
    max_size=4,
)


@st.composite
def entries(draw) -> tuple[Entry, bytes]:
    kind = draw(
        st.sampled_from([FILE, DIRECTORY, SYMLINK, HARDLINK, CHAR_DEVICE, BLOCK_DEVICE, FIFO])
    )
    entry = Entry(
        draw(PATHS),
        kind,
        draw(st.integers(0, 0o7777)),
        draw(IDS),
        draw(IDS),
        draw(TIMES),
        xattrs=draw(XATTRS),
    )
    data = b""
    if kind == FILE:
        data = draw(st.binary(max_size=1500))
        entry.size = len(data)
    elif kind == SYMLINK:
        entry.link = draw(TEXTS)
    elif kind == HARDLINK:
        entry.link = draw(PATHS.filter(lambda path: path != entry.name))
    elif kind in (CHAR_DEVICE, BLOCK_DEVICE):
        entry.major, entry.minor = draw(st.integers(0, 4095)), draw(st.integers(0, 2**20 - 1))
    return entry, data


def write(members) -> bytes:
    stream = io.BytesIO()
    writer = TarWriter(stream)
    for entry, data in members:
        writer.add(entry, data)
    writer.finish()
    return stream.getvalue()


@settings(max_examples=EXAMPLES, deadline=2000)
@given(st.lists(entries(), max_size=4))
def test_what_is_written_is_read_back(members):
    archive = write(members)
    assert len(archive) % 512 == 0
    reader = TarReader(io.BytesIO(archive))
    assert [(replace(entry, offset=0), reader.read()) for entry in reader] == members


FLAGS = {
    tarfile.REGTYPE: FILE,
    tarfile.DIRTYPE: DIRECTORY,
    tarfile.SYMTYPE: SYMLINK,
    tarfile.LNKTYPE: HARDLINK,
    tarfile.CHRTYPE: CHAR_DEVICE,
    tarfile.BLKTYPE: BLOCK_DEVICE,
    tarfile.FIFOTYPE: FIFO,
}


@settings(max_examples=EXAMPLES, deadline=2000)
@given(st.lists(entries(), max_size=3))
def test_tarfile_reads_the_same(members):
    stream = io.BytesIO(write(members))
    with tarfile.open(fileobj=stream, errors="surrogateescape") as archive:
        infos = archive.getmembers()
        assert len(infos) == len(members)
        for info, (entry, data) in zip(infos, members, strict=True):
            assert os.fsencode(info.name) == entry.name
            assert FLAGS[info.type] == entry.kind
            assert (info.mode, info.uid, info.gid) == (entry.mode, entry.uid, entry.gid)
            assert info.mtime == pytest.approx(entry.mtime_ns / 10**9, rel=1e-9, abs=1e-9)
            if entry.kind in (CHAR_DEVICE, BLOCK_DEVICE):
                assert (info.devmajor, info.devminor) == (entry.major, entry.minor)
            # tarfile takes a slash off the end of a long link target.
            assert os.fsencode(info.linkname).rstrip(b"/") == entry.link.rstrip(b"/")
            if entry.kind == FILE:
                assert archive.extractfile(info).read() == data


def test_plain_entries_take_one_block():
    for entry in (
        Entry(b"a"),
        Entry(b"d" * 155 + b"/" + b"n" * 100),
        Entry(b"d", DIRECTORY, 0o1777, 0o7777777, 0o7777777, (2**33 - 1) * 10**9),
        Entry(b"l", SYMLINK, link=b"t" * 100),
        Entry(b"f", size=2**33 - 1),
    ):
        assert len(encode(entry)) == 512
    assert encode(Entry(b"", DIRECTORY)).startswith(b"./\0")


def test_large_sizes_are_written_and_understood():
    for size in (2**33 - 1, 2**33, 2**40 + 1, 2**63 - 1):
        header = encode(Entry(b"f", size=size))
        assert next(iter(TarReader(io.BytesIO(header)))).size == size
        with tarfile.open(fileobj=io.BytesIO(header), mode="r|") as archive:
            assert archive.next().size == size


def test_lengths_of_records_count_their_own_digits():
    for length in range(80, 120):
        entry = Entry(b"f", xattrs={b"user.a": b"x" * length})
        assert next(iter(TarReader(io.BytesIO(encode(entry))))).xattrs == entry.xattrs


def test_the_order_of_xattrs_does_not_matter():
    one = Entry(b"f", xattrs={b"user.a": b"1", b"user.b": b"2"})
    other = Entry(b"f", xattrs={b"user.b": b"2", b"user.a": b"1"})
    assert encode(one) == encode(other)


def test_data_may_come_as_a_stream():
    content = os.urandom(700_000)
    assert write([(Entry(b"f", size=len(content)), io.BytesIO(content + b"grown since"))]) == write(
        [(Entry(b"f", size=len(content)), content)]
    )


@pytest.mark.parametrize("data", [b"short", io.BytesIO(b"short"), b"much too long"])
def test_data_of_another_length_than_promised(data):
    with pytest.raises(EngineError, match="'f': its size is 10 bytes") as caught:
        TarWriter(io.BytesIO()).add(Entry(b"f", size=10), data)
    assert caught.value.kind is Kind.CONFLICT


@pytest.mark.parametrize(
    "entry",
    [
        Entry(b"/absolute"),
        Entry(b"a/../b"),
        Entry(b"a/"),
        Entry(b"../a"),
        Entry(b""),
        Entry(b"a\0b"),
        Entry(b"n" * 256),
        Entry(b"f", mode=0o100644),
        Entry(b"f", uid=2**32 - 1),
        Entry(b"f", gid=-1),
        Entry(b"f", size=-1),
        Entry(b"f", link=b"x"),
        Entry(b"d", DIRECTORY, size=4096),
        Entry(b"l", SYMLINK),
        Entry(b"l", HARDLINK, link=b"l"),
        Entry(b"l", HARDLINK, link=b"/x"),
        Entry(b"c", CHAR_DEVICE, major=4096),
        Entry(b"f", xattrs={b"": b""}),
        Entry(b"f", xattrs={b"user.a": bytes(65537)}),
    ],
    ids=repr,
)
def test_nothing_is_written_that_would_not_be_read_back(entry):
    stream = io.BytesIO()
    with pytest.raises(EngineError, match="tar entry") as caught:
        TarWriter(stream).add(entry)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    assert stream.getvalue() == b""


@pytest.mark.peer
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make devices and owners")
@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar as the peer")
def test_gnu_tar_extracts_the_same(tmp_path):
    deep = b"/".join([b"component" * 9] * 4)
    file = Entry(deep, FILE, 0o4711, 70_000_000, 9, mtime_ns=1_600_000_000_000_000_001, size=3)
    members = [
        (Entry(b"", DIRECTORY, 0o750, mtime_ns=10**9), b""),
        (file, b"abc"),
        (Entry(b"old", mtime_ns=-1_500_000_000), b""),
        (Entry(b"symlink", SYMLINK, link=b"x" * 200, uid=3), b""),
        (Entry(b"hard", HARDLINK, link=deep), b""),
        (Entry(b"null", CHAR_DEVICE, 0o666, major=1, minor=3), b""),
        (Entry(b"fifo", FIFO), b""),
    ]
    subprocess.run(["tar", "-xp", "-C", tmp_path], input=write(members), check=True)
    for entry, data in members:
        path = tmp_path / os.fsdecode(entry.name)
        status = path.lstat()
        if entry.kind == HARDLINK:
            assert path.samefile(tmp_path / os.fsdecode(entry.link))
            continue
        assert (status.st_uid, status.st_gid) == (entry.uid, entry.gid)
        if entry.kind == SYMLINK:
            assert os.fsencode(path.readlink()) == entry.link
            continue
        assert status.st_mode & 0o7777 == entry.mode
        if entry.kind == FILE:
            assert path.read_bytes() == data
            assert status.st_mtime_ns == entry.mtime_ns
        if entry.kind == CHAR_DEVICE:
            assert status.st_rdev == os.makedev(1, 3)
