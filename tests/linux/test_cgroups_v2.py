"""cgroup v2's own: handing controllers down, files with other names, on a tree of plain files."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wherry import errdefs
from wherry.linux.cgroups import BlockIOEntry, CgroupsV2, detect, files
from wherry.linux.cgroups.stats_v2 import parse_io_stat
from wherry.spec.runtime import Resources

CONTROLLERS = "cpuset cpu io memory hugetlb pids rdma misc"
FILES = {
    "cpu": {"cpu.weight": "100", "cpu.max": "max 100000", "cpu.max.burst": "0", "cpu.idle": "0"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": ""},
    "io": {"io.max": "", "io.weight": "default 100", "io.stat": ""},
    "memory": {
        "memory.current": "8192",
        "memory.peak": "9000",
        "memory.max": "max",
        "memory.low": "0",
        "memory.swap.max": "max",
        "memory.swap.current": "12",
        "memory.stat": "anon 4096\nfile 2048\ninactive_file 1024",
        "memory.events": "low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\noom_group_kill 0",
    },
    "pids": {"pids.current": "3", "pids.max": "max"},
}
CORE = {
    "cgroup.procs": "",
    "cgroup.subtree_control": "",
    "cgroup.freeze": "0",
    "cgroup.events": "populated 0\nfrozen 0",
    "cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 2\n"
    "throttled_usec 7",
}


def populate(directory: Path, controllers: str) -> None:
    """What the kernel would put into a new group."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cgroup.controllers").write_text(controllers + "\n")
    given = [FILES.get(name, {}) for name in controllers.split()]
    for texts in (CORE, *given):
        for name, text in texts.items():
            (directory / name).write_text(text + "\n" if text else "")


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    for group in ("", "wherry", "wherry/x"):
        populate(tmp_path / group, CONTROLLERS)
    return tmp_path


def wrote(mount: Path, file: str) -> str:
    """A control file's first line: plain files keep the rest of what was there before."""
    return (mount / "wherry/x" / file).read_text()


def test_controllers_are_handed_down_on_the_way_and_not_in_the_leaf(mount: Path) -> None:
    CgroupsV2(str(mount)).create("/wherry/x", shared=True)
    handed = "+cpu +cpuset +hugetlb +io +memory +pids"
    assert (mount / "cgroup.subtree_control").read_text() == handed
    assert (mount / "wherry/cgroup.subtree_control").read_text() == handed
    assert wrote(mount, "cgroup.subtree_control") == ""


def test_what_is_enabled_already_is_left_alone(mount: Path) -> None:
    for group in ("", "wherry"):
        (mount / group / "cgroup.subtree_control").write_text("cpu cpuset hugetlb io memory pids")
    CgroupsV2(str(mount)).create("/wherry/x", shared=True)
    assert "+" not in (mount / "cgroup.subtree_control").read_text()


def test_limits_go_to_their_files(mount: Path) -> None:
    resources: Resources = {
        "memory": {"limit": 100000, "swap": 150000, "reservation": 5},
        "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0-1"},
        "pids": {"limit": 77},
        "blockIO": {
            "weight": 1000,
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}],
        },
        "unified": {"cpu.idle": "1"},
    }
    CgroupsV2(str(mount)).create("/wherry/x", resources, shared=True)
    for file, value in {
        "memory.max": "100000",
        "memory.swap.max": "50000",
        "memory.low": "5",
        "cpu.weight": "100",
        "cpu.max": "50000 100000",
        "cpuset.cpus": "0-1",
        "pids.max": "77",
        "io.weight": "10000",
        "io.max": "8:0 rbps=9",
        "cpu.idle": "1",
    }.items():
        assert wrote(mount, file).startswith(value), file


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ({"memory": {"limit": 1 << 20}}, "memory.limit of cgroup /wherry/x needs the memory"),
        ({"unified": {"rdma.max": "x"}}, "unified.rdma.max of cgroup /wherry/x needs the rdma"),
        ({"unified": {"cgroup.no": "1"}}, "does not have cgroup.no"),
    ],
)
def test_a_limit_without_its_controller_is_named(
    mount: Path, resources: Resources, named: str
) -> None:
    populate(mount / "wherry/x", "cpu pids")
    with pytest.raises(errdefs.EngineError, match=named) as refused:
        CgroupsV2(str(mount)).create("/wherry/x", resources, shared=True)
    assert refused.value.kind is errdefs.Kind.NOT_IMPLEMENTED


def test_stats(mount: Path) -> None:
    (mount / "wherry/x/io.stat").write_text("8:0 rbytes=1 wbytes=2 rios=3 wios=4\n")
    stats = CgroupsV2(str(mount)).stats("/wherry/x")
    assert stats.cpu is not None
    assert (stats.cpu.total_ns, stats.cpu.user_ns, stats.cpu.system_ns) == (30000, 20000, 10000)
    assert (stats.cpu.periods, stats.cpu.throttled_periods, stats.cpu.throttled_ns) == (4, 2, 7000)
    assert stats.memory is not None
    assert (stats.memory.usage, stats.memory.max_usage, stats.memory.limit) == (8192, 9000, None)
    assert (stats.memory.cache, stats.memory.inactive_file) == (2048, 1024)
    assert (stats.memory.swap, stats.memory.failures) == (12, 5)
    assert stats.pids is not None
    assert (stats.pids.current, stats.pids.limit) == (3, None)
    assert stats.block_io is not None
    assert stats.block_io.serviced[1] == BlockIOEntry(8, 0, "write", 4)


def test_stats_without_controllers(mount: Path) -> None:
    populate(mount / "wherry/x", "")
    stats = CgroupsV2(str(mount)).stats("/wherry/x")
    assert stats.cpu is not None
    assert (stats.memory, stats.pids, stats.block_io) == (None, None, None)


def test_oom_kills(mount: Path) -> None:
    assert CgroupsV2(str(mount)).oom_kills("/wherry/x") == 1


def test_io_stat_lines() -> None:
    parsed = parse_io_stat("8:0 rbytes=1 dios=2 cost.usage=3\n(unknown) \n259:1 \n7:1 wbytes=5")
    assert parsed.service_bytes == (BlockIOEntry(8, 0, "read", 1), BlockIOEntry(7, 1, "write", 5))
    assert parsed.serviced == (BlockIOEntry(8, 0, "discard", 2),)


def test_an_empty_group_is_not_written_to_by_kill(mount: Path) -> None:
    CgroupsV2(str(mount)).kill("/wherry/x")
    assert not (mount / "wherry/x/cgroup.kill").exists()


@pytest.mark.parametrize("private", [True, False])
def test_a_container_sees_one_tree(mount: Path, private: bool) -> None:
    (one,) = CgroupsV2(str(mount)).container_mounts("/wherry/x", private_ns=private)
    assert (one["type"], one["destination"]) == ("cgroup2", "/sys/fs/cgroup")
    assert "ro" in one["options"]
    (one,) = CgroupsV2(str(mount)).container_mounts("/wherry/x", private, read_only=False)
    assert "rw" in one["options"]


def test_what_is_supported_is_known(mount: Path) -> None:
    cgroups = CgroupsV2(str(mount))
    assert cgroups.supports("memory.swap")
    assert cgroups.supports("blockIO.weight")
    assert cgroups.supports("cpu.period")
    assert not cgroups.supports("memory.swappiness")
    (mount / "wherry/memory.swap.max").unlink()
    assert not cgroups.supports("memory.swap")


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EOPNOTSUPP, errno.EPERM])
def test_what_can_not_be_handed_down_is_missed_only_by_who_needs_it(
    mount: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.write

    def write(path: str, value: str) -> None:
        if path.endswith("cgroup.subtree_control"):
            raise OSError(code, os.strerror(code), path)
        real(path, value)

    monkeypatch.setattr(files, "write", write)
    populate(mount / "wherry/x", "pids")
    cgroups = CgroupsV2(str(mount))
    cgroups.create("/wherry/x", {"pids": {"limit": 5}}, shared=True)
    with pytest.raises(errdefs.EngineError, match="needs the memory controller"):
        cgroups.update("/wherry/x", {"memory": {"limit": 1 << 20}})


# --- On a real host with cgroup v2 ----------------------------------------------------------


@pytest.fixture
def group() -> Iterator[tuple[CgroupsV2, str]]:
    found = detect()
    if not isinstance(found, CgroupsV2) or not {"memory", "cpu", "pids"} <= found.controllers:
        pytest.skip("this host has no cgroup v2 with memory, cpu and pids")
    top = f"/wherry-test-v2-{os.getpid()}"
    yield found, f"{top}/box"
    found.remove_tree(top)


def inside(cgroups: CgroupsV2, path: str, work: Callable[[], int]) -> int:
    """The exit code of a process that joins the group and exits with what `work` answers."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            cgroups.join(path)
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.root
def test_the_kernel_keeps_the_limits(group: tuple[CgroupsV2, str]) -> None:
    cgroups, path = group
    limit = 32 << 20
    resources: Resources = {
        "memory": {"limit": limit, "swap": limit},
        "cpu": {"shares": 512, "quota": 50000, "period": 200000},
        "pids": {"limit": 1},
    }
    cgroups.create(path, resources)
    stats = cgroups.stats(path)
    assert stats.memory is not None
    assert stats.memory.limit == limit
    assert inside(cgroups, path, lambda: len(bytearray(b"x") * (96 << 20))) == -signal.SIGKILL
    assert cgroups.oom_kills(path) == 1

    def fork() -> int:
        try:
            os.fork()
        except BlockingIOError:
            return 3
        return 0

    assert inside(cgroups, path, fork) == 3
    with pytest.raises(errdefs.EngineError, match=r"cpu\.quota") as refused:
        cgroups.update(path, {"cpu": {"quota": 10}})
    assert refused.value.kind is errdefs.Kind.INVALID_ARGUMENT


@pytest.mark.root
def test_a_group_with_processes_hands_nothing_down(group: tuple[CgroupsV2, str]) -> None:
    cgroups, path = group
    cgroups.create(path)

    def below() -> int:
        try:
            cgroups.create(path + "/below", {"memory": {"limit": 1 << 20}})
        except errdefs.EngineError as error:
            return 3 if "needs the memory controller" in error.message else 4
        return 0

    assert inside(cgroups, path, below) == 3
    assert not cgroups.exists(path + "/below")
