"""Random stacks: overlayfs, our own merging and a model of a few lines show the same tree."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layertars import (
    Member,
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

from wherry.errdefs import EngineError

pytestmark = pytest.mark.root

EXAMPLES = 200 if os.environ.get("WHERRY_SOAK") == "1" else 6
PATHS = ["x", "y", "x/x", "x/y", "y/x", "y/y", "x/x/x", "x/x/y", "y/x/x"]
KINDS = ["file", "directory", "directory", "symlink", "fifo", "device", "hardlink"]
MARKS = [None, None, None, "whiteout", "opaque"]


class Node(NamedTuple):
    kind: str
    number: int


class Description(NamedTuple):
    """A layer: its files by path, parents among them only as directories, and its marks."""

    nodes: dict[str, Node]
    whiteouts: list[str]
    opaque: list[str]

    def members(self) -> Iterator[Member]:
        files = [path for path, node in self.nodes.items() if node.kind == "file"]
        for path, node in self.nodes.items():
            yield _member(path, node, files)
        yield from map(whiteout, self.whiteouts)
        yield from map(opaque, self.opaque)


def _member(path: str, node: Node, files: list[str]) -> Member:
    number = node.number
    if node.kind == "directory":
        return directory(path, mode=0o700 + number, uid=number, mtime=number)
    if node.kind == "symlink":
        return symlink(path, f"to-{number}", mtime=number)
    if node.kind == "fifo":
        return fifo(path)
    if node.kind == "device":
        return device(path, 1, number)
    earlier = [other for other in files if other < path]
    if node.kind == "hardlink" and earlier:
        return hardlink(path, earlier[number % len(earlier)])
    return file(path, b"%d" % number, mode=0o600 + number, uid=number, mtime=number)


@st.composite
def descriptions(draw: st.DrawFn) -> Description:
    nodes: dict[str, Node] = {}
    whiteouts, opaques = [], []
    for path in sorted(draw(st.sets(st.sampled_from(PATHS), max_size=6))):
        parents = [path[:at] for at, letter in enumerate(path) if letter == "/"]
        if any(nodes.get(parent, Node("directory", 0)).kind != "directory" for parent in parents):
            continue
        mark = draw(st.sampled_from(MARKS))
        if mark == "whiteout":
            whiteouts.append(path)
        kind = draw(st.sampled_from([*KINDS, None] if mark else KINDS))
        if mark == "opaque" and kind == "directory":
            opaques.append(path)
        if kind is not None:
            nodes[path] = Node(kind, draw(st.integers(0, 7)))
    return Description(nodes, whiteouts, opaques)


def model(stack: list[Description]) -> set[str]:
    """The paths that a stack shows, layer upon layer, as the specification says it."""
    shown: set[str] = set()
    directories: set[str] = set()
    for description in stack:
        for path in description.whiteouts:
            shown = {other for other in shown if not f"{other}/".startswith(f"{path}/")}
        for path in description.opaque:
            shown = {other for other in shown if not other.startswith(f"{path}/")}
        implied = {
            path[:at]
            for path in [*description.nodes, *description.whiteouts, *description.opaque]
            for at, letter in enumerate(path)
            if letter == "/"
        }
        for path in sorted({*description.nodes, *implied}):
            node = description.nodes.get(path)
            if node and node.kind != "directory":
                shown = {other for other in shown if not other.startswith(f"{path}/")}
                directories.discard(path)
            else:
                directories.add(path)
            shown.add(path)
    return shown


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(stack=st.lists(descriptions(), min_size=1, max_size=3))
def test_all_drivers_and_the_model_agree(make_store: Callable, stack: list[Description]):
    pictures = []
    for driver in ("erofs", "overlay", "native"):
        store = make_store(driver)
        applied = store.apply(*(layer(*description.members()) for description in stack))
        pictures.append(store.picture("k", applied))
        assert store.leftovers() == []
    erofs, overlay, native = pictures
    assert erofs == overlay
    assert overlay == native
    assert {os.fsdecode(path) for path in overlay} - {""} == model(stack)


def test_many_layers(make_store: Callable):
    """More than Docker's 125, and more than one page of mount options."""
    store = make_store("overlay")
    stack = store.apply(layer(file("f0"), file("all", b"0")))
    # Applied once, and then put there by hand: the suite has no time for a process per layer.
    layers = Path(store.root / "layers")
    for number in range(1, 300):
        diff_id, _ = layer(file(f"f{number}"))
        tree = layers / diff_id.hex / "fs"
        tree.mkdir(parents=True)
        (tree / f"f{number}").touch()
        (tree / "all").write_text(str(number))
        stack.append(diff_id)
    shown = store.picture("k", stack)
    assert len(shown) == 1 + 300 + 1
    assert shown[b"all"].content == b"299"
    assert store.leftovers() == []


def test_more_layers_than_overlayfs_takes(make_store: Callable):
    from wherry.errdefs import EngineError, Kind
    from wherry.spec.digest import Digest

    store = make_store("overlay")
    stack = [Digest.of(b"%d" % number) for number in range(501)]
    for diff_id in stack:
        (store.root / "layers" / diff_id.hex / "fs").mkdir(parents=True)
    with pytest.raises(EngineError, match="500") as failure:
        store.snapshotter.prepare("k", stack)
    assert failure.value.kind is Kind.INVALID_ARGUMENT
    assert store.snapshotter.keys() == []
    assert store.leftovers() == []


def test_many_images(make_store: Callable):
    """As many as overlayfs takes, each a mount of its own; one more is refused."""
    store = make_store("erofs")
    layers = [layer(file(f"f{number}"), file("all", b"%d" % number)) for number in range(501)]
    stack = store.apply(*layers)
    shown = store.picture("k", stack[:500])
    assert len(shown) == 502
    with store.mounted(store.snapshotter.prepare("k", stack[:500])) as root:
        fd = os.open("all", os.O_RDONLY, dir_fd=root)
        assert os.read(fd, 9) == b"499"
        os.close(fd)
    with pytest.raises(EngineError, match="500"):
        store.snapshotter.prepare("more", stack)
