"""--exclude, --parents, heredocs, and names that no layer can have."""

from pathlib import Path

import pytest
from copies import contents, entries, picture, plan, whole
from memorytrees import MemoryTree

from wherry.build.copying import GivenTree, plan_tree
from wherry.build.dockerfile import InlineFile
from wherry.errdefs import EngineError
from wherry.layers.files import Node

EMPTY = MemoryTree({})


def source() -> MemoryTree:
    return MemoryTree(
        {
            "a": Node("dir", 0o700, 4, 4),
            "a/b/c": Node("dir", 0o711),
            "a/b/c/d/e/bay": b"1",
            "a/b/c/d/foo": b"2",
            "a/b2/c/d/e/bar": b"3",
            "x.txt": b"4",
            "x.md": b"5",
        }
    )


WHOLE = ["a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/e", "a/b/c/d/e/bay", "a/b/c/d/foo"]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["a/b/c/d"], WHOLE),
        (["a/b/./c/d"], ["c", "c/d", "c/d/e", "c/d/e/bay", "c/d/foo"]),
        (["a/b/c/d/."], WHOLE),
        (["./x.txt"], ["x.txt"]),
        (["a/./b/./c/d/foo"], ["b", "b/c", "b/c/d", "b/c/d/foo"]),
        (["a/b*/./c/**/bar"], ["c", "c/d", "c/d/e", "c/d/e/bar"]),
        (["a/**/bay"], ["a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/e", "a/b/c/d/e/bay"]),
        (["*.txt"], ["x.txt"]),
        (["none*"], []),
        (["a/b3*/./c"], None),
    ],
)  # fmt: skip
def test_parents_are_kept_from_a_pivot_on(sources: list[str], expected: list[str] | None) -> None:
    found = list(entries(plan(source(), *sources, to="/out/", upon=EMPTY, parents=True)))
    assert found == ([] if expected is None else ["out", *(f"out/{path}" for path in expected)])


def test_parents_have_the_attributes_of_the_source() -> None:
    made = plan(source(), "a/b/c/d/foo", to="/", upon=EMPTY, parents=True, keep_owner=True)
    found = entries(made)
    assert (found["a"].mode, found["a"].uid) == (0o700, 4)
    assert found["a/b/c"].mode == 0o711


def test_of_parents_that_are_there_only_the_mode_changes() -> None:
    there = MemoryTree({"a": Node("dir", 0o755, 9, 9)})
    found = entries(plan(source(), "a/b/c/d/foo", upon=there, parents=True, keep_owner=True))
    assert (found["a"].mode, found["a"].uid) == (0o700, 9)


def test_a_missing_path_with_parents_is_named() -> None:
    with pytest.raises(EngineError, match='"/a/b/cc": not found in the build context; is "/a/b/c"'):
        plan(source(), "a/./b/cc", parents=True)


@pytest.mark.parametrize(
    ("sources", "excludes", "expected"),
    [
        (["x.*"], ["*.txt"], ["out", "out/x.md"]),
        (["."], ["a", "*.md"], ["out", "out/x.txt"]),
        (["a"], ["b", "!b/c/d/foo"], [
            "out", "out/b", "out/b/c", "out/b/c/d", "out/b/c/d/foo",
            "out/b2", "out/b2/c", "out/b2/c/d", "out/b2/c/d/e", "out/b2/c/d/e/bar",
        ]),
        (["a"], ["**/e", "**/foo"], [
            "out", "out/b", "out/b/c", "out/b/c/d", "out/b2", "out/b2/c", "out/b2/c/d"
        ]),
        (["a/b"], ["**"], ["out"]),
    ],
)  # fmt: skip
def test_excludes(sources: list[str], excludes: list[str], expected: list[str]) -> None:
    made = plan(source(), *sources, to="/out/", upon=EMPTY, excludes=tuple(excludes))
    assert list(entries(made)) == expected


def test_a_heredoc_is_a_file() -> None:
    files = (InlineFile("one", "text\n", expand=True), InlineFile("/tmp/two", "é", expand=False))
    made = plan(source(), "x.txt", to="/d/", upon=EMPTY, files=files, uid=3, gid=3)
    assert contents(made) == {"d/x.txt": b"4", "d/one": b"text\n", "d/two": "é".encode()}
    found = entries(made)
    assert (found["d/one"].mode, found["d/one"].uid, found["d/one"].mtime_ns) == (0o644, 3, 0)
    assert contents(plan(source(), to="/name", upon=EMPTY, files=files[:1])) == {"name": b"text\n"}


def test_a_tree_may_be_given() -> None:
    repository = GivenTree(MemoryTree({"README": b"r", "src/m": b"m"}))
    assert contents(plan(source(), repository, to="/d", upon=EMPTY)) == {
        "d/README": b"r",
        "d/src/m": b"m",
    }


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [".wh.x", "d/.wh.x", "d/.wh..wh..opq", ".wh.d/x"])
def test_marks_are_refused_by_name(path: str) -> None:
    tree = MemoryTree({path: b""})
    for made in (plan(tree, ".", to="/x/", upon=EMPTY), plan_tree(tree, b"")):
        with pytest.raises(EngineError, match=r"begins with '\.wh\.' removes a file"):
            whole(made)
    assert whole(plan(MemoryTree({"a.wh.b": b""}), ".", upon=EMPTY))


@pytest.mark.parametrize("name", [b"n" * 256, b"/".join([b"n" * 250] * 17)])
def test_names_that_are_too_long_are_refused(name: bytes) -> None:
    with pytest.raises(EngineError, match=r"over (255|4095) bytes"):
        whole(plan(MemoryTree({name: b""}), ".", to="/x/", upon=EMPTY))


def test_long_and_odd_names_are_kept(tmp_path: Path) -> None:
    names = [b"\xff\xfe", b"line\nbreak", b"p" * 99 + b"/" + b"q" * 99, b"r" * 101, b"s" * 255]
    names += [b"t" * 155 + b"/" + b"u" * 100, b"t" * 156 + b"/" + b"u" * 100, b"v" * 100]
    made = plan(MemoryTree(dict.fromkeys(names, b"1")), ".", upon=EMPTY)
    seen = picture(made, tmp_path)
    assert {name for name, file in seen.items() if file.kind == "-"} == set(names)


def test_unusual_files(tmp_path: Path) -> None:
    tree = MemoryTree(
        {
            "fifo": Node("fifo", 0o600),
            "null": Node("char", 0o666, major=1, minor=3),
            "caps": (Node("file", 0o4755, xattrs={b"user.x": b"\0", b"trusted.y": b"z"}), b"1"),
            "old": (Node("file", mtime_ns=-1), b""),
            "late": (Node("file", 0o644, 2**31, 2**31, mtime_ns=2**40 * 10**9), b"2"),
        }
    )
    seen = picture(plan(tree, ".", upon=EMPTY, keep_owner=True), tmp_path)
    assert seen[b"fifo"].kind == "p"
    assert seen[b"null"].content == b"1:3"
    assert (seen[b"caps"].mode, seen[b"caps"].xattrs) == (0o4755, {"user.x": b"\0"})
    assert seen[b"old"].mtime_ns == -(10**9)
    assert seen[b"late"].owner == (2**31, 2**31)


def test_a_file_that_is_not_as_long_as_it_was_is_a_conflict() -> None:
    for size in (3, 1 << 20):
        tree = MemoryTree({"f": b"12"})
        tree.nodes[b"f"] = Node("file", size=size)
        with pytest.raises(EngineError, match=f"its size is {size} bytes, but there were 2"):
            whole(plan(tree, "f", to="/x/", upon=EMPTY))
        with pytest.raises(EngineError, match="but there were 2"):
            whole(plan(tree, ".", to="/x/", upon=EMPTY))


@pytest.mark.parametrize("size", [1, 511, 512, 513, 4096, 1 << 18])
def test_reads_of_any_size_give_the_same(size: int) -> None:
    tree = MemoryTree(
        {f"d/{length}": b"x" * length for length in (0, 1, 512, 1 << 18, (1 << 18) + 1)}
    )
    assert whole(plan(tree, "d", upon=EMPTY), size) == whole(plan(tree, "d", upon=EMPTY), 1 << 22)
