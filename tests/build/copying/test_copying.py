"""COPY of files and directories: what BuildKit does, case by case."""

from pathlib import Path

import pytest
from copies import contents, entries, picture, plan, whole
from memorytrees import MemoryTree

from wherry.errdefs import EngineError
from wherry.layers.files import Node

EMPTY = MemoryTree({})


def context() -> MemoryTree:
    return MemoryTree(
        {
            "a.txt": (Node("file", 0o644, 7, 8, mtime_ns=5_600_000_000), b"A"),
            "b.txt": (Node("file", 0o600, mtime_ns=1_000_000_000), b"B"),
            "dir": Node("dir", 0o750, 7, 7),
            "dir/one": b"1",
            "dir/sub": Node("dir", 0o711, mtime_ns=9_000_000_000),
            "dir/sub/two": (Node("file", 0o755), b"2"),
            "link": Node("symlink", 0o777, link=b"a.txt"),
            "dlink": Node("symlink", 0o777, link=b"dir"),
            "dangling": Node("symlink", 0o777, link=b"nowhere"),
            "out": Node("symlink", 0o777, link=b"../../../a.txt"),
            "empty": Node("dir", 0o755),
            "h/1": (Node("file", identity=1), b"same"),
            "h/2": (Node("file", identity=1), b"same"),
            "h/l": Node("symlink", 0o777, link=b"1"),
            "we[ird": b"W",
            "sp ace": b"S",
        }
    )


@pytest.mark.parametrize(
    ("sources", "to", "expected"),
    [
        (["a.txt"], "/", ["a.txt"]),
        (["a.txt"], "/x", ["x"]),
        (["a.txt"], "/x/", ["x", "x/a.txt"]),
        (["a.txt"], "/x/.", ["x", "x/a.txt"]),
        (["a.txt"], "/x/y/z", ["x", "x/y", "x/y/z"]),
        (["/a.txt"], "/x/../y", ["y"]),
        (["../../a.txt"], "/", ["a.txt"]),
        (["a.txt/"], "/", ["a.txt"]),
        (["./dir/../a.txt"], "./", ["a.txt"]),
        (["a.txt", "b.txt"], "/x/", ["x", "x/a.txt", "x/b.txt"]),
        (["*.txt"], "/x/", ["x", "x/a.txt", "x/b.txt"]),
        (["?.txt"], "/x/", ["x", "x/a.txt", "x/b.txt"]),
        (["[!a].txt"], "/x/", ["x", "x/a.txt"]),
        (["[^a].txt"], "/x/", ["x", "x/b.txt"]),
        (["[b-z].txt"], "/x/", ["x", "x/b.txt"]),
        (["*.none"], "/x/", []),
        (["d*/one"], "/x/", ["x", "x/one"]),
        (["we[[]ird"], "/x/", ["x", "x/we[ird"]),
        (["sp ace"], "/x", ["x"]),
        (["dir"], "/x", ["x", "x/one", "x/sub", "x/sub/two"]),
        (["dir"], "/x/", ["x", "x/one", "x/sub", "x/sub/two"]),
        (["dir/."], "/x/", ["x", "x/one", "x/sub", "x/sub/two"]),
        (["dlink"], "/x/", ["x", "x/one", "x/sub", "x/sub/two"]),
        (["dlink/sub"], "/x/", ["x", "x/two"]),
        (["dlink/*"], "/x/", ["x", "x/one", "x/two"]),
        (["dir", "h"], "/x/", ["x", "x/one", "x/sub", "x/sub/two", "x/1", "x/2", "x/l"]),
        (["a.txt", "dir"], "/x/", ["x", "x/a.txt", "x/one", "x/sub", "x/sub/two"]),
        (["link"], "/x/", ["x", "x/link"]),
        (["empty"], "/x/", ["x"]),
        (["empty"], "/", []),
    ],
)  # fmt: skip
def test_what_is_copied_where(sources: list[str], to: str, expected: list[str]) -> None:
    assert list(entries(plan(context(), *sources, to=to, upon=EMPTY))) == expected


def test_a_destination_is_relative_to_the_working_directory() -> None:
    for to, expected in [(".", "w/a.txt"), ("", "w/a.txt"), ("q", "w/q"), ("../q/", "q/a.txt")]:
        made = plan(context(), "a.txt", to=to, workdir="/w", upon=MemoryTree({"w": Node("dir")}))
        assert list(entries(made))[-1] == expected


def test_attributes_are_the_sources_and_the_owner_roots() -> None:
    found = entries(plan(context(), "a.txt", "b.txt", "dir", to="/x/", upon=EMPTY))
    assert [(found[name].mode, found[name].uid) for name in ("x/a.txt", "x/b.txt", "x/sub")] == [
        (0o644, 0),
        (0o600, 0),
        (0o711, 0),
    ]
    assert found["x/a.txt"].mtime_ns == 5_000_000_000  # to the second
    assert found["x/sub"].mtime_ns == 9_000_000_000
    new = found["x"]  # of a directory that is a source, nothing is taken
    assert (new.mode, new.uid, new.mtime_ns) == (0o755, 0, 0)


def test_owners_are_kept_if_they_are_to_be() -> None:
    found = entries(plan(context(), "a.txt", to="/x/", upon=EMPTY, keep_owner=True))
    assert (found["x/a.txt"].uid, found["x/a.txt"].gid, found["x"].uid) == (7, 8, 0)


def test_chown_and_chmod() -> None:
    made = plan(
        context(), "dir", "link", "h", to="/x/y/", upon=EMPTY,
        uid=5, gid=6, chmod="600", keep_owner=True,
    )  # fmt: skip
    found = entries(made)
    assert {(entry.uid, entry.gid) for name, entry in found.items()} == {(5, 6)}
    assert found["x"].mode == found["x/y"].mode == 0o755
    assert found["x/y/sub"].mode == found["x/y/one"].mode == found["x/y/link"].mode == 0o600
    assert found["x/y/l"].mode == 0o777


def test_symlinks_are_followed_as_sources_and_kept_inside() -> None:
    found = entries(plan(context(), "link", "h", to="/x/", upon=EMPTY))
    assert found["x/link"].kind == "file"
    assert (found["x/l"].kind, found["x/l"].link) == ("symlink", b"1")
    assert contents(plan(context(), "out", to="/x/", upon=EMPTY)) == {"x/out": b"A"}


def test_hardlinks_are_kept_within_a_source() -> None:
    found = entries(plan(context(), "h", to="/x/", upon=EMPTY))
    assert (found["x/2"].kind, found["x/2"].link) == ("hardlink", b"x/1")
    found = entries(plan(context(), "h/1", "h/2", to="/x/", upon=EMPTY))
    assert found["x/2"].kind == "file"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("none", '"/none": not found in the build context'),
        ("b.tx", '"/b.tx": not found in the build context; is "/b.txt" meant?'),
        ("dri/one", '"/dri/one": not found in the build context; is "/dir/one" meant?'),
        ("a.txt/x", '"/a.txt/x": not found in the build context'),
        ("dangling", 'it is a symlink to "/nowhere", which is not there'),
        ("dang*", 'it is a symlink to "/nowhere", which is not there'),
        ("we[ird", "syntax error in pattern"),
        ("x\\", "not found"),
        ("*\\", "syntax error in pattern"),
    ],
)
def test_a_missing_source_is_named(source: str, said: str) -> None:
    with pytest.raises(EngineError) as caught:
        plan(context(), source, upon=EMPTY)
    assert said in caught.value.message


# --- upon something -------------------------------------------------------------------------------


def base() -> MemoryTree:
    return MemoryTree(
        {
            "etc": Node("dir", 0o711, 1, 2, mtime_ns=4_000_000_000, xattrs={b"user.a": b"b"}),
            "etc/conf": b"old",
            "app": Node("symlink", 0o777, link=b"/srv/app"),
            "srv/app": Node("dir", 0o700, 3, 3),
            "srv/app/sub": b"a file",
            "srv/app/one": Node("symlink", 0o777, link=b"/etc/conf"),
            "new": Node("symlink", 0o777, link=b"srv/new"),
            "climb": Node("symlink", 0o777, link=b"../../../etc"),
            "file": b"",
        }
    )


def test_directories_above_keep_the_attributes_that_they_have() -> None:
    found = entries(plan(context(), "a.txt", to="/etc/x/", upon=base()))
    assert list(found) == ["etc", "etc/x", "etc/x/a.txt"]
    etc = found["etc"]
    assert (etc.mode, etc.uid, etc.gid, etc.mtime_ns) == (0o711, 1, 2, 4_000_000_000)
    assert etc.xattrs == {b"user.a": b"b"}


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("/app/", "srv/app/a.txt"),
        ("/app", "srv/app/a.txt"),
        ("/app/new/x", "srv/app/new/x"),
        ("/new", "srv/new"),
        ("/new/", "srv/new/a.txt"),
        ("/climb/x", "etc/x"),
        ("/app/one", "etc/conf"),
        ("/app/../etc/", "etc/a.txt"),
        ("/etc/conf", "etc/conf"),
    ],
)
def test_a_destination_is_followed_inside_the_target(to: str, expected: str) -> None:
    assert list(entries(plan(context(), "a.txt", to=to, upon=base())))[-1] == expected


def test_a_symlink_in_a_directory_is_replaced_not_followed() -> None:
    found = entries(plan(MemoryTree({"d/one": b"1"}), "d", to="/app", upon=base()))
    assert found["srv/app/one"].kind == "file"
    assert "etc/conf" not in found


@pytest.mark.parametrize(
    ("sources", "to", "said"),
    [
        (["dir"], "/file", "cannot copy to non-directory: /file"),
        (["dir"], "/app", "cannot copy to non-directory: /srv/app/sub"),
        (["a.txt"], "/file/x", "mkdir /file: not a directory"),
        (["a.txt"], "/file/", "mkdir /file: not a directory"),
        (["etc"], "/", "cannot replace to directory /srv with file"),
        (["srv"], "/", "cannot replace to directory /srv with file"),
        (["a.txt", "b.txt"], "/x", "the destination must be a directory and end with a /"),
        (["*.txt"], "/x", "When using COPY with more than one source file"),
        (["a.txt", "dir"], "/x", "cannot copy to non-directory: /x"),
    ],
)
def test_what_does_not_fit_is_refused(sources: list[str], to: str, said: str) -> None:
    source = MemoryTree(
        {**{name: context().nodes[name] for name in (b"dir", b"dir/sub")},
         "a.txt": b"", "b.txt": b"", "dir/one": b"", "srv": b"", "etc/srv": b""}
    )  # fmt: skip
    made = plan(source, *sources, to=to, upon=base())
    with pytest.raises(EngineError) as caught:
        whole(made)
    assert said in caught.value.message


def test_linked_layers_know_no_target() -> None:
    found = entries(plan(context(), "a.txt", to="/etc/x/", upon=None))
    assert [(name, entry.mode) for name, entry in found.items()] == [
        ("etc", 0o755),
        ("etc/x", 0o755),
        ("etc/x/a.txt", 0o644),
    ]


def test_a_root_is_listed_only_if_it_is_unusual() -> None:
    assert list(entries(plan(context(), "a.txt", upon=base()))) == ["a.txt"]
    target = MemoryTree({})
    target.nodes[b""] = Node("dir", 0o700)
    found = entries(plan(context(), "a.txt", upon=target))
    assert (list(found), found[""].mode) == (["", "a.txt"], 0o700)


def test_the_layer_is_the_same_each_time_and_can_be_mounted(tmp_path: Path) -> None:
    def made() -> bytes:
        return whole(plan(context(), ".", to="/x/", upon=base()))

    assert made() == made()
    seen = picture(plan(context(), ".", to="/x/", upon=base()), tmp_path)
    assert seen[b"x/h/1"].names == (b"x/h/1", b"x/h/2")
    assert seen[b"x/dir/sub/two"].content == b"2"
    assert seen[b"x/dir"].mode == 0o750


def test_symlinks_have_the_mode_that_linux_gives_them() -> None:
    tree = MemoryTree({"d/l": Node("symlink", 0o640, link=b"x")})
    assert entries(plan(tree, "d", upon=EMPTY))["l"].mode == 0o777
    same = MemoryTree({"d/l": Node("symlink", 0o777, link=b"x")})
    assert plan(tree, "d").digest == plan(same, "d").digest
