"""The tree of an image: links kept, rights left behind, the same bytes every time."""

import io
import os
from pathlib import Path

import pytest

from wherry.errdefs import EngineError
from wherry.hostimage.tree import HostTree
from wherry.layers.tar import read_tar


def entries(tree: HostTree) -> dict[str, object]:
    stream = io.BytesIO(b"".join(tree.layer()))
    return {f"/{entry.name.decode()}": entry for entry, _ in read_tar(stream)}


def test_links_on_the_way_are_kept(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "real/deep/tool").write_text("#!/bin/sh\n")
    (tmp_path / "relative").symlink_to("real/deep/..")
    (tmp_path / "absolute").symlink_to(tmp_path / "relative/deep/tool")
    (tmp_path / "loop").symlink_to("loop")
    tree = HostTree()
    real = tree.add_from_host(f"{tmp_path}/absolute", "named")
    assert real == f"{tmp_path}/real/deep/tool"
    found = entries(tree)
    assert found[f"{tmp_path}/absolute"].kind == found[f"{tmp_path}/relative"].kind == "symlink"
    assert found[real].kind == "file"
    assert {node.why for node in tree.nodes() if node.entry.kind != "dir"} == {"named"}
    for path, says in (
        ("loop", "more than"),
        ("real", "not a regular file"),
        ("no", "not on this"),
    ):
        with pytest.raises(EngineError, match=says):
            tree.add_from_host(f"{tmp_path}/{path}", "named")


def test_what_is_added_goes_where_links_lead(tmp_path: Path) -> None:
    tree = HostTree()
    tree.add_link("/bin", "usr/bin", "")
    tree.add_file("/bin/tool", b"x", "")
    tree.add_link("/bin/other", "tool", "")
    tree.add_directory("/bin/sub", "")
    assert set(entries(tree)) == {
        "/bin", "/usr", "/usr/bin", "/usr/bin/tool", "/usr/bin/other", "/usr/bin/sub"
    }  # fmt: skip
    assert tree.has("/bin/tool")
    assert not tree.has("/bin/none")


def test_who_comes_first_stays() -> None:
    tree = HostTree()
    tree.add_file("/a", b"one", "first")
    tree.add_file("/a", b"two", "second")
    (node,) = tree.nodes()
    assert (node.content, node.why) == (b"one", "first")


def test_bits_that_lend_rights_stay_behind(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("x")
    tool.chmod(0o6711)
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o4640)
    tree = HostTree()
    tree.add_from_host(str(tool), "named")
    tree.add_copy(str(secret), "/etc/secret", "added")
    found = entries(tree)
    assert found[str(tool)].mode == 0o755
    assert found["/etc/secret"].mode == 0o640
    assert {(entry.uid, entry.gid) for entry in found.values()} == {(0, 0)}


def test_a_file_that_shrinks_is_no_shorter_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(5000))
    tree = HostTree()
    tree.add_copy(str(file), "/file", "added")
    os.truncate(file, 10)
    with pytest.raises(EngineError, match="became shorter while it was read"):
        list(tree.layer())
    file.unlink()
    with pytest.raises(EngineError, match=r"reading .*no such file"):
        list(tree.layer())
