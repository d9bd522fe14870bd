"""Following symlinks in a tree, and walking it: as the kernel does with the tree for its root."""

import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memorytrees import MemoryTree

from wherry.errdefs import EngineError, Kind
from wherry.layers.files import Node, resolve, walk
from wherry.linux import syscalls

EXAMPLES = 2000 if os.environ.get("WHERRY_SOAK") == "1" else 100


def link(text: bytes) -> Node:
    return Node("symlink", 0o777, link=text)


TREE = MemoryTree(
    {
        "usr/bin/sh": b"#!",
        "bin": link(b"usr/bin"),
        "run": link(b"/var/run"),
        "var/run": link(b"../../../run-really"),
        "run-really/pid": b"1",
        "self": link(b"self"),
        "here": link(b"."),
        "up": link(b"../../.."),
        "odd": link(b"//usr/./bin//"),
        "nowhere": link(b"gone/../usr"),
    }
)


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        (b"", b""),
        (b"/", b""),
        (b"../../etc", b"etc"),
        (b"usr/../../usr/bin", b"usr/bin"),
        (b"/bin/sh", b"usr/bin/sh"),
        (b"bin/", b"usr/bin"),
        (b"bin/../lib", b"usr/lib"),
        (b"run/pid", b"run-really/pid"),
        (b"here/here/./bin", b"usr/bin"),
        (b"up/up/bin", b"usr/bin"),
        (b"odd/sh", b"usr/bin/sh"),
        (b"nowhere/bin", b"usr/bin"),
        (b"not/there/..", b"not"),
        (b"not/there/../../bin", b"usr/bin"),
        (b"usr/bin/sh/below", b"usr/bin/sh/below"),
        (b"usr/bin/sh/../../../bin", b"usr/bin"),
    ],
)
def test_where_a_path_leads(path: bytes, leads_to: bytes):
    assert resolve(TREE, path) == leads_to


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [(b"bin", b"bin"), (b"run/../bin", b"bin"), (b"/here/run", b"run"), (b"self", b"self")],
)
def test_the_last_symlink_may_be_left_alone(path: bytes, leads_to: bytes):
    assert resolve(TREE, path, last=False) == leads_to


def test_symlinks_in_a_circle_are_refused():
    with pytest.raises(EngineError, match=r"'self/x' has more than 40 symlinks") as failure:
        resolve(TREE, b"self/x")
    assert failure.value.kind is Kind.INVALID_ARGUMENT


def test_forty_symlinks_are_followed():
    tree = MemoryTree({f"l{n}": link(b"l%d" % (n + 1)) for n in range(41)} | {"l41": b""})
    assert resolve(tree, b"l1") == b"l41"
    with pytest.raises(EngineError, match="40"):
        resolve(tree, b"l0")


def test_a_long_path_to_nothing_takes_no_time():
    """A Dockerfile may say anything; looking up each of its prefixes would take hours."""
    asked = []

    class Counted(MemoryTree):
        def node(self, path: bytes) -> Node | None:
            asked.append(path)
            return super().node(path)

    path = b"/".join([b"a"] * 500_000)
    assert resolve(Counted({}), path) == path
    assert asked == [b"a"]


def test_a_walk_has_parents_first_and_names_in_order():
    tree = MemoryTree({"b/z": b"", "b/a/x": b"", "b.c": b"", "a": link(b"b"), "b/a.": b""})
    paths = [path for path, _ in walk(tree)]
    assert paths == [b"", b"a", b"b", b"b/a", b"b/a/x", b"b/a.", b"b/z", b"b.c"]
    assert [path for path, _ in walk(tree, b"b/a")] == [b"b/a", b"b/a/x"]
    assert [path for path, _ in walk(tree, b"a")] == [b"a"]
    assert list(walk(tree, b"none")) == []


def test_a_walk_goes_deeper_than_pythons_stack():

    class Deep(MemoryTree):
        def node(self, path: bytes) -> Node:
            return Node("dir")

        def names(self, path: bytes) -> list[bytes]:
            return [b"d"] if len(path) < 4000 else []

    assert sum(1 for _ in walk(Deep({}))) > 2000


def test_a_walk_leaves_out_what_goes_meanwhile():
    tree = MemoryTree({"a/x": b"", "b/y": b"", "c": b""})
    seen = []
    for path, _ in walk(tree):
        seen.append(path)
        if path == b"a":
            del tree.nodes[b"a"], tree.nodes[b"b"]
    assert seen == [b"", b"a", b"c"]


# --- beside the kernel ----------------------------------------------------------------------------

CLONE_FS = 0x200
NAMES = ["a", "b", "c"]
COMPONENTS = [*NAMES, *NAMES, *NAMES, "..", ".", ""]
TEXTS = st.lists(st.sampled_from(COMPONENTS), min_size=1, max_size=5).map("/".join)
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
LAYOUTS = st.dictionaries(PATHS, st.one_of(TEXTS.filter(bool), st.sampled_from([None, "/"])))


def make(layout: dict[str, str | None], root: Path) -> MemoryTree:
    """The tree on the disk, and the same in memory. None is a file, a text a symlink."""
    files: dict[str | bytes, bytes | Node | tuple[Node, bytes]] = {}
    for path, text in sorted(layout.items()):
        above = Path(path).parents
        if any(str(parent) in files for parent in above):
            continue
        place = root / path
        if place.is_dir():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            place.touch()
            files[path] = b""
        else:
            place.symlink_to(text)
            files[path] = link(text.encode())
    return MemoryTree(files)


@contextlib.contextmanager
def made(layout: dict[str, str | None]) -> Iterator[tuple[Path, MemoryTree]]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        yield root, make(layout, root)


@contextlib.contextmanager
def descriptor(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def led_by_kernel(root: Path, path: str, flags: int = 0) -> bytes | int | None:
    """Where the kernel comes to, with `root` as the root; the error if that is nowhere."""
    with descriptor(root) as fd:
        try:
            found = syscalls.openat2(
                fd, path or ".", os.O_PATH | flags, resolve=syscalls.RESOLVE_IN_ROOT
            )
        except OSError as error:
            return error.errno
    try:
        whole = os.readlink(b"/proc/self/fd/%d" % found)
    finally:
        os.close(found)
    return whole[len(os.fsencode(root)) :].lstrip(b"/")


@settings(max_examples=EXAMPLES)
@given(layout=LAYOUTS, paths=st.lists(TEXTS, min_size=1, max_size=4), last=st.booleans())
def test_the_kernel_comes_to_the_same_place(layout: dict, paths: list[str], last: bool):
    with made(layout) as (root, tree):
        for path in paths:
            led = led_by_kernel(root, path, 0 if last or path.endswith("/") else os.O_NOFOLLOW)
            try:
                ours = resolve(tree, path.encode(), last=last or path.endswith("/"))
            except EngineError:
                # The kernel may have stopped before it, where something is missing.
                assert led in (errno.ELOOP, errno.ENOENT, errno.ENOTDIR)
                continue
            assert not {b"", b".", b".."} & set(ours.split(b"/")) or ours == b""
            if isinstance(led, bytes):
                assert ours == led
            else:
                # A file on the way, which the kernel does not go through and `..` not out of.
                assert led in (errno.ENOENT, errno.ENOTDIR)


@pytest.mark.root
@settings(max_examples=EXAMPLES)
@given(layout=LAYOUTS, path=TEXTS)
def test_realpath_in_a_chroot_comes_to_the_same_place(layout: dict, path: str):
    with made(layout) as (root, tree):
        found: list[str] = []

        def in_a_root_of_its_own() -> None:  # a thread may have one; it ends with the thread
            syscalls.unshare(CLONE_FS)
            os.chroot(root)
            os.chdir("/")
            found.append(os.path.realpath("/" + path))

        thread = threading.Thread(target=in_a_root_of_its_own)
        thread.start()
        thread.join()
        with contextlib.suppress(EngineError):  # realpath has an own way with loops
            assert b"/" + resolve(tree, path.encode()) == os.fsencode(found[0])
