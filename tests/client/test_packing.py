"""Contexts as archives, read back by Python's own reader."""

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from wherry.client.packing import END, PackError, pack, pack_file
from wherry.ignore import Patterns


def members(root: Path, ignore: str = "", kept=(), prefix: str = "") -> dict[str, tarfile.TarInfo]:
    patterns = Patterns.parse(ignore.encode()) if ignore else None
    data = b"".join(pack(str(root), patterns, kept, prefix)) + END
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def test_all_kinds_of_files_come_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d/x").write_bytes(b"y" * 700_000)
    (tmp_path / "d/x").chmod(0o4755)
    os.utime(tmp_path / "d/x", ns=(0, 1_600_000_000_123_456_789))
    os.link(tmp_path / "d/x", tmp_path / "again")
    (tmp_path / "link").symlink_to("/etc/" + "l" * 150)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ("n" * 150)).write_text("long")
    (tmp_path / "empty").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "s"))
    found = members(tmp_path)
    assert set(found) == {"d", "d/x", "again", "link", "pipe", "n" * 150, "empty"}
    assert (found["again"].size, found["again"].mode) == (700_000, 0o4755)
    assert (found["d/x"].type, found["d/x"].linkname) == (tarfile.LNKTYPE, "again")
    assert found["again"].mtime == 1_600_000_000
    assert (found["d"].isdir(), found["d"].mode) == (True, 0o750)
    assert found["link"].linkname == "/etc/" + "l" * 150
    assert found["pipe"].isfifo()
    assert found["n" * 150].size == 4
    assert {(member.uid, member.gid) for member in found.values()} == {(0, 0)}


def test_what_is_ignored_stays_and_what_is_kept_comes(tmp_path: Path) -> None:
    for name in ("a/keep.txt", "a/drop.txt", "b/c/d", "Dockerfile", "deep/down/Dockerfile"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert set(members(tmp_path, "*\n!a/keep.txt\n")) == {"a", "a/keep.txt"}
    assert set(members(tmp_path, "b\n**/Dockerfile\n")) == {
        "a", "a/keep.txt", "a/drop.txt", "deep", "deep/down",
    }  # fmt: skip
    kept = ("Dockerfile", "deep/down/Dockerfile", "not/there")
    assert list(members(tmp_path, "*\n", kept)) == [
        "Dockerfile", "deep", "deep/down", "deep/down/Dockerfile",
    ]  # fmt: skip


def test_ignored_folders_are_not_even_looked_into(tmp_path: Path) -> None:
    (tmp_path / "node_modules").mkdir(mode=0)
    (tmp_path / "x").touch()
    assert set(members(tmp_path, "node_modules\n")) == {"x"}


def test_a_prefix_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert set(members(tmp_path, prefix="lib/")) == {"lib", "lib/x"}


def test_files_that_are_made_here() -> None:
    data = pack_file("Dockerfile", b"FROM x") + END
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        (member,) = tar.getmembers()
        content = tar.extractfile(member)
        assert content is not None
        assert (member.name, content.read()) == ("Dockerfile", b"FROM x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0)
    with pytest.raises(PackError, match=r"no permission to read from .*secret"):
        members(tmp_path)


def test_many_files_come_in_few_pieces(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"{number}").write_text("x")
    assert len(list(pack(str(tmp_path)))) < 20


def test_bytes_that_are_no_utf_8(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff", "wb"):
        pass
    assert set(members(tmp_path)) == {"\udcff"}
