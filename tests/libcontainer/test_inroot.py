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


@pytest.mark.parametrize(
    ("target", "made"),
    [
        ("/nowhere", "nowhere"),
        ("nowhere/else", "etc/nowhere/else"),
        ("../run/systemd/stub", "run/systemd/stub"),
        ("../../../../outside", "outside"),
        ("gone/../there", "etc/there"),
        ("second", "third"),
    ],
)
def test_what_a_dangling_link_leads_to_is_made(
    place: tuple[Root, Path], target: str, made: str
) -> None:
    root, base = place
    (base / "root/etc").mkdir()
    os.symlink("/third", base / "root/etc/second")
    os.symlink(target, base / "root/etc/link")
    assert _path(root.make_file("/etc/link")) == str(base / "root" / made)
    assert (base / "root" / made).is_file()
    (base / "root" / made).unlink()
    assert _path(root.make_directory("/etc/link/deeper")) == str(base / "root" / made / "deeper")
    assert os.listdir(base) == ["root"]


def test_links_that_lead_nowhere_for_ever(place: tuple[Root, Path]) -> None:
    root, base = place
    os.symlink("b", base / "root/a")
    os.symlink("a", base / "root/b")
    for number in range(50):
        os.symlink(f"{number + 1}", base / f"root/{number}")
    for path in ("/a", "/0"):
        with pytest.raises(OSError, match=r"symbolic links|symlinks"):
            root.make_file(path)
        with pytest.raises(OSError, match=r"symbolic links|symlinks"):
            root.make_directory(path)


def test_a_dangling_link_is_not_followed_where_none_may_be(place: tuple[Root, Path]) -> None:
    root, base = place
    os.symlink("/nowhere", base / "root/link")
    with pytest.raises(OSError, match="symbolic links"):
        root.make_directory("/link", follow=False)
    assert not (base / "root/nowhere").exists()


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
