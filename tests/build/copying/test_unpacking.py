"""Archives that ADD unpacks."""

import bz2
import gzip
import lzma
import tarfile
from pathlib import Path

import pytest
from copies import contents, entries, picture, plan, whole
from layertars import Member, archive, device, directory, fifo, file, hardlink, symlink, whiteout
from memorytrees import MemoryTree

from wherry.errdefs import EngineError, Kind
from wherry.layers.files import FileTree, Node

OWNED = {"uid": 11, "gid": 12, "mtime": 1000}
MEMBERS = [
    directory("./", mode=0o700),
    file("./top", b"T", mode=0o640, **OWNED),
    directory("d", mode=0o700, **OWNED),
    file("d/f", b"F", **OWNED),
    file("np/f", b"N", **OWNED),
    symlink("l", "d", **OWNED),
    hardlink("hl", "top"),
    fifo("pipe"),
    device("null", 1, 3),
]


def add(*members: Member, upon: FileTree | None = None, **options: object) -> dict[str, bytes]:
    return contents(made(*members, upon=upon, **options))


def made(*members: Member, upon: FileTree | None = None, **options: object):
    source = MemoryTree({"a.tar": archive(*members)})
    upon = upon or MemoryTree({})
    return plan(source, "a.tar", **{"to": "/x/", "upon": upon, "unpack": True, **options})


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=lambda call: call.__name__
)
def test_archives_are_known_by_what_they_hold(compress) -> None:
    source = MemoryTree({"no.suffix": compress(archive(*MEMBERS))})
    found = entries(plan(source, "no.suffix", to="/x/", upon=MemoryTree({}), unpack=True))
    assert list(found) == [
        "x", "x/top", "x/d", "x/d/f", "x/np", "x/np/f", "x/l", "x/hl", "x/pipe", "x/null"
    ]  # fmt: skip
    assert (found["x"].mode, found["x"].uid) == (0o755, 0)
    assert (found["x/np"].mode, found["x/np"].uid) == (0o755, 0)
    assert (found["x/d"].mode, found["x/d"].uid, found["x/d"].gid) == (0o700, 11, 12)
    assert (found["x/top"].mode, found["x/top"].mtime_ns) == (0o640, 1000 * 10**9)
    assert (found["x/hl"].kind, found["x/hl"].link) == ("hardlink", b"x/top")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        bytes(10240),
        gzip.compress(b"text", mtime=0),
        b"\x1f\x8b\x08cut",
        b"PK",
    ],
)
def test_what_is_no_archive_is_copied(content: bytes) -> None:
    source = MemoryTree({"a.tar": content})
    copied = plan(source, "a.tar", to="/x/", upon=MemoryTree({}), unpack=True)
    assert contents(copied) == {"x/a.tar": content}


def test_unpacking_is_only_done_where_it_is_wanted() -> None:
    assert list(contents(made(*MEMBERS, unpack=False))) == ["x/a.tar"]


def test_owners_are_the_archives_if_none_is_given() -> None:
    found = entries(made(*MEMBERS, uid=1, gid=2, chmod="777"))
    assert {(entry.uid, entry.gid) for name, entry in found.items() if name != "x/np"} == {(1, 2)}
    assert found["x/top"].mode == 0o640  # --chmod is not for archives


def test_the_digest_is_of_the_archive_and_whose_its_files_become() -> None:
    digests = {
        made(*MEMBERS).digest,
        made(*MEMBERS[1:]).digest,
        made(*MEMBERS, uid=0, gid=0).digest,
        made(*MEMBERS, unpack=False).digest,
    }
    assert len(digests) == 4
    assert made(*MEMBERS).digest == made(*MEMBERS, upon=MemoryTree({"x/d": b"file"})).digest


# --- upon something -------------------------------------------------------------------------------


def target() -> MemoryTree:
    return MemoryTree(
        {
            "etc/f": b"old",
            "x": Node("dir", 0o711, 3, 3),
            "x/l": Node("symlink", 0o777, link=b"real"),
            "x/real/kept": b"kept",
            "x/abs": Node("symlink", 0o777, link=b"/etc"),
            "x/out": Node("symlink", 0o777, link=b"../../../etc"),
            "x/dir/inside": b"inside",
            "x/old": b"old",
        }
    )


def test_symlinks_of_the_target_stay_inside_the_destination() -> None:
    found = add(file("l/q", b"1"), file("abs/q", b"2"), file("out/z", b"3"), upon=target())
    assert found == {"x/real/q": b"1", "x/etc/q": b"2", "x/etc/z": b"3"}


def test_symlinks_of_the_archive_stay_inside_the_destination() -> None:
    found = add(symlink("s", "/etc"), file("s/q", b"1"), symlink("t", "../.."), file("t/r", b"2"))
    assert found == {"x/etc/q": b"1", "x/r": b"2"}


def test_directories_merge_and_all_else_is_replaced(tmp_path: Path) -> None:
    merged = made(
        directory("dir", mode=0o700), file("dir/new", b"n"), file("old", b"new"), symlink("l", "z"),
        upon=target(),
    )  # fmt: skip
    found = entries(merged)
    assert (found["x"].mode, found["x"].uid) == (0o711, 3)
    assert found["x/dir"].mode == 0o700
    assert found["x/l"].link == b"z"


def test_a_directory_that_was_replaced_on_the_way_hides_what_it_had() -> None:
    again = made(file("dir", b""), directory("dir"), file("dir/new", b"n"), upon=target())
    assert b"x/dir/.wh..wh..opq" in whole(again)
    fresh = made(file("y", b""), directory("y"), file("y/new", b"n"), upon=target())
    assert b".wh." not in whole(fresh)


def test_a_directory_that_is_replaced_twice_hides_nothing(tmp_path: Path) -> None:
    twice = MemoryTree({"a.tar": archive(file("e", b"1"), directory("e"), file("e", b"2"))})
    copied = plan(twice, "a.tar", upon=MemoryTree({"e/f": b""}), unpack=True)
    assert picture(copied, tmp_path)[b"e"].content == b"2"


def test_a_replaced_directory_is_a_directory_again(tmp_path: Path) -> None:
    members = [
        *(directory("d"), file("d/f", b"1"), symlink("d", "e"), directory("e")),
        *(file("d/g", b"2"), file("d", b"3")),
    ]
    seen = picture(made(*members), tmp_path)
    assert sorted(seen) == [b"", b"x", b"x/d", b"x/e", b"x/e/g"]
    assert seen[b"x/d"].content == b"3"


def test_a_hardlink_may_be_to_a_file_of_the_target() -> None:
    linked = made(hardlink("l/again", "old"), upon=target())
    found = entries(linked)
    assert list(found) == ["x", "x/real", "x/old", "x/real/again"]
    assert found["x/real/again"].link == b"x/old"
    assert contents(linked) == {"x/old": b"old"}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([file("../evil", b"")], "leads out of the archive's root"),
        ([file("a/../../evil", b"")], "leads out of the archive's root"),
        ([file("old/below", b"")], "mkdir /x/old: not a directory"),
        ([hardlink("h", "nothing")], "it is a hardlink to 'nothing', which is not there"),
        ([hardlink("h", "dir")], "which is a directory"),
        ([hardlink("h", "abs/f")], "which is not there"),
        ([file("n/o/p"), hardlink("n", "n/o/p")], "which it would replace"),
        ([hardlink("dir", "dir/inside")], "which it would replace"),
        ([whiteout("gone")], "cannot be copied: in a layer, a name that begins with '.wh.'"),
        ([symlink("a", "b"), symlink("b", "a"), file("a/f", b"")], "symlinks on its way"),
    ],
)
def test_hostile_archives_are_refused(members: list[Member], said: str) -> None:
    with pytest.raises(EngineError) as caught:
        whole(made(*members, upon=target()))
    assert said in caught.value.message
    assert caught.value.message.startswith("unpacking 'a.tar': ")
    assert caught.value.kind is Kind.INVALID_ARGUMENT


def test_an_archive_that_is_cut_off_is_refused() -> None:
    cut = MemoryTree({"a.tgz": gzip.compress(archive(file("f", b"x" * 100_000)), mtime=0)[:-9]})
    with pytest.raises(EngineError, match=r"unpacking 'a\.tgz'"):
        whole(plan(cut, "a.tgz", to="/x/", upon=MemoryTree({}), unpack=True))


def test_an_archive_onto_a_file_is_refused() -> None:
    with pytest.raises(EngineError, match="mkdir /etc/f: not a directory"):
        whole(made(*MEMBERS, to="/etc/f", upon=target()))


def test_archives_of_old_formats_are_unpacked() -> None:
    for form in (tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        source = MemoryTree({"a": archive(file("f", b"1"), format=form)})
        found = contents(plan(source, "a", to="/", upon=MemoryTree({}), unpack=True))
        assert found == {"f": b"1"}
