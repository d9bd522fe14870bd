"""cgroup v1's own: limits that the kernel keeps, and what a container sees."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import leaks
import pytest

from wherry import errdefs
from wherry.linux.cgroups import CgroupsV1, detect
from wherry.linux.cgroups.stats_v1 import parse_entries
from wherry.linux.cgroups.v1 import Hierarchy
from wherry.spec.runtime import DeviceRule, Resources

MIB = 1 << 20


def fake(root: Path) -> CgroupsV1:
    """Three hierarchies, one of two controllers, as plain directories."""
    for name in ("cpu,cpuacct", "memory", "systemd"):
        (root / name).mkdir()
    return CgroupsV1(
        [
            Hierarchy(f"{root}/cpu,cpuacct", ("cpu", "cpuacct")),
            Hierarchy(f"{root}/memory", ("memory",)),
            Hierarchy(f"{root}/systemd", ("name=systemd",)),
        ]
    )


def test_a_limit_without_its_controller_is_named_before_anything_is_made(tmp_path: Path) -> None:
    cgroups = fake(tmp_path)
    wanted: list[tuple[Resources, str]] = [
        ({"pids": {"limit": 3}}, "pids controller"),
        ({"cpu": {"cpus": "0"}}, "cpuset controller"),
        ({"blockIO": {"weight": 100}}, "blkio controller"),
        ({"devices": [{"allow": False}]}, "devices controller"),
    ]
    for resources, named in wanted:
        with pytest.raises(errdefs.EngineError, match=named) as refused:
            cgroups.create("/w/x", resources)
        assert refused.value.kind is errdefs.Kind.NOT_IMPLEMENTED
    assert not cgroups.exists("/w")
    with pytest.raises(errdefs.EngineError, match="freezer"):
        cgroups.freeze("/w/x")
    assert cgroups.controllers == {"cpu", "cpuacct", "memory"}


def test_a_private_namespace_mounts_each_hierarchy_by_its_controllers(tmp_path: Path) -> None:
    mounts = fake(tmp_path).container_mounts("/w/x", private_ns=True)
    assert [(mount["type"], mount["destination"]) for mount in mounts] == [
        ("tmpfs", "/sys/fs/cgroup"),
        ("cgroup", "/sys/fs/cgroup/cpu,cpuacct"),
        ("symlink", "/sys/fs/cgroup/cpu"),
        ("symlink", "/sys/fs/cgroup/cpuacct"),
        ("cgroup", "/sys/fs/cgroup/memory"),
        ("cgroup", "/sys/fs/cgroup/systemd"),
        ("bind", "/sys/fs/cgroup"),
    ]
    assert mounts[1]["options"][-3:] == ["ro", "cpu", "cpuacct"]
    assert mounts[2]["source"] == "cpu,cpuacct"
    assert mounts[5]["options"][-2:] == ["none", "name=systemd"]
    assert mounts[6]["options"][:3] == ["remount", "bind", "ro"]


def test_the_hosts_namespace_shows_the_containers_own_group(tmp_path: Path) -> None:
    mounts = fake(tmp_path).container_mounts("/w/x", private_ns=False, read_only=False)
    assert mounts[1]["type"] == "bind"
    assert mounts[1]["source"] == f"{tmp_path}/cpu,cpuacct/w/x"
    assert "rw" in mounts[1]["options"]
    assert not any("remount" in mount["options"] for mount in mounts)


def test_block_io_lines() -> None:
    entries = parse_entries("8:0 Read 4096\n253:16 Write 7\n8:0 Total 4096\nTotal 4103\n")
    assert [(one.major, one.minor, one.operation, one.value) for one in entries] == [
        (8, 0, "read", 4096),
        (253, 16, "write", 7),
        (8, 0, "total", 4096),
    ]


# --- On the real kernel ---------------------------------------------------------------------


@pytest.fixture
def cgroups() -> CgroupsV1:
    found = detect()
    if not isinstance(found, CgroupsV1):
        pytest.skip("this host has no cgroup v1 controllers")
    return found


@pytest.fixture
def path(cgroups: CgroupsV1) -> Iterator[str]:
    top = f"/wherry-test-v1-{os.getpid()}"
    yield f"{top}/box"
    cgroups.remove_tree(top)


def inside(cgroups: CgroupsV1, path: str, work: Callable[[], int]) -> int:
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


def value(controller: str, path: str, file: str) -> str:
    return Path(f"/sys/fs/cgroup/{controller}{path}/{file}").read_text().strip()


def refusal(kind: errdefs.Kind, call: Callable[[], object]) -> str:
    with pytest.raises(errdefs.EngineError) as refused:
        call()
    assert refused.value.kind is kind, refused.value.message
    return refused.value.message


@pytest.mark.root
def test_limits_reach_the_kernel(cgroups: CgroupsV1, path: str) -> None:
    resources: Resources = {
        "memory": {"limit": 64 * MIB, "reservation": 32 * MIB, "swappiness": 10},
        "cpu": {"shares": 512, "quota": 50000, "period": 200000, "burst": 1000, "cpus": "0"},
        "pids": {"limit": 10},
    }
    cgroups.create(path, resources)
    assert value("memory", path, "memory.limit_in_bytes") == str(64 * MIB)
    assert value("memory", path, "memory.soft_limit_in_bytes") == str(32 * MIB)
    assert value("memory", path, "memory.swappiness") == "10"
    assert value("cpu", path, "cpu.shares") == "512"
    assert value("cpu", path, "cpu.cfs_quota_us") == "50000"
    assert value("cpu", path, "cpu.cfs_period_us") == "200000"
    assert value("cpu", path, "cpu.cfs_burst_us") == "1000"
    assert value("cpuset", path, "cpuset.cpus") == "0"
    assert value("pids", path, "pids.max") == "10"
    stats = cgroups.stats(path)
    assert stats.memory is not None
    assert stats.memory.limit == 64 * MIB
    assert stats.pids is not None
    assert stats.pids.limit == 10


@pytest.mark.root
def test_limits_move_together_in_any_order(cgroups: CgroupsV1, path: str) -> None:
    if not cgroups.supports("memory.swap"):
        pytest.skip("this kernel does not account swap")
    cgroups.create(path)
    for limit, swap in ((64, 128), (256, 512), (32, 32), (300, 300), (-1, -1), (16, 20)):
        memory = {"limit": limit * MIB, "swap": swap * MIB} if limit > 0 else {"limit": -1}
        cgroups.update(path, {"memory": memory})
        stats = cgroups.stats(path).memory
        assert stats is not None
        assert stats.limit == (limit * MIB if limit > 0 else None)
    for quota, burst in ((50000, 40000), (10000, 5000), (90000, 80000)):
        cgroups.update(path, {"cpu": {"quota": quota, "burst": burst}})
        assert value("cpu", path, "cpu.cfs_quota_us") == str(quota)


@pytest.mark.root
def test_too_much_memory_is_an_oom_kill(cgroups: CgroupsV1, path: str) -> None:
    memory: Resources = {"memory": {"limit": 24 * MIB}}
    if cgroups.supports("memory.swap"):
        memory["memory"]["swap"] = 24 * MIB
    cgroups.create(path, memory)
    assert inside(cgroups, path, lambda: len(bytearray(b"x") * (64 * MIB))) == -signal.SIGKILL
    assert cgroups.oom_kills(path) == 1
    stats = cgroups.stats(path).memory
    assert stats is not None
    assert 16 * MIB < stats.max_usage <= 24 * MIB


@pytest.mark.root
def test_too_many_processes(cgroups: CgroupsV1, path: str) -> None:
    cgroups.create(path, {"pids": {"limit": 1}})

    def fork() -> int:
        try:
            os.fork()
        except BlockingIOError:
            return 3
        return 0

    assert inside(cgroups, path, fork) == 3
    cgroups.update(path, {"pids": {"limit": -1}})
    assert inside(cgroups, path, lambda: os.waitpid(pid, 0)[1] if (pid := os.fork()) else 0) == 0


@pytest.mark.root
def test_devices_that_are_denied(cgroups: CgroupsV1, path: str) -> None:
    null: DeviceRule = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"}
    cgroups.create(path, {"devices": [{"allow": False, "access": "rwm"}, null]})
    assert value("devices", path, "devices.list") == "c 1:3 rw"

    def open_both() -> int:
        os.close(os.open("/dev/null", os.O_RDWR))
        try:
            os.open("/dev/zero", os.O_RDONLY)
        except PermissionError:
            return 4
        return 0

    assert inside(cgroups, path, open_both) == 4


@pytest.mark.root
def test_a_limit_below_what_is_in_use_is_a_conflict(cgroups: CgroupsV1, path: str) -> None:
    cgroups.create(path)
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            cgroups.join(path)
            kept = bytearray(b"x") * (32 * MIB)
            os.write(told, b".")
            signal.pause()
            kept.clear()
        finally:
            os._exit(0)
    os.read(ready, 1)
    smaller: Resources = {"memory": {"limit": MIB, "swap": MIB}}
    if not cgroups.supports("memory.swap"):
        smaller = {"memory": {"limit": MIB}}
    try:
        message = refusal(errdefs.Kind.CONFLICT, lambda: cgroups.update(path, smaller))
        assert "in use" in message
        assert path in message
    finally:
        os.close(ready)
        os.close(told)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.root
@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ({"cpu": {"cpus": "4000"}}, "cpu.cpus"),
        ({"cpu": {"mems": "63"}}, "cpu.mems"),
        ({"cpu": {"quota": 10}}, "cpu.quota"),
        ({"cpu": {"period": 10}}, "cpu.period"),
        ({"cpu": {"quota": 1000, "burst": 5000}}, "cpu.burst"),
        ({"cpu": {"realtimeRuntime": 900000}}, "cpu.realtimeRuntime"),
    ],
)
def test_the_kernels_refusals_are_one_sentence(
    cgroups: CgroupsV1, path: str, resources: Resources, named: str
) -> None:
    if not cgroups.supports(named):
        pytest.skip(f"this kernel has no {named}")
    message = refusal(errdefs.Kind.INVALID_ARGUMENT, lambda: cgroups.create(path, resources))
    assert named in message
    assert path in message
    assert not cgroups.exists(path)


@pytest.mark.root
def test_a_device_that_is_not_there(cgroups: CgroupsV1, path: str) -> None:
    resources: Resources = {
        "blockIO": {"throttleReadBpsDevice": [{"major": 4000, "minor": 1, "rate": 9}]}
    }
    message = refusal(errdefs.Kind.INVALID_ARGUMENT, lambda: cgroups.create(path, resources))
    assert "4000:1" in message


@pytest.mark.root
def test_what_is_supported_is_known(cgroups: CgroupsV1) -> None:
    assert cgroups.supports("memory.limit") == ("memory" in cgroups.controllers)
    assert cgroups.supports("pids.limit") == ("pids" in cgroups.controllers)
    assert not cgroups.supports("memory.kernel")
    assert not cgroups.supports("nonsense")


@pytest.mark.root
def test_a_parent_that_was_left_empty_is_filled(tmp_path: Path) -> None:
    """A cpuset whose maker died before it was given processors takes no task."""
    found = detect()
    if found.version != 1 or "cpuset" not in found.controllers:
        pytest.skip("needs cgroup v1's cpuset controller")
    parent = leaks.cgroup_name("test")
    directory = Path("/sys/fs/cgroup/cpuset") / parent[1:]
    directory.mkdir()
    try:
        assert (directory / "cpuset.cpus").read_text().strip() == ""
        found.create(f"{parent}/one")
        assert (directory / "cpuset.cpus").read_text().strip()
        assert (directory / "one/cpuset.mems").read_text().strip()
    finally:
        found.remove_tree(parent)
