"""The kernel shows a layer file as our reader does, as the extractor unpacks it, as tar does."""

import contextlib
import io
import mmap
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
import trees
from erofslayers import checked_picture, mounted, run_fsck, write_layer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layertars import (
    Member,
    archive,
    device,
    directory,
    fifo,
    file,
    hardlink,
    opaque,
    symlink,
    whiteout,
)

from wherry.errdefs import EngineError
from wherry.layers.erofs import LayerWriter
from wherry.layers.tar import TarReader
from wherry.snapshots.extractor.report import path_of
from wherry.snapshots.extractor.unpack import Unpacker
from wherry.spec.digest import Digest

pytestmark = pytest.mark.root

EXAMPLES = 500 if os.environ.get("WHERRY_SOAK") else 25
CAPABILITY = bytes.fromhex("0100000202000000000000000000000000000000")
ACL = bytes.fromhex("02000000 01000700ffffffff 02000500e8030000 04000500ffffffff 10000500ffffffff"
                    " 20000000ffffffff")  # fmt: skip

RICH = [
    directory("", mode=0o755, mtime=1_234),
    directory("etc", mode=0o755, uid=0, gid=42, mtime=1_600_000_000),
    file("etc/empty", mtime=5),
    file("etc/block", b"b" * 512, mtime=6),
    file("etc/page", os.urandom(4096), mtime=7),
    file("etc/odd", os.urandom(100_001), mode=0o600, uid=70_000, gid=4_000_000_000, mtime=-77),
    file("etc/nano", b"n", pax_headers={"mtime": "1700000000.123456789"}),
    file("etc/early", b"n", pax_headers={"mtime": "-1.25"}),
    file("etc/" + "n" * 251, b"long"),
    file("etc/\udcff\udcfe\x01 \n", b"odd name"),
    file("sbin/su", b"\x7fELF", mode=0o6755, mtime=8),
    file("sbin/ping", b"\x7fELF", mode=0o755, xattrs={"security.capability": CAPABILITY}),
    file("home/acl", b"a", mode=0o750, xattrs={"system.posix_acl_access": ACL}),
    file("home/user", b"u", xattrs={"user.one": b"1" * 3000, "user.two": b"2"}),
    directory("home/dir", mode=0o750, xattrs={"system.posix_acl_default": ACL, "user.d": b"3"}),
    directory("tmp", mode=0o1777, mtime=9),
    symlink("lib", "usr/lib", mtime=10),
    symlink("long", "t" * 4000, uid=3, mtime=11),
    symlink("middle", "t" * 460, mtime=12),
    hardlink("sbin/sudo", "sbin/su"),
    hardlink("lib64", "lib"),
    device("dev/null", 1, 3),
    device("dev/big", 4095, 1_048_575),
    device("dev/sda", 8, 300, tarfile.BLKTYPE),
    hardlink("dev/sdb", "dev/sda"),
    fifo("dev/pipe"),
    file("usr/lib/implied/parents", b"p"),
    *(file(f"many/{number:03}", b"%d" % number, mtime=number) for number in range(400)),
]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    umask, cwd = os.umask(0), os.getcwd()
    before = leaks.descriptors()
    yield
    os.umask(umask)
    os.chdir(cwd)
    assert leaks.descriptors() == before


def unpacked(tar: bytes, target: Path) -> dict[bytes, trees.Picture]:
    """The tree that the extractor makes, with the signs that the overlay driver adds to it."""
    target.mkdir()
    root = os.open(target, os.O_RDONLY)
    unpacker = Unpacker(root, whiteout_devices=True, max_entries=100_000)
    try:
        report = unpacker.unpack(TarReader(io.BytesIO(tar)))
        shown = trees.picture(root)
    finally:
        unpacker._directories.close()  # after an error its process would end
        os.close(root)
    for path in map(path_of, report["whiteouts"]):
        parent = path.rpartition(b"/")[0]
        signs = {**shown[parent].xattrs, "trusted.overlay.origin": b""}
        shown[parent] = shown[parent]._replace(xattrs=signs)
        shown[path] = shown[path]._replace(mtime_ns=0)  # the only time that is the host's
    for path in map(path_of, report["opaque"]):
        signs = {**shown[path].xattrs, "trusted.overlay.opaque": b"y"}
        shown[path] = shown[path]._replace(xattrs=signs)
    return shown


def assert_same(one: dict[bytes, trees.Picture], other: dict[bytes, trees.Picture]) -> None:
    assert sorted(one) == sorted(other)
    for path, picture in one.items():
        assert picture == other[path], path


def nlinks(root: int) -> dict[bytes, int]:
    top = b"/proc/self/fd/%d/" % root
    return {path: os.lstat(top + path).st_nlink for path in trees.picture(root)}


def mounted_picture(layer: Path) -> dict[bytes, trees.Picture]:
    with mounted(layer) as root:
        return trees.picture(root)


# --- the same tree ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_the_kernel_our_reader_and_the_extractor_agree(tmp_path, form):
    members = [*RICH, whiteout("gone/file"), opaque("tmp"), whiteout("home"), whiteout("etc/page")]
    if form == tarfile.GNU_FORMAT:
        members = [each for each in members if not each[0].pax_headers]
    tar = archive(*members, format=form)
    info = write_layer(tar, tmp_path / "layer")
    shown = mounted_picture(tmp_path / "layer")
    assert len(shown) > 400
    assert_same(shown, unpacked(tar, tmp_path / "tree"))
    assert_same(shown, checked_picture(tmp_path / "layer"))
    removed = [one for one in shown.values() if one.content == b"0:0"]
    assert removed
    assert info.inodes == len({one.names or path for path, one in shown.items()}) - len(removed)


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar as the peer")
def test_gnu_tar_makes_the_same_tree(tmp_path):
    # It knows ACLs by its own records only, which no container engine writes.
    members = [each for each in RICH if "posix_acl" not in str(each[0].pax_headers)]
    tar = archive(*members)
    write_layer(tar, tmp_path / "layer")
    (tmp_path / "tree").mkdir()
    options = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpC"]
    subprocess.run(["tar", *options, tmp_path / "tree"], input=tar, umask=0o022, check=True)
    listed = {info.name for info, _ in members}
    with mounted(tmp_path / "layer") as root:
        shown, links = trees.picture(root), nlinks(root)
    tree = os.open(tmp_path / "tree", os.O_RDONLY)
    try:
        expected, expected_links = trees.picture(tree), nlinks(tree)
    finally:
        os.close(tree)
    for path in expected:
        if os.fsdecode(path) not in listed:  # made because a file is in it: its time is today's
            shown[path] = shown[path]._replace(mtime_ns=expected[path].mtime_ns)
    assert_same(shown, expected)
    assert links == expected_links


@pytest.mark.peer
def test_fsck_finds_nothing(tmp_path):
    write_layer(archive(*RICH, whiteout("a"), opaque("b")), tmp_path / "layer")
    run_fsck(tmp_path / "layer")
    write_layer(b"", tmp_path / "layer")
    run_fsck(tmp_path / "layer")


def test_every_name_of_a_large_directory_is_found(tmp_path):
    names = [f"{number * 7919 % 5000:x}{'n' * (number % 90)}" for number in range(5000)]
    write_layer(archive(*(file(f"dir/{name}") for name in names)), tmp_path / "layer")
    with mounted(tmp_path / "layer") as root:
        assert sorted(os.listdir(f"/proc/self/fd/{root}/dir")) == sorted(names)
        for name in names:
            os.stat(f"dir/{name}", dir_fd=root)
        with pytest.raises(FileNotFoundError):
            os.stat("dir/zzz", dir_fd=root)


def test_a_mapped_file_ends_in_zeros(tmp_path):
    tar = bytearray(archive(file("f", b"data"), file("next", b"x")))
    tar[512 + 4 : 1024] = b"?" * 508  # what a writer left in the padding is nobody's business
    write_layer(bytes(tar), tmp_path / "layer")
    with mounted(tmp_path / "layer") as root:
        fd = os.open("f", os.O_RDONLY, dir_fd=root)
        try:
            with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as mapped:
                assert mapped[:] == b"data"
            assert os.read(fd, 1000) == b"data"
        finally:
            os.close(fd)


# --- random layers ------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "a/a", "a/b", "b/a", "a/a/a", "a/a/b", "b/a/b", "c"])


@st.composite
def members(draw: st.DrawFn) -> Member:
    name, number = draw(NAMES), draw(st.integers(0, 7))
    match draw(st.sampled_from("ffffddddlhhpcwo")):
        case "f":
            xattrs = {"user.x": b"%d" % number} if number == 7 else {}
            size = number * 300
            return file(
                name, b"%d" % number * size, mode=0o600 | number, mtime=number, xattrs=xattrs
            )
        case "d":
            return directory(name, mode=0o700 | number, uid=number, mtime=number)
        case "l":
            return symlink(name, "t" * (number * 70 + 1), mtime=number)
        case "h":
            return hardlink(name, draw(NAMES))
        case "p":
            return fifo(name)
        case "c":
            return device(name, 1, number)
        case "w":
            return whiteout(name)
        case _:
            return opaque(name)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(entries=st.lists(members(), max_size=14))
def test_random_layers(tmp_path_factory, entries):
    tar = archive(*entries)
    scratch = tmp_path_factory.mktemp("random")
    expected: dict[bytes, trees.Picture] | None = None
    with contextlib.suppress(EngineError):
        expected = unpacked(tar, scratch / "tree")
    try:
        write_layer(tar, scratch / "layer")
    except EngineError:
        assert expected is None
    else:
        assert expected is not None
        assert_same(mounted_picture(scratch / "layer"), expected)
        assert_same(checked_picture(scratch / "layer"), expected)
    finally:
        shutil.rmtree(scratch)


# --- files with holes -----------------------------------------------------------------------------

PAGES = 4096


def gnu_tar(tmp_path: Path, *options: str) -> bytes:
    command = ["tar", "-C", tmp_path / "files", "--sparse", *options, "-c", "."]
    return subprocess.run(command, check=True, capture_output=True).stdout


def make_sparse(path: Path, size: int, places: list[tuple[int, int]]) -> None:
    with path.open("wb") as out:
        out.truncate(size)
        for offset, length in places:
            os.pwrite(out.fileno(), os.urandom(length), offset)


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar as the peer")
@pytest.mark.parametrize(
    "options",
    [
        ["--format=gnu"],
        ["--format=pax", "--sparse-version=0.0"],
        ["--format=pax", "--sparse-version=0.1"],
        ["--format=pax"],
        ["--format=pax", "--hole-detection=raw"],
    ],
)
def test_files_with_holes(tmp_path, options):
    (tmp_path / "files").mkdir()
    files = [
        ("middle", 10 * PAGES, [(3 * PAGES, 2 * PAGES)]),
        ("many", 3_000_000, [(at, 700) for at in range(0, 2_900_000, 300_000)]),
        ("tail", 1_000_001, [(999_000, 1001)]),
        ("head", 1_000_001, [(0, 5000)]),
        ("hole", 3_000_000, []),
        ("tiny", 100, []),
        ("odd", 123_457, [(60_000, 10_000)]),
    ]
    if "--hole-detection=raw" not in options:  # which reads all of it
        files.append(("large", 5 << 30, [(4 << 30, 9000), (100, 10)]))
    for name, size, places in files:
        make_sparse(tmp_path / "files" / name, size, places)
    tar = gnu_tar(tmp_path, *options)
    write_layer(tar, tmp_path / "layer")
    assert (tmp_path / "layer").stat().st_size < 4_000_000 + len(tar)
    with mounted(tmp_path / "layer") as root:
        for path in (tmp_path / "files").iterdir():
            assert os.stat(path.name, dir_fd=root).st_size == path.stat().st_size
            assert data_of(f"/proc/self/fd/{root}/{path.name}") == data_of(path)
    checked_picture(tmp_path / "layer")


def data_of(path: Path | str) -> dict[int, bytes]:
    """Blocks that are not zeros, by their place; holes are not read."""
    found = {}
    with open(path, "rb") as source:
        fd, end = source.fileno(), os.stat(path).st_size
        at = 0
        while at < end:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                break
            stop = os.lseek(fd, at, os.SEEK_HOLE)
            for block in range(at - at % 512, stop, 512):
                data = os.pread(fd, 512, block)
                if data.strip(b"\0"):
                    found[block] = data
            at = stop
    return found


@pytest.mark.peer
def test_fsck_finds_nothing_in_files_with_holes(tmp_path):
    (tmp_path / "files").mkdir()
    make_sparse(tmp_path / "files" / "one", 1_000_001, [(PAGES, 2 * PAGES), (900_000, 100_001)])
    make_sparse(tmp_path / "files" / "two", 100 * PAGES, [(7, 100)])
    write_layer(gnu_tar(tmp_path), tmp_path / "layer")
    run_fsck(tmp_path / "layer")


def test_a_file_of_2_tib_with_little_in_it(tmp_path, pax, block):
    """As the log of last logins is, on a host where somebody's uid is large."""
    size, at = 2 << 40, (1 << 40) + 292 * 7
    records = {
        b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": b"lastlog",
        b"GNU.sparse.realsize": b"%d" % size,
    }  # fmt: skip
    map_10 = (b"1\n%d\n292\n" % at).ljust(512, b"\0")
    tar = pax(records) + block(b"x", 512 + 292) + map_10 + (b"L" * 292).ljust(512, b"\0")
    write_layer(tar, tmp_path / "layer")
    assert (tmp_path / "layer").stat().st_blocks * 512 < 1 << 21
    with mounted(tmp_path / "layer") as root:
        fd = os.open("lastlog", os.O_RDONLY, dir_fd=root)
        try:
            assert os.fstat(fd).st_size == size
            assert os.pread(fd, 294, at - 1) == b"\0" + b"L" * 292 + b"\0"
            assert os.lseek(fd, 0, os.SEEK_DATA) > 1 << 39
            assert os.pread(fd, 100, size - 50) == bytes(50)
        finally:
            os.close(fd)


def test_a_file_of_more_than_4_gib(tmp_path):
    """Neither its length nor where the next file lies fits into 32 bits."""
    size = (4 << 30) + 5
    if not os.environ.get("WHERRY_SOAK"):
        pytest.skip("writes 4 GiB; set WHERRY_SOAK=1")
    info = tarfile.TarInfo("big")
    info.size = size
    header = info.tobuf(tarfile.GNU_FORMAT)
    last = archive(file("last", b"after 4 GiB"))

    class Stream:
        def __init__(self) -> None:
            self.parts = [header, *[bytes(1 << 20)] * 4096, b"ends\n".ljust(512, b"\0"), last]

        def read(self, count: int, /) -> bytes:
            if not self.parts:
                return b""
            part, self.parts[0] = self.parts[0][:count], self.parts[0][count:]
            if not self.parts[0]:
                self.parts.pop(0)
            return part

    with open(tmp_path / "layer", "w+b") as out:
        writer = LayerWriter(out.fileno())
        writer.copy(Stream())
        writer.finish(Digest.of(b""))
    with mounted(tmp_path / "layer") as root:
        fd = os.open("big", os.O_RDONLY, dir_fd=root)
        try:
            assert os.fstat(fd).st_size == size
            assert os.pread(fd, 100, 4 << 30) == b"ends\n"
        finally:
            os.close(fd)
        assert Path(f"/proc/self/fd/{root}/last").read_bytes() == b"after 4 GiB"
    (tmp_path / "layer").unlink()
