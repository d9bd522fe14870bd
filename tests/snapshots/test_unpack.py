"""The rules by which entries become files, without a child: fast, and close to the error."""

import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import leaks
import pytest
import trees
from layertars import (
    Member,
    archive,
    device,
    directory,
    fifo,
    file,
    hardlink,
    layer,
    opaque,
    symlink,
    whiteout,
)

from wherry.errdefs import EngineError, Kind
from wherry.layers.tar import TarReader
from wherry.snapshots.extractor.report import Report
from wherry.snapshots.extractor.unpack import Unpacker

pytestmark = pytest.mark.root

Unpack = Callable[..., Report]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    umask, cwd = os.umask(0), os.getcwd()
    (tmp_path / "root").mkdir()
    fd = os.open(tmp_path / "root", os.O_RDONLY)
    yield fd
    os.close(fd)
    os.umask(umask)
    os.chdir(cwd)


@pytest.fixture
def unpack(root: int) -> Unpack:
    def unpack(*members: Member, devices: bool = True, max_entries: int = 10_000) -> Report:
        unpacker = Unpacker(root, whiteout_devices=devices, max_entries=max_entries)
        return unpacker.unpack(TarReader(io.BytesIO(archive(*members))))

    return unpack


@pytest.mark.parametrize(
    ("members", "said"),
    [
        pytest.param([file("../evil")], "evil", id="parent-directory"),
        pytest.param([file("a/../../evil")], "evil", id="parent-directory-inside"),
        pytest.param([file("/etc/evil")], "evil", id="absolute"),
        pytest.param([file("x" * 300)], "255", id="long-name"),
        pytest.param(
            [symlink("out", "/tmp"), file("out/evil")], "'out' is not a directory", id="symlink-out"
        ),
        pytest.param(
            [symlink("in", "."), file("in/file")], "'in' is not a directory", id="symlink-inside"
        ),
        pytest.param(
            [symlink("out", "/"), directory("out/tmp")],
            "'out' is not",
            id="directory-below-symlink",
        ),
        pytest.param(
            [symlink("out", "/tmp"), whiteout("out/victim")], "'out' is not", id="whiteout-below"
        ),
        pytest.param(
            [symlink("out", "/"), hardlink("link", "out/etc/shadow")],
            "'out' is not",
            id="hardlink-through-symlink",
        ),
        pytest.param([file("f"), file("f/below")], "'f' is not a directory", id="below-a-file"),
        pytest.param([hardlink("link", "../etc/shadow")], "shadow|link", id="hardlink-out"),
        pytest.param(
            [hardlink("link", "later"), file("later")], "before it", id="hardlink-forward"
        ),
        pytest.param([hardlink("link", "a/b/c")], "before it", id="hardlink-to-nothing"),
        pytest.param(
            [directory("d"), hardlink("link", "d")], "directory", id="hardlink-to-directory"
        ),
        pytest.param([file("f"), hardlink("f", "f")], "itself", id="hardlink-to-itself"),
        pytest.param(
            [file("d/f"), hardlink("d", "d/f")], "before it", id="hardlink-that-removes-its-target"
        ),
        pytest.param([device("c", 0, 0)], "0/0", id="whiteout-device"),
        pytest.param([file(".wh...")], r"\.wh\.\.\.", id="whiteout-of-parent"),
        pytest.param(
            [symlink("l", "t", xattrs={"user.x": b"y"})], "user.x", id="xattr-on-a-symlink"
        ),
        pytest.param([file("f"), opaque("f")], "'f'", id="opaque-file"),
    ],
)
def test_hostile_archives_are_refused_by_name(unpack, root, members, said):
    with pytest.raises(EngineError, match=said) as failure:
        unpack(*members)
    assert failure.value.kind is Kind.INVALID_ARGUMENT


def test_a_layer_has_a_limit_of_entries(unpack):
    with pytest.raises(EngineError, match="100") as failure:
        unpack(*(device(f"bomb{number}", 1, number) for number in range(200)), max_entries=100)
    assert failure.value.kind is Kind.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("members", "kind", "inodes", "size"),
    [
        pytest.param([file("x", b"12"), file("x", b"3")], "-", 2, 1, id="file-file"),
        pytest.param([file("x", b"12"), directory("x")], "d", 2, 0, id="file-directory"),
        pytest.param([file("x", b"12"), symlink("x", "y")], "l", 2, 0, id="file-symlink"),
        pytest.param([symlink("x", "y"), file("x", b"1")], "-", 2, 1, id="symlink-file"),
        pytest.param([symlink("x", "/tmp"), directory("x")], "d", 2, 0, id="symlink-directory"),
        pytest.param([fifo("x"), device("x", 1, 3)], "c", 2, 0, id="fifo-device"),
        pytest.param([file("x/y/z", b"12"), file("x", b"1")], "-", 2, 1, id="tree-file"),
        pytest.param([file("x/y/z", b"12"), fifo("x")], "p", 2, 0, id="tree-fifo"),
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
        pytest.param([file("x/" * 150 + "f"), file("x")], "-", 2, 0, id="deep-tree-file"),
    ],
)
def test_the_last_entry_of_a_name_wins(unpack, root, members, kind, inodes, size):
    report = unpack(*members)
    assert trees.picture(root)[b"x"].kind == kind
    assert (report["inodes"], report["bytes"]) == (inodes, size)


def test_a_directory_that_came_back_has_no_attributes_of_before(unpack, root):
    unpack(directory("x/sub", mode=0o700, mtime=9), file("x"), directory("x"), file("x/sub/file"))
    assert trees.picture(root)[b"x/sub"].mode == 0o755
    assert trees.picture(root)[b"x/sub"].mtime_ns == 0


def test_more_directories_than_are_kept_open(unpack, root):
    unpack(*(file(f"d{number % 97}/f{number}") for number in range(300)))
    assert len(trees.picture(root)) == 1 + 97 + 300


def test_directories_keep_their_times_and_modes(unpack, root):
    unpack(
        directory("locked", mode=0o000, mtime=5),
        file("locked/inside", b"x"),
        directory("sticky", mode=0o3777, gid=99, mtime=6),
        file("sticky/inside"),
        directory("sticky/below"),
    )
    shown = trees.picture(root)
    assert (shown[b"locked"].mode, shown[b"locked"].mtime_ns) == (0, 5_000_000_000)
    assert (shown[b"sticky"].mode, shown[b"sticky"].mtime_ns) == (0o3777, 6_000_000_000)
    assert shown[b"sticky/inside"].owner == (0, 0)
    assert shown[b"sticky/below"].mode == 0o755


def test_attributes_with_a_meaning_for_the_host_are_dropped(unpack, root):
    hostile = {
        "trusted.overlay.opaque": b"y",
        "trusted.overlay.redirect": b"/etc",
        "user.overlay.opaque": b"y",
        "security.selinux": b"system_u:object_r:shadow_t:s0",
        "trusted.any": b"x",
    }
    unpack(directory("d", xattrs=hostile), file("f", xattrs={**hostile, "user.kept": b"1"}))
    shown = trees.picture(root)
    assert shown[b"d"].xattrs == {}
    assert shown[b"f"].xattrs == {"user.kept": b"1"}


def test_what_is_reported_of_whiteouts(unpack, root):
    members = [
        whiteout("b/gone"),
        whiteout("both"),
        directory("both"),
        whiteout("a"),
        file("kept"),
        whiteout("kept"),
        opaque("o"),
        file("p/.wh..wh.plnk/1.2"),
    ]
    report = unpack(*members, devices=False)
    assert report["whiteouts"] == ["a", "b/gone"]
    assert report["opaque"] == ["both", "o"]
    assert set(trees.picture(root)) == {b"", b"b", b"both", b"kept", b"o"}
    assert report["inodes"] == 5


def test_whiteouts_as_devices(unpack, root):
    unpack(whiteout("b/gone"))
    status = os.stat("b/gone", dir_fd=root)
    assert stat.S_ISCHR(status.st_mode)
    assert status.st_rdev == 0


def test_no_descriptor_stays_open(unpack, root):
    before = leaks.descriptors()
    unpack(*(file(f"d{number}/f") for number in range(100)), hardlink("l", "d1/f"))
    assert leaks.descriptors() == before


def test_unpacks_every_format(root):
    for number, form in enumerate((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)):
        _, tar = layer(file(f"dir/{number}", b"data"), format=form)
        os.mkdir(f"{number}", dir_fd=root)
        target = os.open(f"{number}", os.O_RDONLY, dir_fd=root)
        report = Unpacker(target, whiteout_devices=True, max_entries=10).unpack(
            TarReader(io.BytesIO(tar))
        )
        assert report["bytes"] == 4
        os.close(target)
