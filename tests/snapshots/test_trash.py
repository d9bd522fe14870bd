"""Deleting and walking trees that somebody made to be hard to delete and walk."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest

from wherry.errdefs import EngineError, Kind
from wherry.snapshots.trash import Trash
from wherry.snapshots.tree import usage_of, walk

DEEP = 1100  # over Python's recursion limit; its path is over PATH_MAX


@pytest.fixture
def trash(tmp_path: Path) -> Iterator[Trash]:
    (tmp_path / "trash").mkdir()
    trash = Trash(tmp_path / "trash")
    yield trash
    # Whatever failed: pytest's own clean-up is recursive, and would choke on a deep tree.
    trash.put(tmp_path / "tree")
    assert trash.wait_until_empty(timeout=60)


def make_deep(root: Path) -> None:
    fd = os.open(root, os.O_RDONLY)
    for number in range(DEEP):
        os.mkdir("deep", dir_fd=fd)
        os.close(os.open(f"file{number % 3}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        below = os.open("deep", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


def test_a_tree_vanishes_at_once_and_is_deleted(trash: Trash, tmp_path: Path):
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").touch()
    (tree / "link").symlink_to("/")
    (tree / "locked").mkdir(mode=0)
    os.mkfifo(tree / "fifo")
    assert trash.put(tree)
    assert not tree.exists()
    assert trash.wait_until_empty(timeout=30)
    assert os.listdir(tmp_path / "trash") == []
    assert not trash.put(tree)


def test_a_tree_deeper_than_any_path(trash: Trash, tmp_path: Path):
    descriptors = leaks.descriptors()
    tree = tmp_path / "tree"
    tree.mkdir()
    make_deep(tree)
    trash.put(tree)
    assert trash.wait_until_empty(timeout=60)
    assert os.listdir(tmp_path / "trash") == []
    assert leaks.descriptors() == descriptors


def test_what_a_crash_left_is_deleted(trash: Trash, tmp_path: Path):
    (tmp_path / "trash/left/over").mkdir(parents=True)
    (tmp_path / "trash/file").touch()
    trash.empty_later()
    assert trash.wait_until_empty(timeout=30)
    assert os.listdir(tmp_path / "trash") == []


def test_what_cannot_be_deleted_does_not_stop_the_rest(trash, tmp_path, monkeypatch, caplog):
    unlink = os.unlink

    def refusing(path: str, *, dir_fd: int | None = None) -> None:
        if path == "immutable":
            raise PermissionError(1, "Operation not permitted")
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refusing)
    for name in ("one", "immutable"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
        trash.put(tmp_path / name)
    assert trash.wait_until_empty(timeout=30)
    (left,) = os.listdir(tmp_path / "trash")
    assert os.listdir(tmp_path / "trash" / left) == ["immutable"]
    assert "Operation not permitted" in caplog.text


def test_a_walk_as_deep_as_it_goes_with_one_descriptor(trash: Trash, tmp_path: Path):
    tree = tmp_path / "tree"
    tree.mkdir()
    make_deep(tree)
    root = os.open(tree, os.O_RDONLY)
    descriptors = leaks.descriptors()
    most = 0
    for count, _ in enumerate(walk(root)):
        if count % 100 == 0:
            most = max(most, leaks.descriptors())
    assert count == 2 * DEEP
    assert most == descriptors + 1
    assert leaks.descriptors() == descriptors
    assert usage_of(root).inodes == 2 * DEEP + 1
    os.close(root)


def test_a_walk_follows_no_symlink_and_keeps_an_order(tmp_path: Path):
    (tmp_path / "b/inner").mkdir(parents=True)
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "c").touch()
    root = os.open(tmp_path, os.O_RDONLY)
    seen = [(item.path, stat.S_IFMT(item.status.st_mode)) for item in walk(root)]
    os.close(root)
    assert [path for path, _ in seen] == [b"", b"a", b"b", b"b/inner", b"c"]
    assert seen[1][1] == stat.S_IFLNK


def test_a_walk_notices_that_its_directory_was_moved(tmp_path: Path):
    (tmp_path / "tree/a/b").mkdir(parents=True)
    root = os.open(tmp_path / "tree", os.O_RDONLY)

    def moving() -> None:
        for item in walk(root):
            if item.path == b"a/b/c":
                (tmp_path / "tree/a/b").rename(tmp_path / "tree/elsewhere")

    (tmp_path / "tree/a/b/c").touch()
    with pytest.raises(EngineError, match="moved") as failure:
        moving()
    os.close(root)
    assert failure.value.kind is Kind.CONFLICT
