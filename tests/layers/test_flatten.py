"""A whole tree as one archive."""

import io
import tarfile

import pytest
from memorytrees import MemoryTree

from wherry.errdefs import EngineError, Kind
from wherry.layers.files import Node
from wherry.layers.flatten import tar_of
from wherry.layers.tar import Entry, read_tar

TREE = {
    "etc": Node("dir", 0o711, 1, 2, 3_000_000_005),
    "etc/motd": (Node("file", 0o600, 5, 6, 7_000_000_000, xattrs={b"user.x": b"y"}), b"hello"),
    "etc/link": Node("symlink", 0o777, link=b"../motd"),
    "dev/null": Node("char", 0o666, major=1, minor=3),
    "pipe": Node("fifo", 0o600),
    "one": (Node("file", 0o755, 3, identity=9), b"x" * 700_000),
    "two": (Node("file", 0o755, 3, identity=9), b"x" * 700_000),
    "n" * 200: b"long",
}


def read(tree: MemoryTree) -> list[tuple[Entry, bytes]]:
    with tar_of(tree) as archive:
        data = io.BytesIO(archive.read())
    return [(entry, reader.read()) for entry, reader in read_tar(data)]


def test_all_that_a_tree_has_is_in_the_archive():
    found = {entry.name: (entry, content) for entry, content in read(MemoryTree(TREE))}
    assert list(found) == sorted(found)
    assert b"" not in found
    entry, content = found[b"etc/motd"]
    assert (entry.mode, entry.uid, entry.gid, entry.mtime_ns) == (0o600, 5, 6, 7_000_000_000)
    assert (entry.xattrs, content) == ({b"user.x": b"y"}, b"hello")
    assert (found[b"etc"][0].mode, found[b"etc"][0].mtime_ns) == (0o711, 3_000_000_005)
    assert found[b"etc/link"][0].link == b"../motd"
    assert (found[b"dev/null"][0].major, found[b"dev/null"][0].minor) == (1, 3)
    assert found[b"pipe"][0].kind == "fifo"
    assert found[b"one"][1] == b"x" * 700_000
    assert (found[b"two"][0].kind, found[b"two"][0].link) == ("hardlink", b"one")
    assert found[b"n" * 200][1] == b"long"


def test_others_read_it_and_it_is_the_same_each_time():
    with tar_of(MemoryTree(TREE)) as archive:
        data = archive.read()
    assert tar_of(MemoryTree(TREE)).read() == data
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.extractfile("two").read() == b"x" * 700_000
        assert "etc/motd" in tar.getnames()


def test_an_empty_tree_is_an_empty_archive():
    assert tar_of(MemoryTree({})).read() == bytes(1024)


def test_what_goes_meanwhile_is_left_out():
    tree = MemoryTree({"a": b"a", "b": b"b"})
    del tree.contents[b"a"]
    assert [entry.name for entry, _ in read(tree)] == [b"b"]


def test_a_file_that_shrinks_is_a_conflict():
    tree = MemoryTree({"a": b"aaaa"})
    tree.contents[b"a"] = b"a"
    with pytest.raises(EngineError, match="'a' changes") as failure:
        tar_of(tree).read()
    assert failure.value.kind is Kind.CONFLICT


def test_no_file_stays_open_when_reading_ends_early():
    tree = MemoryTree({"a": bytes(1_000_000)})
    handed = []
    usual = tree.open
    tree.open = lambda path: handed.append(usual(path)) or handed[-1]
    archive = tar_of(tree)
    assert archive.read(10)
    archive.close()
    assert [file.closed for file in handed] == [True]
