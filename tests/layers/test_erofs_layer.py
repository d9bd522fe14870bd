"""What a layer file holds, seen by our own reader: needs neither root nor the kernel."""

import io
import os
import struct
import tarfile
from pathlib import Path

import pytest
from erofslayers import checked_picture, opened, picture, write_layer
from layertars import (
    archive,
    device,
    directory,
    fifo,
    file,
    hardlink,
    member,
    opaque,
    symlink,
    whiteout,
)

from wherry.errdefs import EngineError, Kind
from wherry.layers.erofs import Image, LayerWriter, read_info, tar_extent
from wherry.layers.tar import DIRECTORY, Entry, encode
from wherry.spec.digest import Digest

END = bytes(1024)
ALL = archive(
    directory("etc", mode=0o1755, uid=3, gid=4, mtime=1_600_000_000),
    file("etc/hostname", b"wherry\n", mtime=1_500_000_000),
    symlink("bin", "usr/bin"),
    file("usr/bin/sh", b"\x7fELF" * 1000, mode=0o4755),
    hardlink("usr/bin/bash", "usr/bin/sh"),
    device("dev/null", 1, 3),
    device("dev/sda", 8, 1, tarfile.BLKTYPE),
    fifo("run/pipe"),
    whiteout("old/gone"),
    opaque("var"),
)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    return tmp_path / "layer"


@pytest.mark.parametrize(
    "tar", [ALL, ALL + b"anything at all after the end", b"", END], ids=["all", "more", "", "end"]
)
def test_the_tar_is_kept_byte_for_byte(layer, tar):
    info = write_layer(tar, layer)
    with opened(layer) as fd:
        offset, size = tar_extent(fd)
        assert os.pread(fd, size, offset) == tar
        assert read_info(fd) == info
    assert info.diff_id == Digest.of(tar)


def test_the_same_tar_gives_the_same_file(layer):
    write_layer(ALL, layer)
    before = layer.read_bytes()
    write_layer(ALL, layer)
    assert layer.read_bytes() == before


def test_chunks_of_the_stream_do_not_matter(layer):
    write_layer(ALL, layer)
    before = layer.read_bytes()

    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 700))

    with open(layer, "w+b") as out:
        writer = LayerWriter(out.fileno())
        writer.copy(Dripping(ALL))
        writer.finish(Digest.of(ALL))
    assert layer.read_bytes() == before


def test_an_empty_layer(layer):
    for tar in (b"", END):
        info = write_layer(tar, layer)
        assert (info.inodes, info.bytes, info.opaque_root) == (1, 0, False)
        shown = checked_picture(layer)
        assert list(shown) == [b""]
        assert (shown[b""].mode, shown[b""].owner, shown[b""].mtime_ns) == (0o755, (0, 0), 0)


def test_every_kind_of_file(layer):
    info = write_layer(ALL, layer)
    shown = checked_picture(layer)
    assert {name: one.kind for name, one in shown.items()} == {
        b"": "d", b"bin": "l", b"dev": "d", b"dev/null": "c", b"dev/sda": "b", b"etc": "d",
        b"etc/hostname": "-", b"old": "d", b"old/gone": "c", b"run": "d", b"run/pipe": "p",
        b"usr": "d", b"usr/bin": "d", b"usr/bin/bash": "-", b"usr/bin/sh": "-", b"var": "d",
    }  # fmt: skip
    assert shown[b"etc"][1:4] == (0o1755, (3, 4), 1_600_000_000 * 10**9)
    assert shown[b"etc/hostname"].content == b"wherry\n"
    assert shown[b"usr/bin/bash"] == shown[b"usr/bin/sh"]
    assert shown[b"usr/bin/sh"].mode == 0o4755
    assert shown[b"bin"].content == b"usr/bin"
    assert (shown[b"dev/null"].content, shown[b"dev/sda"].content) == (b"1:3", b"8:1")
    assert info.bytes == 7 + 4000
    assert info.inodes == len(shown) - 2  # a hardlink and a whiteout


def test_links_are_counted(layer):
    write_layer(ALL, layer)
    with opened(layer) as fd:
        nlinks = {name: inode.nlink for name, inode in Image(fd).walk()}
    assert (nlinks[b""], nlinks[b"usr"], nlinks[b"etc"]) == (2 + 6, 3, 2)
    assert (nlinks[b"usr/bin/sh"], nlinks[b"bin"]) == (2, 1)


def test_parents_that_are_not_listed(layer):
    write_layer(archive(file("a/b/c", b"x")), layer)
    shown = checked_picture(layer)
    assert shown[b"a"][:4] == shown[b"a/b"][:4] == ("d", 0o755, (0, 0), 0)


# --- limits -----------------------------------------------------------------------------------


def test_times_owners_and_devices_at_their_limits(layer):
    tar = b"".join(
        encode(entry)
        for entry in (
            Entry(b"past", mtime_ns=-1_500_000_001, uid=2**32 - 2, gid=2**31),
            Entry(b"future", mtime_ns=2**62),
            Entry(b"device", "block", major=4095, minor=2**20 - 1),
            Entry(b"dir", DIRECTORY, 0o7777, mtime_ns=-1, uid=65536),
        )
    )
    write_layer(tar, layer)
    shown = checked_picture(layer)
    assert shown[b"past"].mtime_ns == -1_500_000_001
    assert shown[b"past"].owner == (2**32 - 2, 2**31)
    assert shown[b"future"].mtime_ns == 2**62
    assert shown[b"device"].content == b"4095:1048575"
    assert shown[b"dir"][1:4] == (0o7777, (65536, 0), -1)


@pytest.mark.parametrize("length", [1, 60, 447, 448, 449, 512, 1024, 4095])
def test_symlinks_of_any_length(layer, length):
    members = [symlink(f"{number}", "x" * length) for number in range(20)]
    write_layer(archive(*members), layer)
    shown = checked_picture(layer)
    assert {shown[b"%d" % number].content for number in range(20)} == {b"x" * length}


def test_names_at_their_limits(layer):
    names = [
        "n" * 255,
        "deep/" + "d/" * 2000 + "f",
        *(f"{'l' * 240}{number:015}" for number in range(50)),
    ]
    names += [os.fsdecode(bytes([byte])) for byte in range(1, 256) if byte not in b"./"]
    write_layer(archive(*(file(name) for name in names)), layer)
    shown = checked_picture(layer)
    assert {os.fsencode(name) for name in names} <= set(shown)


def test_100_000_files_in_one_directory(layer):
    template = encode(Entry(b"dir/000000", size=0))
    base = sum(template) - sum(template[148:156])

    def header(number: int) -> bytes:
        digits = b"%06d" % number
        total = base - 6 * 0x30 + sum(digits) + 8 * 0x20
        return b"".join((b"dir/", digits, template[10:148], b"%06o\0 " % total, template[156:]))

    assert header(0) == template
    info = write_layer(b"".join(map(header, range(100_000))), layer, max_entries=100_000)
    assert info.inodes == 100_002
    with opened(layer) as fd:
        image = Image(fd)
        found = {name: inode for name, inode in image.walk() if b"/" not in name}
        names = [name for name, _, _ in image.names(found[b"dir"])]
    assert names == [b".", b"..", *(b"%06d" % number for number in range(100_000))]


# --- xattrs -----------------------------------------------------------------------------------

ACL_HEAD = struct.pack("<I", 2)
OWNER, GROUP, OTHER = (1, 6, 2**32 - 1), (4, 4, 2**32 - 1), (0x20, 0, 2**32 - 1)
NAMED, MASK = (2, 7, 1000), (0x10, 5, 2**32 - 1)


def acl(*entries: tuple[int, int, int]) -> bytes:
    return ACL_HEAD + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def pax_file(pax, block, name: bytes, xattrs: dict[bytes, bytes], flag: bytes = b"0") -> bytes:
    records = {b"SCHILY.xattr." + key: value for key, value in xattrs.items()}
    return pax(records) + block(name, flag=flag, mode=b"0000640\0", link=b"to" * (flag == b"2"))


def test_xattrs(layer, pax, block):
    capability = bytes.fromhex("0100000202000000000000000000000000000000")
    kept = {
        b"user.a": b"1",
        b"user.empty": b"",
        b"user." + b"n" * 250: b"long name",
        b"user.long": os.urandom(65535),
        b"security.capability": capability,
        b"system.posix_acl_access": acl(OWNER, NAMED, GROUP, MASK, OTHER),
    }
    dropped = {
        b"trusted.overlay.opaque": b"y",
        b"trusted.overlay.redirect": b"/etc",
        b"user.overlay.opaque": b"y",
        b"security.selinux": b"shadow_t",
        b"system.other": b"x",
    }
    default = {b"system.posix_acl_default": acl(OWNER, GROUP, OTHER), b"user.d": b"2"}
    tar = (
        pax_file(pax, block, b"file", {**dropped, **kept})
        + pax_file(pax, block, b"dir", default | dropped, b"5")
        + pax({b"LIBARCHIVE.xattr.user.p%3D": b"dmFsdWU"})
        + block(b"bsd")
    )
    write_layer(tar + END, layer)
    shown = checked_picture(layer)
    assert {os.fsencode(key): value for key, value in shown[b"file"].xattrs.items()} == kept
    assert shown[b"file"].mode == 0o650  # the mask is the group's part of the mode
    assert {os.fsencode(key): value for key, value in shown[b"dir"].xattrs.items()} == default
    assert shown[b"bsd"].xattrs == {"user.p=": b"value"}


def test_an_acl_that_says_no_more_than_a_mode_becomes_the_mode(layer, pax, block):
    xattrs = {b"system.posix_acl_access": acl((1, 7, 0), (4, 5, 0), (0x20, 1, 0))}
    write_layer(pax_file(pax, block, b"file", xattrs), layer)
    shown = checked_picture(layer)[b"file"]
    assert (shown.mode, shown.xattrs) == (0o751, {})
    write_layer(pax_file(pax, block, b"file", {b"system.posix_acl_access": ACL_HEAD}), layer)
    assert checked_picture(layer)[b"file"].xattrs == {}


@pytest.mark.parametrize(
    ("xattrs", "flag", "said"),
    [
        ({b"system.posix_acl_access": b"\1\0\0\0"}, b"0", "ACL"),
        ({b"system.posix_acl_access": b""}, b"0", "ACL"),
        ({b"system.posix_acl_access": ACL_HEAD + b"odd"}, b"0", "ACL"),
        ({b"system.posix_acl_access": acl(GROUP, OWNER, OTHER)}, b"0", "ACL"),
        ({b"system.posix_acl_access": acl(OWNER, NAMED, GROUP, OTHER)}, b"0", "ACL"),
        ({b"system.posix_acl_access": acl(OWNER, GROUP)}, b"0", "ACL"),
        ({b"system.posix_acl_access": acl(OWNER, (4, 8, 0), OTHER)}, b"0", "ACL"),
        ({b"system.posix_acl_access": acl(OWNER, (2, 1, 2**32 - 1), GROUP, MASK)}, b"0", "ACL"),
        ({b"system.posix_acl_access": acl(OWNER, GROUP, OTHER, OTHER)}, b"0", "ACL"),
        ({b"system.posix_acl_default": acl(OWNER, GROUP, OTHER)}, b"0", "posix_acl_default"),
        ({b"system.posix_acl_access": acl(OWNER, GROUP, OTHER)}, b"2", "posix_acl_access"),
        ({b"security.capability": b"\0\0\0\1" + bytes(8)}, b"0", "capability"),
        ({b"security.capability": b"\0\0\0\2"}, b"0", "capability"),
        ({b"security.capability": b"\2"}, b"0", "capability"),
        ({b"user.a": b"1"}, b"2", "user.a"),
        ({b"user.a": b"1"}, b"6", "user.a"),
        ({b"user.": b"1"}, b"0", "user."),
        ({b"user.a": bytes(65536)}, b"0", "65535"),
        ({b"user.%d" % number: bytes(60_000) for number in range(5)}, b"0", "262"),
        ({b"user.%d" % number: bytes(60_000) for number in range(5)}, b"5", "262"),
    ],
)
def test_xattrs_that_linux_or_the_format_cannot_have(layer, pax, block, xattrs, flag, said):
    with pytest.raises(EngineError, match=said) as failure:
        write_layer(pax_file(pax, block, b"name", xattrs, flag) + END, layer)
    assert failure.value.kind is Kind.INVALID_ARGUMENT
    assert "'name'" in failure.value.message


# --- the rules of layers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "said"),
    [
        pytest.param([file("../evil")], "evil", id="parent-directory"),
        pytest.param([file("/etc/evil")], "evil", id="absolute"),
        pytest.param([file("x" * 300)], "255", id="long-name"),
        pytest.param(
            [symlink("out", "/tmp"), file("out/evil")], "'out' is not a directory", id="symlink-out"
        ),
        pytest.param([symlink("in", "."), directory("in/d")], "'in' is not", id="below-symlink"),
        pytest.param([symlink("out", "/"), whiteout("out/x")], "'out' is not", id="whiteout-below"),
        pytest.param(
            [symlink("out", "/"), hardlink("link", "out/etc/shadow")],
            "'out' is not",
            id="hardlink-through-symlink",
        ),
        pytest.param([file("f"), file("f/below")], "'f' is not a directory", id="below-a-file"),
        pytest.param(
            [file("a/f"), file("a/f/b/c")], "'a/f' is not a directory", id="far-below-a-file"
        ),
        pytest.param([hardlink("link", "../etc/shadow")], "shadow|link", id="hardlink-out"),
        pytest.param(
            [hardlink("link", "later"), file("later")], "before it", id="hardlink-forward"
        ),
        pytest.param([hardlink("link", "a/b/c")], "before it", id="hardlink-to-nothing"),
        pytest.param([whiteout("x"), hardlink("l", ".wh.x")], "before it", id="hardlink-to-mark"),
        pytest.param(
            [directory("d"), hardlink("link", "d")], "directory 'd'", id="hardlink-to-directory"
        ),
        pytest.param([file("f"), hardlink("f", "f")], "itself", id="hardlink-to-itself"),
        pytest.param(
            [file("d/f"), hardlink("d", "d/f")], "before it", id="hardlink-that-removes-its-target"
        ),
        pytest.param([device("c", 0, 0)], "0/0", id="whiteout-device"),
        pytest.param([file(".wh...")], r"\.wh\.\.\.", id="whiteout-of-parent"),
        pytest.param([file("f"), opaque("f")], "'f'", id="opaque-file"),
    ],
)
def test_hostile_archives_are_refused_by_name(layer, members, said):
    with pytest.raises(EngineError, match=said) as failure:
        write_layer(archive(*members), layer)
    assert failure.value.kind is Kind.INVALID_ARGUMENT
    with opened(layer) as fd, pytest.raises(EngineError, match="record"):
        read_info(fd)


@pytest.mark.parametrize(
    ("members", "kind", "inodes", "size"),
    [
        pytest.param([file("x", b"12"), file("x", b"3")], "-", 2, 1, id="file-file"),
        pytest.param([file("x", b"12"), directory("x")], "d", 2, 0, id="file-directory"),
        pytest.param([symlink("x", "y"), file("x", b"1")], "-", 2, 1, id="symlink-file"),
        pytest.param([symlink("x", "/tmp"), directory("x")], "d", 2, 0, id="symlink-directory"),
        pytest.param([fifo("x"), device("x", 1, 3)], "c", 2, 0, id="fifo-device"),
        pytest.param([file("x/y/z", b"12"), file("x", b"1")], "-", 2, 1, id="tree-file"),
        pytest.param([file("x/y/z", b"12"), directory("x")], "d", 4, 2, id="tree-directory"),
        pytest.param(
            [file("x/y", b"12"), file("x"), directory("x"), file("x/y", b"1")],
            "d",
            3,
            1,
            id="tree-file-tree",
        ),
        pytest.param(
            [file("a", b"12"), hardlink("x", "a"), file("x", b"345")], "-", 3, 5, id="link-file"
        ),
        pytest.param([file("a", b"12"), file("x"), hardlink("x", "a")], "-", 2, 2, id="file-link"),
        pytest.param(
            [file("a", b"12"), hardlink("x", "a"), hardlink("x", "a")], "-", 2, 2, id="link-link"
        ),
        pytest.param(
            [file("x", b"12"), hardlink("b", "x"), file("x", b"3")], "-", 3, 3, id="first-name"
        ),
        pytest.param([symlink("a", "t"), hardlink("x", "a")], "l", 2, 0, id="link-to-symlink"),
        pytest.param([device("a", 1, 3), hardlink("x", "a")], "c", 2, 0, id="link-to-device"),
        pytest.param([file("x/" * 150 + "f"), file("x")], "-", 2, 0, id="deep-tree-file"),
        pytest.param([file("x/.wh..wh.plnk/1.2"), directory("x")], "d", 2, 0, id="aufs"),
    ],
)
def test_the_last_entry_of_a_name_wins(layer, members, kind, inodes, size):
    info = write_layer(archive(*members), layer)
    assert checked_picture(layer)[b"x"].kind == kind
    assert (info.inodes, info.bytes) == (inodes, size)


def test_a_directory_that_came_back_has_no_attributes_of_before(layer):
    members = [directory("x/sub", mode=0o700, mtime=9), file("x"), directory("x"), file("x/sub/f")]
    write_layer(archive(*members), layer)
    shown = checked_picture(layer)[b"x/sub"]
    assert (shown.mode, shown.mtime_ns) == (0o755, 0)


def test_more_directories_than_are_kept_at_hand(layer, monkeypatch):
    monkeypatch.setattr("wherry.layers.erofs.tree._AT_HAND", 10)
    write_layer(archive(*(file(f"d{number % 97}/f{number}") for number in range(300))), layer)
    assert len(checked_picture(layer)) == 1 + 97 + 300


def test_whiteouts_in_overlayfss_form(layer):
    members = [
        whiteout("b/gone"), whiteout("both"), directory("both"), whiteout("a"), file("kept"),
        whiteout("kept"), opaque("o"), file("p/.wh..wh.plnk/1.2"), whiteout("new/deep/x"),
    ]  # fmt: skip
    info = write_layer(archive(*members), layer)
    shown = checked_picture(layer)
    gone = {name for name, one in shown.items() if one.kind == "c"}
    assert gone == {b"a", b"b/gone", b"new/deep/x"}
    assert {one.content for one in shown.values() if one.kind == "c"} == {b"0:0"}
    assert {name for name, one in shown.items() if "trusted.overlay.opaque" in one.xattrs} == {
        b"both",
        b"o",
    }
    assert {name for name, one in shown.items() if "trusted.overlay.origin" in one.xattrs} == {
        b"",
        b"b",
        b"new/deep",
    }
    assert info.inodes == len(shown) - 3
    assert not info.opaque_root
    assert write_layer(archive(opaque("")), layer).opaque_root


def test_a_layer_has_limits(layer):
    pipes = [fifo(f"bomb{number}") for number in range(200)]
    with pytest.raises(EngineError, match="100") as failure:
        write_layer(archive(*pipes), layer, max_entries=100)
    assert failure.value.kind is Kind.RESOURCE_EXHAUSTED
    devices = [encode(Entry(b"%d" % number, "char", major=1)) for number in range(10_001)]
    with pytest.raises(EngineError, match="10000 devices") as failure:
        write_layer(b"".join(devices), layer)
    assert failure.value.kind is Kind.RESOURCE_EXHAUSTED


def test_directories_that_nobody_listed_are_counted(layer, monkeypatch):
    monkeypatch.setattr("wherry.layers.erofs.tree._MEMORY", 1 << 20)
    tar = archive(*(file(f"{number}/" + "d/" * 1900 + "f") for number in range(2)))
    with pytest.raises(EngineError, match="take over") as failure:
        write_layer(tar, layer)
    assert failure.value.kind is Kind.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "name", ["d" * 100 + "/.wh.%d", "n" * 200 + "%d", ".wh." + "n" * 200 + "%d"]
)
def test_what_takes_much_memory_for_little_tar_is_counted(layer, monkeypatch, name):
    monkeypatch.setattr("wherry.layers.erofs.tree._MEMORY", 20_000)
    write_layer(archive(*(file(name % number) for number in range(10))), layer)
    with pytest.raises(EngineError, match="take over") as failure:
        write_layer(archive(*(file(name % number) for number in range(400))), layer)
    assert failure.value.kind is Kind.RESOURCE_EXHAUSTED


def test_pieces_of_sparse_files_are_counted(layer, block, pax, monkeypatch):
    monkeypatch.setattr("wherry.layers.erofs.overflow._MAX_COPIES", 1000)
    listed = b",".join(b"%d,1" % (2 * number) for number in range(600))
    records = {b"GNU.sparse.size": b"1200", b"GNU.sparse.map": listed}
    tar = b"".join(pax(records) + block(b"%d" % number, 600) + bytes(1024) for number in range(2))
    with pytest.raises(EngineError, match="1000 pieces") as failure:
        write_layer(tar, layer)
    assert failure.value.kind is Kind.RESOURCE_EXHAUSTED


def test_an_unknown_type_is_refused(layer):
    with pytest.raises(EngineError, match="type"):
        write_layer(archive(member("socket", b"s")), layer)


def test_errors_of_the_stream_pass_through(layer):
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise EngineError(Kind.UNAVAILABLE, "the registry went away")

    with open(layer, "w+b") as out, pytest.raises(EngineError, match="went away"):
        LayerWriter(out.fileno()).copy(Broken())


def test_a_full_disk(layer):
    with open("/dev/full", "r+b") as out, pytest.raises(EngineError) as failure:
        LayerWriter(out.fileno()).copy(io.BytesIO(ALL))
    assert failure.value.kind is Kind.RESOURCE_EXHAUSTED


def test_no_layer_before_the_end(layer):
    with open(layer, "w+b") as out:
        LayerWriter(out.fileno()).copy(io.BytesIO(ALL))
        with pytest.raises(EngineError, match="record"):
            read_info(out.fileno())
        with pytest.raises(EngineError, match="superblock"):
            picture(out.fileno())
