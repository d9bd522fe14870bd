"""No path leads out of a root, whatever lies in it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.libcontainer.inroot import Root


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Root, Path]]:
    inside = tmp_path / "root"
    inside.mkdir()
    fd = os.open(inside, os.O_PATH)
    yield Root(fd), tmp_path
    os.close(fd)


def _path(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def test_directories_are_made_along_the_way(place: tuple[Root, Path]) -> None:
    root, base = place
    assert _path(root.make_directory("/a/./b//c")) == str(base / "root/a/b/c")
    assert _path(root.make_directory("a/b")) == str(base / "root/a/b")


@pytest.mark.parametrize("target", ["/", "../..", "/../../.."])
def test_links_lead_back_to_the_root(place: tuple[Root, Path], target: str) -> None:
    root, base = place
    os.symlink(target, base / "root/out")
    assert _path(root.make_directory("/out/made")) == str(base / "root/made")
    assert _path(root.make_file("/out/file")) == str(base / "root/file")
    assert not (base / "made").exists()


def test_a_dangling_link_is_not_guessed_at(place: tuple[Root, Path]) -> None:
    root, base = place
    os.symlink("/nowhere", base / "root/link")
    with pytest.raises(FileNotFoundError, match="dangling symlink"):
        root.make_directory("/link/x")
    with pytest.raises(FileNotFoundError, match="dangling symlink"):
        root.make_file("/link")


def test_links_can_be_refused(place: tuple[Root, Path]) -> None:
    root, base = place
    (base / "root/d").mkdir()
    os.symlink("d", base / "root/link")
    with pytest.raises(OSError, match="symbolic links"):
        root.open_place("/link", follow=False)


def test_a_file_in_the_way_is_said(place: tuple[Root, Path]) -> None:
    root, base = place
    (base / "root/f").write_text("")
    with pytest.raises(NotADirectoryError):
        root.make_directory("/f/x")


def test_reading_is_of_regular_files_within_a_bound(place: tuple[Root, Path]) -> None:
    root, base = place
    (base / "root/f").write_text("12345")
    assert root.read("/f", 5) == b"12345"
    assert root.read("/none", 5) is None
    with pytest.raises(OSError, match="larger than 4 bytes"):
        root.read("/f", 4)
    os.mkfifo(base / "root/pipe")
    assert root.read("/pipe", 5) is None
    assert root.read("/", 5) is None


def test_a_directory_as_deep_as_a_path_can_be(place: tuple[Root, Path]) -> None:
    root, base = place
    path = "/a" * 1900
    os.close(root.make_directory(path))
    os.close(root.open(path, os.O_PATH | os.O_DIRECTORY))
    assert (base / "root/a/a/a").is_dir()
    # Python 3.11's rmtree, which clears the folder, is a recursion.
    subprocess.run(["rm", "-r", base / "root/a"], check=True)


def test_a_file_of_the_kernels_is_not_read() -> None:
    """/etc/passwd -> /proc/kmsg would take the host's log away from who reads it."""
    fd = os.open("/", os.O_PATH)
    assert Path("/proc/uptime").read_bytes()
    assert Root(fd).read("/proc/uptime", 1000) == b""
    os.close(fd)
