"""OCI Resources become the right writes, on both versions, or an error that names the limit."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry import errdefs
from wherry.linux.cgroups.limits import (
    Setting,
    io_weight,
    v1_settings,
    v2_settings,
    weight_from_shares,
)
from wherry.linux.cgroups.samples import V1_SAMPLES, V2_SAMPLES
from wherry.linux.cgroups.settle import settle
from wherry.spec.runtime import Resources

EXAMPLES = 2000 if os.environ.get("WHERRY_SOAK") else 50

DEVICE = {"major": 8, "minor": 16}


def writes(found: list[Setting]) -> list[tuple[str, str]]:
    return [setting.choices[0] for setting in found]


@pytest.mark.parametrize(
    ("resources", "v1", "v2"),
    [
        ({}, [], []),
        (
            {"memory": {"limit": 64, "swap": 100, "reservation": 32}},
            [
                ("memory.limit_in_bytes", "64"),
                ("memory.memsw.limit_in_bytes", "100"),
                ("memory.soft_limit_in_bytes", "32"),
            ],
            [("memory.max", "64"), ("memory.swap.max", "36"), ("memory.low", "32")],
        ),
        (
            {"memory": {"limit": 64, "swap": -1}},
            [("memory.limit_in_bytes", "64"), ("memory.memsw.limit_in_bytes", "-1")],
            [("memory.max", "64"), ("memory.swap.max", "max")],
        ),
        (
            {"memory": {"limit": 64, "swap": 64}},
            [("memory.limit_in_bytes", "64"), ("memory.memsw.limit_in_bytes", "64")],
            [("memory.max", "64"), ("memory.swap.max", "0")],
        ),
        (
            {"memory": {"limit": -1}},
            [("memory.limit_in_bytes", "-1"), ("memory.memsw.limit_in_bytes", "-1")],
            [("memory.max", "max"), ("memory.swap.max", "max")],
        ),
        ({"memory": {"limit": 0, "swap": 0, "reservation": 0, "kernel": -1}}, [], []),
        (
            {"cpu": {"shares": 1024, "quota": 50000, "period": 100000, "burst": 10}},
            [
                ("cpu.shares", "1024"),
                ("cpu.cfs_period_us", "100000"),
                ("cpu.cfs_quota_us", "50000"),
                ("cpu.cfs_burst_us", "10"),
            ],
            [("cpu.weight", "100"), ("cpu.max", "50000 100000"), ("cpu.max.burst", "10")],
        ),
        (
            {"cpu": {"quota": -1, "period": 100000}},
            [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "-1")],
            [("cpu.max", "max 100000")],
        ),
        ({"cpu": {"quota": 5000}}, [("cpu.cfs_quota_us", "5000")], [("cpu.max", "5000")]),
        (
            {"cpu": {"cpus": "0-1,3", "mems": "0", "idle": 1}},
            [("cpu.idle", "1"), ("cpuset.cpus", "0-1,3"), ("cpuset.mems", "0")],
            [("cpu.idle", "1"), ("cpuset.cpus", "0-1,3"), ("cpuset.mems", "0")],
        ),
        ({"pids": {"limit": 7}}, [("pids.max", "7")], [("pids.max", "7")]),
        ({"pids": {"limit": -1}}, [("pids.max", "max")], [("pids.max", "max")]),
        ({"pids": {"limit": 0}}, [], []),
        (
            {"blockIO": {"weight": 500, "weightDevice": [{**DEVICE, "weight": 10}]}},
            [("blkio.weight", "500"), ("blkio.weight_device", "8:16 10")],
            [("io.bfq.weight", "500"), ("io.bfq.weight", "8:16 10")],
        ),
        (
            {
                "blockIO": {
                    "throttleReadBpsDevice": [{**DEVICE, "rate": 1}],
                    "throttleWriteBpsDevice": [{**DEVICE, "rate": 2}],
                    "throttleReadIOPSDevice": [{**DEVICE, "rate": 3}],
                    "throttleWriteIOPSDevice": [{**DEVICE, "rate": 0}],
                }
            },
            [
                ("blkio.throttle.read_bps_device", "8:16 1"),
                ("blkio.throttle.write_bps_device", "8:16 2"),
                ("blkio.throttle.read_iops_device", "8:16 3"),
                ("blkio.throttle.write_iops_device", "8:16 0"),
            ],
            [
                ("io.max", "8:16 rbps=1"),
                ("io.max", "8:16 wbps=2"),
                ("io.max", "8:16 riops=3"),
                ("io.max", "8:16 wiops=max"),
            ],
        ),
    ],
)
def test_resources_become_writes(
    resources: Resources, v1: list[tuple[str, str]], v2: list[tuple[str, str]]
) -> None:
    assert writes(v1_settings(resources)) == v1
    assert writes(v2_settings(resources)) == v2


def test_weights_have_a_file_by_the_scheduler() -> None:
    resources: Resources = {"blockIO": {"weight": 1000}}
    assert v1_settings(resources)[0].choices[1] == ("blkio.bfq.weight", "1000")
    assert v2_settings(resources)[0].choices[1] == ("io.weight", "10000")


def test_unified_is_v2s_and_comes_last() -> None:
    resources: Resources = {"memory": {"limit": 9}, "unified": {"memory.max": "8"}}
    assert writes(v2_settings(resources)) == [("memory.max", "9"), ("memory.max", "8")]
    with pytest.raises(errdefs.EngineError, match=r"memory\.max") as refused:
        v1_settings(resources)
    assert refused.value.kind is errdefs.Kind.NOT_IMPLEMENTED


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ({"memory": {"limit": -2}}, "memory.limit"),
        ({"memory": {"limit": 100, "swap": 99}}, "memory.swap"),
        ({"memory": {"limit": -1, "swap": 99}}, "memory.swap"),
        ({"memory": {"swappiness": 101}}, "memory.swappiness"),
        ({"cpu": {"shares": -1}}, "cpu.shares"),
        ({"cpu": {"quota": -2}}, "cpu.quota"),
        ({"cpu": {"cpus": "0;1"}}, "cpu.cpus"),
        ({"blockIO": {"weight": 9}}, "blockIO.weight"),
        ({"blockIO": {"weightDevice": [{**DEVICE, "weight": 1001}]}}, "weightDevice 8:16"),
        ({"blockIO": {"throttleReadBpsDevice": [{**DEVICE, "rate": -1}]}}, "throttleReadBps"),
    ],
)
def test_nonsense_is_refused_by_name_on_both_versions(resources: Resources, named: str) -> None:
    for convert in (v1_settings, v2_settings):
        with pytest.raises(errdefs.EngineError, match=named) as refused:
            convert(resources)
        assert refused.value.kind is errdefs.Kind.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ({"memory": {"kernel": 1}}, "memory.kernel"),
        ({"memory": {"swappiness": 0}}, "memory.swappiness"),
        ({"memory": {"disableOOMKiller": True}}, "memory.disableOOMKiller"),
        ({"cpu": {"realtimeRuntime": 1}}, "cpu.realtimeRuntime"),
        ({"blockIO": {"leafWeight": 10}}, "blockIO.leafWeight"),
    ],
)
def test_what_v2_lacks_is_refused_by_name(resources: Resources, named: str) -> None:
    with pytest.raises(errdefs.EngineError, match=named) as refused:
        v2_settings(resources)
    assert refused.value.kind is errdefs.Kind.NOT_IMPLEMENTED
    assert v1_settings(resources)


@pytest.mark.parametrize("key", ["hugepageLimits", "network", "rdma"])
def test_limits_of_the_oci_that_are_not_kept_yet_are_refused(key: str) -> None:
    for convert in (v1_settings, v2_settings):
        with pytest.raises(errdefs.EngineError, match=key):
            convert({key: [{"pageSize": "2MB"}]})  # type: ignore[misc]  # not in our TypedDict
        assert convert({key: []}) == []  # type: ignore[misc]


@pytest.mark.parametrize("file", ["memory", "memory.", ".max", "../memory.max", "a/b.c"])
def test_unified_keys_are_files_of_the_group(file: str) -> None:
    with pytest.raises(errdefs.EngineError, match="unified"):
        v2_settings({"unified": {file: "1"}})


@pytest.mark.parametrize("shares", [0, 1, 262145])
def test_v1_refuses_shares_that_the_kernel_would_bend(shares: int) -> None:
    if shares == 0:
        assert v1_settings({"cpu": {"shares": 0}}) == []
        return
    with pytest.raises(errdefs.EngineError, match=r"cpu\.shares"):
        v1_settings({"cpu": {"shares": shares}})


def test_shares_become_weights_as_runc_makes_them() -> None:
    known = {1: 1, 2: 1, 1024: 100, 262144: 10000, 1 << 20: 10000}
    assert {shares: weight_from_shares(shares) for shares in known} == known


@settings(max_examples=EXAMPLES)
@given(st.integers(2, 262143))
def test_more_shares_never_weigh_less(shares: int) -> None:
    assert 1 <= weight_from_shares(shares) <= weight_from_shares(shares + 1) <= 10000


def test_io_weights_span_v2s_range() -> None:
    assert (io_weight(10), io_weight(1000)) == (1, 10000)


def test_every_limit_has_a_sample() -> None:
    assert {"memory.swap", "cpu.period", "pids.limit", "blockIO.weight"} <= set(V1_SAMPLES)
    assert set(V2_SAMPLES) <= set(V1_SAMPLES)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (setting,) = v1_settings({"memory": {"swappiness": 3}})
    with pytest.raises(errdefs.EngineError, match=r"memory\.swappiness of cgroup /x") as refused:
        settle("/x", [(str(tmp_path), setting)])
    assert refused.value.kind is errdefs.Kind.NOT_IMPLEMENTED
    with pytest.raises(errdefs.EngineError, match="no such cgroup: /x") as gone:
        settle("/x", [(str(tmp_path / "gone"), setting)])
    assert gone.value.kind is errdefs.Kind.NOT_FOUND


def test_the_first_file_that_is_there_takes_the_value(tmp_path: Path) -> None:
    (tmp_path / "io.weight").touch()
    settle("/x", [(str(tmp_path), setting) for setting in v2_settings({"blockIO": {"weight": 10}})])
    assert (tmp_path / "io.weight").read_text() == "1"


def test_what_another_limit_implies_is_left_out_where_it_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "memory.limit_in_bytes").touch()
    settle("/x", [(str(tmp_path), one) for one in v1_settings({"memory": {"limit": -1}})])
    assert [entry.name for entry in tmp_path.iterdir()] == ["memory.limit_in_bytes"]
