"""Forks into a cgroup, and of siblings."""

import os
import secrets
from pathlib import Path

import pytest

from wherry.linux import fork
from wherry.linux import syscalls as sc


def _ended_well(pid: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_it_is_a_fork() -> None:
    pid = fork.fork()
    if pid == 0:
        os._exit(0 if os.getppid() else 1)
    assert _ended_well(pid)


def test_a_sibling_is_its_makers_parents_child() -> None:
    us = os.getpid()
    reader, writer = os.pipe()
    maker = os.fork()
    if maker == 0:
        sibling = fork.fork(sibling=True)
        if sibling == 0:
            os.write(writer, b"yes" if os.getppid() == us else b"no")
            os._exit(0)
        os._exit(0)
    assert os.read(reader, 3) == b"yes"
    reaped = {os.waitpid(-1, 0)[0], os.waitpid(-1, 0)[0]}
    assert maker in reaped
    assert len(reaped) == 2
    os.close(reader)
    os.close(writer)


@pytest.mark.root
def test_a_child_is_born_in_its_cgroup() -> None:
    for tree in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
        if (tree / "cgroup.controllers").exists():
            break
    else:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    group = tree / f"wherry-test-{secrets.token_hex(4)}"
    group.mkdir()
    fd = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    try:
        pid = fork.fork(fd)
        if pid == 0:
            mine = Path("/proc/self/cgroup").read_text()
            os._exit(0 if f"0::/{group.name}\n" in mine else 1)
        assert _ended_well(pid)
    finally:
        os.close(fd)
        group.rmdir()


def test_what_the_kernel_refuses_is_raised() -> None:
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="clone3"):
        fork.fork(reader)
    os.close(reader)
    os.close(writer)


def test_openat2_stays_below(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    os.symlink("/etc", tmp_path / "in/link")
    root = os.open(tmp_path / "in", os.O_PATH)
    with pytest.raises(OSError, match="cross-device"):
        sc.openat2(root, "../x", os.O_PATH, 0, sc.RESOLVE_BENEATH)
    with pytest.raises(FileNotFoundError):
        sc.openat2(root, "link/passwd", os.O_PATH, 0, sc.RESOLVE_IN_ROOT)
    os.close(root)
