"""What a cache key says of copied files."""

from dataclasses import replace

import pytest
from copies import plan
from memorytrees import MemoryTree

from wherry.build.copying import CopyOptions, plan_tree
from wherry.build.dockerfile import InlineFile
from wherry.layers.files import Node

FILES = {
    "d": Node("dir", 0o755),
    "d/f": (Node("file", 0o644, 1, 2, mtime_ns=3, xattrs={b"user.a": b"1"}), b"content"),
    "d/l": Node("symlink", 0o777, link=b"f"),
    "d/n": Node("char", 0o600, major=1, minor=3),
    "d/one": (Node("file", identity=5), b"same"),
    "d/two": (Node("file", identity=5), b"same"),
}


def digest(tree: dict = FILES, *sources: str, **options: object) -> str:
    return plan(MemoryTree(tree), *(sources or ("d",)), **{"to": "/x/", **options}).digest


def changed(path: str, content: bytes | None = None, **fields: object) -> dict:
    what = FILES[path]
    node, old = what if isinstance(what, tuple) else (what, b"")
    return {**FILES, path: (replace(node, **fields), old if content is None else content)}


def test_times_places_and_identities_do_not_matter() -> None:
    assert digest() == digest(changed("d/f", mtime_ns=77))
    assert digest() == digest(to="/y", upon=MemoryTree({"y": Node("dir", 0o700)}))
    renumbered = {
        **FILES,
        **{name: (Node("file", identity=9), b"same") for name in ("d/one", "d/two")},
    }
    assert digest() == digest(renumbered)
    moved = {f"e{name[1:]}": what for name, what in FILES.items()}
    assert digest() == digest(moved, "e")
    assert digest() == digest(changed("d/f", uid=9, gid=9))  # they become root's


@pytest.mark.parametrize(
    "other",
    [
        digest(changed("d/f", b"another")),
        digest(changed("d/f", mode=0o600)),
        digest(changed("d/f", xattrs={b"user.a": b"2"})),
        digest(changed("d/l", link=b"g")),
        digest(changed("d/n", minor=4)),
        digest(changed("d/two", identity=None)),
        digest({**FILES, "d/more": Node("dir")}),
        digest({name: what for name, what in FILES.items() if name != "d/n"}),
        digest(uid=1, gid=2),
        digest(chmod="777"),
        digest(keep_owner=True),
        digest(FILES, "d/*"),
        digest(FILES, "d", "d"),
    ],
)
def test_everything_else_does(other: str) -> None:
    assert other != digest()


def test_the_owner_counts_where_only_directories_are_made() -> None:
    empty = {"e": Node("dir")}
    owners = [{}, {"uid": 0, "gid": 0}, {"uid": 5, "gid": 5}, {"uid": 6, "gid": 5}]
    assert len({digest(empty, "e", **owner) for owner in owners}) == len(owners)
    assert digest(FILES, "nothing*", uid=5, gid=5) != digest(FILES, "nothing*", uid=6, gid=5)


def test_a_file_is_known_by_its_name_too() -> None:
    assert digest(FILES, "d/one") != digest(FILES, "d/two")
    renamed = {"one": b"same", "two": b"same"}
    assert digest(renamed, "one") != digest(renamed, "two")


def test_texts_are_part_of_it() -> None:
    def inline(name: str, content: str) -> str:
        return digest(FILES, "d", files=(InlineFile(name, content, expand=True),))

    assert len({inline("a", "1"), inline("a", "2"), inline("b", "1"), digest()}) == 4


def test_counts_are_those_of_what_is_copied() -> None:
    made = plan(MemoryTree(FILES), "d", to="/x/")
    assert (made.files, made.bytes) == (5, len(b"content") + len(b"same"))
    assert made.is_directory
    assert not plan(MemoryTree(FILES), "d/f", to="/x/").is_directory


def test_files_are_read_once_for_it_and_once_for_the_layer() -> None:
    tree = MemoryTree(FILES)
    made = plan(tree, "d", to="/x/")
    assert made.digest == made.digest
    assert sorted(tree.opened) == [b"d/f", b"d/one"]
    made.tar().read(1 << 20)
    assert sorted(tree.opened) == [b"d/f", b"d/f", b"d/one", b"d/one"]


def test_what_a_tree_knows_of_a_file_is_not_computed() -> None:
    class Knowing(MemoryTree):
        def content_digest(self, path: bytes) -> bytes:
            return path.ljust(32, b".")

    tree = Knowing(FILES)
    assert plan(tree, "d").digest != digest()
    assert not tree.opened


def test_a_tree_for_a_mount_is_its_own_root() -> None:
    tree = MemoryTree(FILES)
    assert plan_tree(tree, b"d").digest == digest()
    assert plan_tree(tree, b"d").is_directory
    assert not plan_tree(tree, b"d/f").is_directory
    assert plan_tree(tree, b"d", CopyOptions(keep_owner=True)).digest == digest(keep_owner=True)
