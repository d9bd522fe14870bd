"""Archives that lie, are cut off, or ask for too much: an EngineError, soon, and no memory."""

import gzip
import io
import os
import tarfile
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.errdefs import EngineError, Kind
from wherry.layers.tar import TarReader

EXAMPLES = 20_000 if os.environ.get("WHERRY_SOAK") else 250
END = bytes(1024)
EXBIBYTES_8 = b"\x80" + bytes(3) + b"\x80" + bytes(7)


def refusal(archive: bytes) -> str:
    with pytest.raises(EngineError) as caught:
        consume(archive)
    assert caught.value.kind is Kind.INVALID_ARGUMENT
    return caught.value.message


def consume(archive: bytes) -> None:
    """Read as an extractor does, and never more than a little at a time."""
    reader = TarReader(io.BytesIO(archive))
    for entry in reader:
        assert not entry.name.startswith(b"/")
        assert b".." not in entry.name.split(b"/")
        left = 1 << 20
        while left > 0 and (data := reader.read(1 << 16)):
            left -= len(data)


def consume_or_be_refused(archive: bytes) -> None:
    try:
        consume(archive)
    except EngineError as error:
        refused = error
    else:
        return
    assert refused.kind is Kind.INVALID_ARGUMENT
    assert len(refused.message) < 2000


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"checksum": b"000001\0 "}, "checksum does not match"),
        ({"checksum": b"garbage!"}, "not a tar archive"),
        ({"size": b"-0000000001\0"}, "octal number"),
        ({"size": b"00000000008\0"}, "octal number"),
        ({"size": b"1_0\0".rjust(12)}, "octal number"),
        ({"size": b"\xff" * 12}, "-1 bytes"),
        ({"size": EXBIBYTES_8}, "9223372036854775808 bytes"),
        ({"uid": b"\xff" * 8}, "owner"),
        ({"gid": b"\x80\0\0\0\xff\xff\xff\xff"}, "owner"),
        ({"uid": b"\x80\xff\0\0\0\0\0\0"}, "owner"),
        ({"mtime": b"\x80" + b"\xff" * 11}, "no file system"),
        ({"flag": b"3", "major": b"0010000\0"}, "device"),
        ({"flag": b"4", "minor": b"4000000\0"}, "device"),
        ({"flag": b"V"}, "type"),
        ({"flag": b"M"}, "type"),
        ({"flag": b"2"}, "symlink to nothing"),
        ({"name": b""}, "no name"),
        ({"name": b"."}, "root directory"),
        ({"name": b"d/", "size": 3}, "directory's"),
    ],
)
def test_headers_that_lie(block, wrong, said):
    message = refusal(block(b"before") + block(**wrong) + END)
    assert said in message
    assert "byte 512" in message
    assert "'file'" in message or "name" in wrong


def test_something_else_than_a_tar():
    assert "not a tar archive" in refusal(gzip.compress(b"x" * 9000, mtime=0).ljust(1024, b"\1"))
    assert "inside a header" in refusal(b"#!/bin/sh\n")
    assert "checksum" in refusal(bytes(511) + b"1" + bytes(512))


def test_a_symlink_longer_than_the_kernel_takes(block, pax):
    assert "4095" in refusal(pax({b"linkpath": b"x" * 4096}) + block(flag=b"2") + END)
    assert "NUL" in refusal(pax({b"linkpath": b"x\0y"}) + block(flag=b"2") + END)


class TestPax:
    @pytest.mark.parametrize(
        "body",
        [
            b"no length\n",
            b" 5 a=b\n",
            b"6 a=b\n6 a=",
            b"60 a=b\n",
            b"5 a=b\n",
            b"6 ab=\n0",
            b"0 a=b\n",
            b"3 =\n",
            b"5 ab\n",
            b"-6 a=b\n",
            b"6 a=bc",
            b"99999999999999999999 a=b\n",
            b"\0" * 100,
        ],
    )
    def test_malformed_records(self, block, body):
        header = block(b"pax", len(body), b"x") + body.ljust(512, b"\0")
        assert "PAX header" in refusal(header + block() + END)

    @pytest.mark.parametrize(
        ("record", "said"),
        [
            ({b"size": b"-1"}, "not a number"),
            ({b"size": b"9" * 21}, "not a number"),
            ({b"size": b"9" * 20}, "99999999999999999999 bytes"),
            ({b"uid": b"4294967295"}, "owner"),
            ({b"uid": "²".encode()}, "not a number"),
            ({b"gid": b"1_0"}, "not a number"),
            ({b"mtime": b"1e9"}, "not a number"),
            ({b"mtime": b"1.-5"}, "not a number"),
            ({b"mtime": b"9223372036854775808"}, "no file system"),
            ({b"SCHILY.xattr.": b"x"}, "xattr"),
            ({b"SCHILY.xattr.user." + b"n" * 251: b"x"}, "xattr"),
            ({b"SCHILY.xattr.user.a": b"x" * 65537}, "65536"),
            ({b"LIBARCHIVE.xattr.user.a": b"A"}, "base64"),
            ({b"LIBARCHIVE.xattr.user.%zz": b"AAAA"}, "encoded"),
            ({b"GNU.sparse.major": b"2", b"GNU.sparse.minor": b"0"}, "not known"),
        ],
    )
    def test_values_that_no_file_has(self, block, pax, record, said):
        assert said in refusal(pax(record) + block() + END)

    def test_names_of_xattrs_beyond_what_the_kernel_lists(self, block, pax):
        records = {b"SCHILY.xattr.user.%0200d" % number: b"" for number in range(400)}
        assert "names of its xattrs" in refusal(pax(records) + block() + END)

    def test_alone_at_the_end(self, block, pax):
        assert "extended header" in refusal(pax({b"path": b"x"}) + END)
        assert "extended header" in refusal(pax({b"path": b"x"}))


class TestBombs:
    def test_a_size_of_8_eib_less_one_takes_no_memory(self, block):
        archive = block(size=b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7) + bytes(4096)
        tracemalloc.start()
        try:
            assert "ends inside it" in refusal(archive)
            assert tracemalloc.get_traced_memory()[1] < 1 << 21
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("flag", [b"x", b"g", b"L", b"K"])
    def test_extended_headers_of_8_gib(self, block, flag):
        archive = block(b"evil", b"77777777777\0", flag) + bytes(4096)
        assert "1048576" in refusal(archive)

    def test_extended_headers_without_an_end(self, block, pax):
        assert "1048576" in refusal(pax({b"path": b"x" * 3000}) * 400 + block() + END)

    def test_global_headers_that_grow(self, block, pax):
        archive = b"".join(
            pax({b"SCHILY.xattr.user.%d" % number: b"x" * 2000}, b"g") + block(b"%d" % number)
            for number in range(40)
        )
        assert "global headers" in refusal(archive + END)

    def test_a_global_header_is_no_work_for_millions_of_entries(self, block, pax):
        records = {b"SCHILY.xattr.trusted.%d" % number: b"" for number in range(200)}
        assert "global headers" in refusal(pax(records, b"g") + block(b"a") + END)

    def test_a_sparse_file_of_8_eib_is_read_as_it_is_asked_for(self, block, pax):
        records = {b"GNU.sparse.size": b"%d" % (2**63 - 1), b"GNU.sparse.map": b""}
        reader = TarReader(io.BytesIO(pax(records) + block() + END))
        entry = next(iter(reader))
        assert (entry.size, entry.sparse) == (2**63 - 1, [])
        assert reader.read(100_000) == bytes(100_000)


@pytest.fixture(scope="module")
def varied(block, pax) -> bytes:
    """An archive in which every kind of header occurs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, size in [
            ("dir", tarfile.DIRTYPE, 0),
            ("dir/" + "n" * 200, tarfile.REGTYPE, 700),
            ("link", tarfile.SYMTYPE, 0),
            ("hard", tarfile.LNKTYPE, 0),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, size, "dir/target" * 12
            archive.addfile(info, io.BytesIO(b"x" * size))
    members = buffer.getvalue()[: archive.offset - 1024]
    sparse = pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": b"s",
                  b"GNU.sparse.realsize": b"9000"})  # fmt: skip
    return (
        pax({b"comment": b"global", b"uid": b"3"}, b"g")
        + members
        + pax({b"path": b"p" * 120, b"mtime": b"1.5", b"SCHILY.xattr.user.a": b"b"})
        + block(size=10)
        + bytes(512)[:10].ljust(512, b"y")
        + sparse
        + block(size=1024)
        + b"1\n5000\n512\n".ljust(512, b"\0")
        + b"d" * 512
        + END
    )


def test_truncated_at_every_block(varied):
    """Where a member ends the archive may end too; everywhere else it is cut off."""
    reader = TarReader(io.BytesIO(varied))
    ends = {0}
    for entry in reader:
        stored = sum(n for _, n in entry.sparse) if entry.sparse else entry.size
        ends.add(entry.offset + stored + -stored % 512)
    members = len(ends) - 1
    assert members == 6
    ends |= {len(varied) - 512, 1024}  # amid the end; after the global header
    for cut in range(0, len(varied), 512):
        if cut in ends:
            consume(varied[:cut])
        else:
            assert "ends" in refusal(varied[:cut])
    for cut in range(1, len(varied) - 1024, 509):
        if cut % 512:
            assert "ends inside" in refusal(varied[:cut])


@settings(max_examples=EXAMPLES, deadline=2000)
@given(data=st.data())
def test_mutated_archives_give_entries_or_an_engine_error(varied, data):
    archive = bytearray(varied)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(archive) - 1))
        match data.draw(st.sampled_from(["flip", "digits", "cut", "double"])):
            case "flip":
                archive[at] = data.draw(st.integers(0, 255))
            case "digits":
                archive[at : at + 4] = data.draw(
                    st.sampled_from([b"9999", b"-000", b"\xff\xff\xff\xff", b"=\n 1"])
                )
            case "cut":
                del archive[at : at + data.draw(st.sampled_from([1, 512, 1024]))]
            case "double":
                block = at - at % 512
                archive[block:block] = archive[block : block + 512]
        if not archive:
            break
    # Mended checksums, so that what lies behind them is tried as well.
    for start in range(0, len(archive) - 511, 512):
        block = archive[start : start + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            archive[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    consume_or_be_refused(bytes(archive))


@settings(max_examples=EXAMPLES, deadline=2000)
@given(
    st.binary(min_size=512, max_size=512),
    st.binary(max_size=600),
    st.sampled_from(b"0123456789xgLKS\0"),
)
def test_random_headers_with_a_right_checksum(block, rest, flag):
    header = bytearray(block)
    header[148:156] = b" " * 8
    header[156] = flag
    header[148:156] = b"%06o\0 " % sum(header)
    consume_or_be_refused(bytes(header) + rest)
