"""What the reader makes of archives as other tools write them."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from wherry.errdefs import EngineError, Kind
from wherry.layers.tar import (
    BLOCK_DEVICE,
    CHAR_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    FileSource,
    TarReader,
    read_tar,
)

END = bytes(1024)


class Trickle:
    """A stream that cannot seek and gives little at a time, as a pipe does."""

    def __init__(self, data: bytes, step: int) -> None:
        self._stream = io.BytesIO(data)
        self._step = step

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, self._step))


def archive_of(members, form) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def info(name, **attributes) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(made, key, value)
    return made


MEMBERS = [
    (info("./", type=tarfile.DIRTYPE, mode=0o755), b""),
    (info("usr/", type=tarfile.DIRTYPE, mode=0o1777, uid=7, gid=8, mtime=1_700_000_000), b""),
    (info("usr/file", mode=0o4755), b"content" * 1000),
    (info("usr/empty"), b""),
    (info("usr/link", type=tarfile.SYMTYPE, linkname="../../etc/passwd"), b""),
    (info("usr/hard", type=tarfile.LNKTYPE, linkname="./usr/file"), b""),
    (info("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), b""),
    (info("disk", type=tarfile.BLKTYPE, devmajor=259, devminor=70000), b""),
    (info("fifo", type=tarfile.FIFOTYPE), b""),
    (info("contiguous", type=tarfile.CONTTYPE), b"as one"),
]
LONG = [
    (info("d" * 90 + "/" + "n" * 99), b"split between prefix and name"),
    (info("/".join(["component" * 20] * 5)), b"longer than ustar can"),
    (info("s", type=tarfile.SYMTYPE, linkname="target/" * 50), b""),
]


@pytest.mark.parametrize("step", [1 << 20, 700, 512, 13])
@pytest.mark.parametrize(
    "form",
    [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT],
    ids=["ustar", "gnu", "pax"],
)
def test_every_format_says_the_same(form, step):
    members = MEMBERS + (LONG[:1] if form == tarfile.USTAR_FORMAT else LONG)
    archive = archive_of(members, form)
    got = [(entry, data.read()) for entry, data in read_tar(Trickle(archive, step))]
    assert [entry.name.decode() for entry, _ in got] == [
        os.path.normpath(info.name).replace(".", "", info.name == "./") for info, _ in members
    ]
    assert [data for _, data in got] == [data for _, data in members]
    kinds = [DIRECTORY, DIRECTORY, FILE, FILE, SYMLINK, HARDLINK, CHAR_DEVICE, BLOCK_DEVICE, FIFO]
    assert [entry.kind for entry, _ in got[:10]] == [*kinds, FILE]
    by_name = {entry.name: entry for entry, _ in got}
    usr = by_name[b"usr"]
    assert (usr.mode, usr.uid, usr.gid, usr.mtime_ns) == (0o1777, 7, 8, 1_700_000_000 * 10**9)
    assert by_name[b"usr/file"].mode == 0o4755
    assert by_name[b"usr/file"].size == 7000
    assert by_name[b"usr/link"].link == b"../../etc/passwd"
    assert by_name[b"usr/hard"].link == b"usr/file"
    assert (by_name[b"null"].major, by_name[b"null"].minor) == (1, 3)
    assert (by_name[b"disk"].major, by_name[b"disk"].minor) == (259, 70000)


def test_the_offset_is_where_the_data_lies():
    archive = archive_of(MEMBERS + LONG, tarfile.PAX_FORMAT)
    for entry, data in read_tar(io.BytesIO(archive)):
        content = data.read()
        assert archive[entry.offset : entry.offset + entry.size] == content


def test_numbers_that_octal_cannot_hold():
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        archive = archive_of([(info("f", uid=2**32 - 2, gid=2**31, mtime=-5), b"")], form)
        [(entry, _)] = read_tar(io.BytesIO(archive))
        assert (entry.uid, entry.gid, entry.mtime_ns) == (2**32 - 2, 2**31, -5 * 10**9)


def test_blank_and_padded_numbers(block, read):
    archive = block(mode=b"   644 \0", uid=b"\0" * 8, gid=b"      7\0", mtime=b"14524770021 ")
    [(entry, _)] = read(archive + END)
    assert (entry.mode, entry.uid, entry.gid) == (0o644, 0, 7)
    assert entry.mtime_ns == 0o14524770021 * 10**9
    [(entry, _)] = read(block(mode=b"0100644\0") + END)
    assert entry.mode == 0o644  # some write the file's type along


def test_signed_checksums_of_old_programs(block, read):
    name = b"h\xe4user"
    right = sum(block(name, checksum=b" " * 8))
    signed = right - 256
    [(entry, _)] = read(block(name, checksum=b"%06o\0 " % signed) + END)
    assert entry.name == name


def test_directories_from_before_ustar_end_in_a_slash(block, read):
    [(entry, _)] = read(block(b"old/", flag=b"\0", magic=bytes(8)) + END)
    assert (entry.name, entry.kind) == (b"old", DIRECTORY)


def test_gnu_header_has_no_prefix(block, read):
    # Where ustar has the prefix, GNU tar's own form has access times.
    [(entry, _)] = read(block(magic=b"ustar  \0", prefix=b"13720577371\0") + END)
    assert entry.name == b"file"


def test_header_only_kinds_have_no_data_whatever_their_size(block, read):
    archive = b"".join(
        block(b"e%d" % number, 4096, flag, link=b"x")
        for number, flag in enumerate([b"1", b"2", b"3", b"4", b"5", b"6"])
    )
    assert [entry.size for entry, _ in read(archive + END)] == [0] * 6


class TestPax:
    def test_records_replace_fields(self, block, pax, read):
        records = {
            b"path": b"dir/./real//name",
            b"uid": b"4294967294",
            b"gid": b"9",
            b"size": b"3",
            b"mtime": b"1700000000.123456789987",
            b"comment": b"to nobody",
        }
        [(entry, data)] = read(pax(records) + block(size=0) + b"abc".ljust(512, b"\0") + END)
        assert entry.name == b"dir/real/name"
        assert (entry.uid, entry.gid, entry.size, data) == (4294967294, 9, 3, b"abc")
        assert entry.mtime_ns == 1700000000123456789

    @pytest.mark.parametrize(
        ("text", "nanoseconds"),
        [
            (b"0", 0),
            (b"12.", 12 * 10**9),
            (b"12.5", 12_500_000_000),
            (b"-1.5", -1_500_000_000),
            (b"-0.000000001", -1),
            (b"9223372036854775807", (2**63 - 1) * 10**9),
        ],
    )
    def test_times(self, block, pax, read, text, nanoseconds):
        [(entry, _)] = read(pax({b"mtime": text}) + block() + END)
        assert entry.mtime_ns == nanoseconds

    def test_global_header_holds_until_it_is_replaced(self, block, pax, read):
        archive = (
            pax({b"uid": b"5", b"comment": b"of git archive"}, b"g")
            + block(b"a")
            + pax({b"uid": b"6"})
            + block(b"b")
            + pax({b"uid": b""})
            + block(b"c", uid=b"0000007\0")
            + block(b"d")
        )
        assert [entry.uid for entry, _ in read(archive + END)] == [5, 6, 7, 5]

    def test_global_header_alone(self, pax, read):
        assert read(pax({b"comment": b"0123"}, b"g") + END) == []

    def test_xattrs_of_star_and_of_libarchive(self, block, pax, read):
        records = {
            b"SCHILY.xattr.security.capability": b"\1\0\0\2\0\n=\xff",
            b"SCHILY.xattr.user.empty": b"",
            b"LIBARCHIVE.xattr.user.a%20b%3D": b"AP8",
            b"LIBARCHIVE.xattr.security.capability": b"AAAA",
        }
        [(entry, _)] = read(pax(records) + block() + END)
        assert entry.xattrs == {
            b"security.capability": b"\1\0\0\2\0\n=\xff",
            b"user.empty": b"",
            b"user.a b=": b"\0\xff",
        }
        [(entry, _)] = read(block() + END)
        assert entry.xattrs == {}

    def test_pax_path_goes_before_gnu_long_name(self, block, pax, read):
        long = block(b"././@LongLink", 8, b"L") + b"gnu-name".ljust(512, b"\0")
        assert read(long + pax({b"path": b"pax"}) + block() + END)[0][0].name == b"pax"
        assert read(pax({b"path": b"pax"}) + long + block() + END)[0][0].name == b"pax"
        assert read(long + block() + END)[0][0].name == b"gnu-name"


class TestNames:
    @pytest.mark.parametrize(
        ("raw", "name"),
        [
            (b"a", b"a"),
            (b"./a/b/", b"a/b"),
            (b"a//b/.//c", b"a/b/c"),
            (b"a/../b", b"b"),
            (b".hidden/.x", b".hidden/.x"),
            (b"..a/b..", b"..a/b.."),
            (b"a/...", b"a/..."),
            (b"\xff\xfe", b"\xff\xfe"),
            (b"c" * 255, b"c" * 255),
        ],
    )
    def test_normal_form(self, block, pax, read, raw, name):
        flag = b"5" if raw.endswith(b"/") else b"0"
        assert read(pax({b"path": raw}) + block(flag=flag) + END)[0][0].name == name
        link = read(pax({b"linkpath": raw}) + block(b"link", flag=b"1") + END)[0][0].link
        assert link == name

    @pytest.mark.parametrize("raw", [b".", b"./", b"/", b".//.", b"a/.."])
    def test_the_root_itself(self, block, read, raw):
        [(entry, _)] = read(block(raw, flag=b"5") + END)
        assert (entry.name, entry.kind) == (b"", DIRECTORY)

    @pytest.mark.parametrize(
        ("raw", "said"),
        [
            (b"../etc/passwd", "leads out of"),
            (b"a/../../b", "leads out of"),
            (b"a/b/../../..", "leads out of"),
            (b"/etc/passwd", "absolute"),
            (b"//x", "absolute"),
            (b"a\0b", "NUL"),
            (b"a/" + b"c" * 256, "component"),
            (b"d/" * 2047 + b"xy", "4095"),
        ],
    )
    def test_what_is_refused(self, block, pax, read, raw, said):
        prefix = block(b"before")
        with pytest.raises(EngineError, match=said) as caught:
            read(prefix + pax({b"path": raw}) + block() + END)
        assert caught.value.kind is Kind.INVALID_ARGUMENT
        assert "at byte 512" in caught.value.message
        assert len(caught.value.message) < 500

    def test_the_longest_that_the_kernel_takes(self, block, pax, read):
        longest = b"d/" * 2047 + b"x"  # PATH_MAX counts the NUL too
        assert len(longest) == 4095
        for key, flag in ((b"path", b"0"), (b"linkpath", b"1"), (b"linkpath", b"2")):
            [(entry, _)] = read(pax({key: longest}) + block(flag=flag, link=b"there") + END)
            assert longest in (entry.name, entry.link)
            with pytest.raises(EngineError, match="over 4095 bytes"):
                read(pax({key: longest + b"y"}) + block(flag=flag, link=b"there") + END)

    def test_a_hardlink_stays_inside(self, block, read):
        # An absolute target is meant from the archive's own root (kaniko writes that).
        [(entry, _)] = read(block(b"a", flag=b"1", link=b"/usr/bin/b") + END)
        assert entry.link == b"usr/bin/b"
        for link in (b"../x", b"a/../../x", b"", b"/..", b"./a"):
            with pytest.raises(EngineError, match=r"hardlink|leads out"):
                read(block(b"a", flag=b"1", link=link) + END)

    def test_symlinks_are_text(self, block, read):
        for link in (b"/etc/passwd", b"../../..", b"a//b/"):
            assert read(block(b"a", flag=b"2", link=link) + END)[0][0].link == link


class TestEnd:
    def test_without_an_end_where_a_member_ends(self, block, read):
        assert len(read(block() + block(b"b"))) == 2
        assert read(b"") == []

    def test_the_stream_is_read_to_its_end(self, block):
        stream = io.BytesIO(block() + END + bytes(9216) + b"junk")
        assert len(list(TarReader(stream))) == 1
        assert stream.read() == b""

    def test_one_block_of_zeros_amid_an_archive(self, block, read):
        with pytest.raises(EngineError, match="zeros"):
            read(block() + bytes(512) + block(b"hidden") + END)


def test_data_that_is_not_read_is_skipped(tmp_path):
    archive = archive_of(
        [
            (info("big"), os.urandom(3_000_000)),
            (info("small"), b"x"),
            (info("big2"), bytes(700_000)),
        ],
        tarfile.PAX_FORMAT,
    )
    names = [b"big", b"small", b"big2"]
    assert [entry.name for entry in TarReader(io.BytesIO(archive))] == names
    path = tmp_path / "archive"
    path.write_bytes(b"elsewhere" + archive)
    with path.open("rb") as file:
        file.seek(9)
        reader = TarReader(FileSource(file))
        assert [entry.name for entry in reader] == names
        assert reader.position == len(archive)
    path.write_bytes(archive[:-200_000])
    with path.open("rb") as file, pytest.raises(EngineError, match=r"'big2'.*ends inside"):
        list(TarReader(FileSource(file)))


def test_reading_by_pieces_and_copying(tmp_path):
    content = os.urandom(700_001)
    archive = archive_of([(info("f"), content), (info("g"), b"next")], tarfile.GNU_FORMAT)
    reader = TarReader(Trickle(archive, 65536))
    entries = iter(reader)
    next(entries)
    assert reader.read(0) == b""
    assert reader.read(1000) == content[:1000]
    with (tmp_path / "copy").open("wb") as file:
        reader.copy_to(file.fileno())
    assert (tmp_path / "copy").read_bytes() == content[1000:]
    assert reader.read() == b""
    next(entries)
    assert reader.read(9) == b"next"


def test_a_full_disk_is_said_with_the_entry_name():
    reader = TarReader(io.BytesIO(archive_of([(info("some/file"), b"x")], tarfile.GNU_FORMAT)))
    next(iter(reader))
    with open("/dev/full", "wb", buffering=0) as full:
        with pytest.raises(EngineError, match="some/file") as caught:
            reader.copy_to(full.fileno())
        assert caught.value.kind is Kind.RESOURCE_EXHAUSTED


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar as the peer")
@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax", "posix", "ustar", "v7"])
def test_what_gnu_tar_writes(tmp_path: Path, form):
    tree = tmp_path / "tree"
    (tree / "dir").mkdir(parents=True)
    (tree / "dir" / "file").write_bytes(os.urandom(5000))
    (tree / "dir" / "symlink").symlink_to("file")
    os.link(tree / "dir" / "file", tree / "hard")
    os.utime(tree / "dir" / "file", ns=(5, 1_600_000_000_123_456_789))
    if form not in ("ustar", "v7"):
        (tree / ("n" * 200)).write_bytes(b"long")
        (tree / "far").symlink_to("t/" * 100)
    archive = subprocess.run(
        ["tar", "-C", tree, f"--format={form}", "-c", "."], check=True, capture_output=True
    ).stdout
    seen = set()
    for entry, data in read_tar(io.BytesIO(archive)):
        path = tree / os.fsdecode(entry.name)
        seen.add(path)
        status = path.lstat()
        assert entry.uid == status.st_uid
        unit = 1 if form in ("pax", "posix") else 10**9
        assert entry.mtime_ns // unit == status.st_mtime_ns // unit
        if entry.kind == SYMLINK:
            assert os.readlink(os.fsencode(path)) == entry.link
        else:
            assert entry.mode == status.st_mode & 0o7777
        if entry.kind == FILE:
            assert data.read() == path.read_bytes()
        if entry.kind == HARDLINK:
            assert (tree / os.fsdecode(entry.link)).samefile(path)
    assert seen == {tree, *tree.rglob("*")}
