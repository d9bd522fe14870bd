"""Mounts as values, and as descriptors that no mount table shows."""

import json
import os
from pathlib import Path

import pytest

from wherry.linux import mounts, pty
from wherry.linux import syscalls as sc
from wherry.linux.mounts import BindRoot, OverlayRoot, root_mount_from_json, root_mount_to_json

ROOTS = [
    OverlayRoot(("/top", "/bottom"), "/up", "/work"),
    OverlayRoot(("/one",), "/up", "/work", volatile=True),
    BindRoot("/somewhere"),
]


@pytest.mark.parametrize("root", ROOTS)
def test_a_root_travels_as_json(root: mounts.RootMount) -> None:
    assert root_mount_from_json(json.loads(json.dumps(root_mount_to_json(root)))) == root


def test_a_root_describes_itself() -> None:
    assert ROOTS[0].describe() == (
        "overlay type overlay (lowerdir=/top:/bottom,upperdir=/up,workdir=/work)"
    )
    assert ROOTS[1].describe().endswith(",volatile)")
    assert ROOTS[2].describe() == "/somewhere type none (bind)"


@pytest.fixture
def overlay(tmp_path: Path) -> OverlayRoot:
    for name in ("a", "b", "upper", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/both").write_text("a")
    (tmp_path / "b/both").write_text("b")
    (tmp_path / "b/below").write_text("b")
    lower = (str(tmp_path / "a"), str(tmp_path / "b"))
    return OverlayRoot(lower, str(tmp_path / "upper"), str(tmp_path / "work"))


@pytest.mark.root
def test_an_overlay_is_seen_only_through_its_descriptor(
    overlay: OverlayRoot, tmp_path: Path
) -> None:
    fd = overlay.open()
    try:
        inside = Path(f"/proc/self/fd/{fd}")
        assert sorted(os.listdir(inside)) == ["below", "both"]
        assert (inside / "both").read_text() == "a"
        (inside / "new").write_text("x")
        assert (tmp_path / "upper/new").read_text() == "x"
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    finally:
        os.close(fd)


@pytest.mark.root
def test_two_hundred_layers_with_long_names(tmp_path: Path) -> None:
    """An option's value holds 255 bytes; a layer's path may be longer than that."""
    base = tmp_path / ("x" * 200)
    lower = []
    for number in range(200):
        layer = base / f"{number:03}{'y' * 60}"
        layer.mkdir(parents=True)
        (layer / f"f{number}").touch()
        lower.append(str(layer))
    for name in ("upper", "work"):
        (base / name).mkdir()
    fd = OverlayRoot(tuple(lower), str(base / "upper"), str(base / "work")).open()
    try:
        assert len(os.listdir(f"/proc/self/fd/{fd}")) == 200
    finally:
        os.close(fd)


@pytest.mark.root
def test_what_the_kernel_refuses_is_said() -> None:
    with pytest.raises(OSError, match="no-such-option=1"):
        mounts.open_filesystem("tmpfs", "t", ["no-such-option=1"])
    with pytest.raises(OSError, match="No such device"):
        mounts.open_filesystem("no-such-filesystem", "t")


def test_options_that_the_old_call_would_cut_are_refused() -> None:
    with pytest.raises(OSError, match="exceed a page"):
        sc.mount("t", "/nowhere", "tmpfs", 0, "x" * 4096)


@pytest.mark.root
def test_a_terminal_from_a_devpts_of_ours() -> None:
    mount = mounts.open_filesystem("devpts", "devpts", ["ptmxmode=0666"])
    directory = os.open(f"/proc/self/fd/{mount}", os.O_RDONLY | os.O_DIRECTORY)
    master, slave = pty.open_pair(directory)
    try:
        assert pty.number(master) == 0
        pty.set_size(master, 12, 34)
        assert os.get_terminal_size(slave) == (34, 12)
        os.write(slave, b"out\n")
        assert os.read(master, 16) == b"out\r\n"
    finally:
        for fd in (master, slave, directory, mount):
            os.close(fd)


def test_descriptors_are_closed_but_for_those_kept() -> None:
    pid = os.fork()
    if pid == 0:
        kept = os.dup(1)
        lost = os.dup(1)
        sc.close_all_but((0, 1, 2, kept))
        try:
            os.fstat(kept)
            os.fstat(lost)
        except OSError as error:
            os._exit(0 if error.errno == 9 else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
