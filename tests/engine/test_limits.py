"""Docker's rules for limits: what it refuses, what it warns of, what it fills in."""

import pytest

from wherry.engine.host import Host, parse_numbers
from wherry.engine.model import HostConfig, Ulimit
from wherry.engine.runtime_spec.limits import resources, settle
from wherry.engine.runtime_spec.ulimits import rlimits
from wherry.errdefs import EngineError

MB = 1024 * 1024
HOST = Host()
WEAK = Host(capabilities=0, hard_limits={7: 20000})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {}),
        ({"memory": 64 * MB}, {"memory": {"limit": 64 * MB, "swap": 128 * MB}}),
        ({"memory": 64 * MB, "memory_swap": -1}, {"memory": {"limit": 64 * MB, "swap": -1}}),
        (
            {"memory": 64 * MB, "memory_swap": 64 * MB},
            {"memory": {"limit": 64 * MB, "swap": 64 * MB}},
        ),
        ({"memory_swappiness": -1}, {}),
        ({"memory_swappiness": 0}, {"memory": {"swappiness": 0}}),
        ({"memory_reservation": 8 * MB}, {"memory": {"reservation": 8 * MB}}),
        ({"nano_cpus": 1_500_000_000}, {"cpu": {"period": 100000, "quota": 150000}}),
        ({"cpu_period": 50000, "cpu_quota": 25000}, {"cpu": {"period": 50000, "quota": 25000}}),
        ({"cpu_shares": 512, "cpuset_cpus": "0-1"}, {"cpu": {"shares": 512, "cpus": "0-1"}}),
        ({"pids_limit": 100}, {"pids": {"limit": 100}}),
        ({"pids_limit": 0}, {}),
        ({"pids_limit": -1}, {}),
        ({"blkio_weight": 500}, {"blockIO": {"weight": 500}}),
        (
            {"memory": 64 * MB, "oom_kill_disable": True},
            {"memory": {"limit": 64 * MB, "swap": 128 * MB, "disableOOMKiller": True}},
        ),
    ],
)
def test_limits_in_oci_form(asked: dict[str, int], expected: dict[str, object]) -> None:
    settled = settle(HostConfig(**asked), HOST)
    assert resources(settled.host, HOST) == expected
    assert settled.warnings == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"memory": 1}, "Minimum memory limit allowed is 6MB"),
        ({"memory": -5}, "Minimum memory limit allowed is 6MB"),
        ({"memory_swap": 64 * MB}, "You should always set the Memory limit"),
        ({"memory": 64 * MB, "memory_swap": MB}, "Minimum memoryswap limit should be larger"),
        ({"memory_swappiness": 101}, "valid memory swappiness range is 0-100"),
        ({"memory_reservation": 1}, "Minimum memory reservation allowed is 6MB"),
        ({"memory": 8 * MB, "memory_reservation": 9 * MB}, "can not be less than memory reserv"),
        ({"nano_cpus": 1, "cpu_period": 5000}, "Nano CPUs and CPU Period cannot both"),
        ({"nano_cpus": 1, "cpu_quota": 5000}, "Nano CPUs and CPU Quota cannot both"),
        ({"nano_cpus": 3_000_000_000}, "range of CPUs is from 0.01 to 2.00"),
        ({"nano_cpus": -1}, "range of CPUs is from 0.01 to 2.00"),
        ({"cpu_period": 1}, "CPU cfs period can not be less than 1ms"),
        ({"cpu_quota": 1}, "CPU cfs quota can not be less than 1ms"),
        ({"cpu_quota": -2}, "CPU cfs quota can not be less than 1ms"),
        ({"cpu_quota": 1 << 44}, "CPU cfs quota can not be larger"),
        ({"cpu_shares": -1}, r"invalid CPU shares \(-1\): value must be a positive integer"),
        ({"pids_limit": (1 << 22) + 1}, "PidsLimit 4194305: a machine has"),
        (
            {"cpuset_cpus": "0-7"},
            "Requested CPUs are not available - requested 0-7, available: 0-1",
        ),
        ({"cpuset_cpus": "a"}, "Invalid value a for cpuset cpus: invalid format: a"),
        ({"cpuset_mems": "1"}, "Requested memory nodes are not available"),
        ({"blkio_weight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"oom_score_adj": 1001}, r"range for oom score adj is \[-1000, 1000\]"),
    ],
)
def test_bad_limits_are_refused_in_dockers_words(asked: dict[str, int], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        settle(HostConfig(**asked), HOST)


@pytest.mark.parametrize("shares", [1, 262145, 2**63 - 1])
def test_shares_that_only_v2_converts(shares: int) -> None:
    assert settle(HostConfig(cpu_shares=shares), HOST).host.cpu_shares == shares
    with pytest.raises(EngineError, match=rf"invalid CPU shares \({shares}\): the m.* allowed"):
        settle(HostConfig(cpu_shares=shares), Host(cgroup_version=1))


def test_twice_the_memory_stays_a_number_of_64_bits() -> None:
    assert settle(HostConfig(memory=2**63 - 1), HOST).host.memory_swap == 2**63 - 1


def test_what_the_kernel_cannot_keep_is_discarded_with_a_warning() -> None:
    missing = ("memory.swap", "pids.limit", "cpu.shares", "cpu.cpus", "blockIO.weight")
    poor = Host(missing_limits=frozenset(missing))
    asked = HostConfig(
        memory=64 * MB, pids_limit=5, cpu_shares=5, cpuset_cpus="0", blkio_weight=100
    )
    settled = settle(asked, poor)
    assert resources(settled.host, poor) == {"memory": {"limit": 64 * MB}}
    assert len(settled.warnings) == 5
    assert settled.host.memory_swap == -1
    assert asked.pids_limit == 5, "the request itself is not changed"


def test_a_negative_oom_score_needs_the_privilege() -> None:
    with pytest.raises(EngineError, match="CAP_SYS_RESOURCE"):
        settle(HostConfig(oom_score_adj=-1), WEAK)
    assert settle(HostConfig(oom_score_adj=-1), HOST).host.oom_score_adj == -1


def test_ulimits() -> None:
    asked = HostConfig(ulimits=[Ulimit(name="nofile", soft=10, hard=20), Ulimit(name="core")])
    assert rlimits(asked, HOST) == [
        {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    unlimited = HostConfig(ulimits=[Ulimit(name="memlock", soft=-1, hard=-1)])
    assert rlimits(unlimited, HOST)[0]["hard"] == 2**64 - 1


def test_a_ulimit_given_twice_counts_as_given_last() -> None:
    asked = [Ulimit(name="core", soft=1, hard=2), Ulimit(name="core", soft=3, hard=4)]
    assert rlimits(HostConfig(ulimits=asked), HOST) == [
        {"type": "RLIMIT_CORE", "soft": 3, "hard": 4}
    ]


@pytest.mark.parametrize("hard", [-1, (1 << 20) + 1])
def test_no_process_may_have_more_files_than_the_kernel_counts(hard: int) -> None:
    asked = HostConfig(ulimits=[Ulimit(name="nofile", soft=1, hard=hard)])
    with pytest.raises(EngineError, match=f"hard limit {hard} .* at most 1048576"):
        rlimits(asked, HOST)


@pytest.mark.parametrize(
    ("ulimit", "message"),
    [
        (Ulimit(name="files", soft=1, hard=1), "invalid ulimit type: files"),
        (Ulimit(name="nofile", soft=2, hard=1), "less than or equal to hard limit: 2 > 1"),
        (Ulimit(name="nofile", soft=1, hard=20001), "ask for at most 20000"),
        (Ulimit(name="nofile", soft=1, hard=-1), "ask for at most 20000"),
    ],
)
def test_ulimits_that_cannot_be(ulimit: Ulimit, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        rlimits(HostConfig(ulimits=[ulimit]), WEAK)


@pytest.mark.parametrize(
    "text", ["x", "3-1", "0-99999999999", "-1", "1-", "0,", ",", "1_0", "\u0661", "0\n", " 0"]
)
def test_malformed_cpu_lists(text: str) -> None:
    with pytest.raises(ValueError):
        parse_numbers(text)


def test_cpu_lists() -> None:
    assert parse_numbers("0-2,7") == {0, 1, 2, 7}
    assert parse_numbers("") == set()
