"""OCI Resources as writes to control files: pure, checked before anything is made.

Sources: OCI runtime spec, config-linux, "Control groups"; the kernel's Documentation/admin-guide
cgroup-v1/ and cgroup-v2.rst. As in the OCI's Go types, 0 is "not set" wherever 0 is no
meaningful limit. Device rules are apart, in devices.py.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from wherry import errdefs
from wherry.linux.cgroups import checks
from wherry.linux.cgroups.checks import UNLIMITED, number, throttles
from wherry.spec.runtime import CPU, BlockIO, Memory, Pids, Resources


class Setting(NamedTuple):
    """One limit as the OCI names it, and the controller and file that keep it.

    `choices` are (file, value) pairs, of which the first whose file exists is written. A setting
    that is `implied` by another is left out where there is no such file.
    """

    limit: str
    controller: str
    choices: tuple[tuple[str, str], ...]
    implied: bool = False


def v1_settings(resources: Resources) -> list[Setting]:
    """The writes for cgroup v1. Raises INVALID_ARGUMENT or NOT_IMPLEMENTED, naming the limit."""
    checks.check(resources)
    if resources.get("unified"):
        raise errdefs.not_implemented(
            "unified limits need cgroup v2, and this host runs v1: leave out"
            f" {', '.join(sorted(resources['unified']))}"
        )
    return [
        *_memory_v1(resources.get("memory", {})),
        *_cpu_v1(resources.get("cpu", {})),
        *_pids(resources.get("pids")),
        *_block_io_v1(resources.get("blockIO", {})),
    ]


def v2_settings(resources: Resources) -> list[Setting]:
    """The writes for cgroup v2, converted where the two differ; `unified` comes last and wins."""
    checks.check(resources)
    return [
        *_memory_v2(resources.get("memory", {})),
        *_cpu_v2(resources.get("cpu", {})),
        *_pids(resources.get("pids")),
        *_block_io_v2(resources.get("blockIO", {})),
        *_unified(resources.get("unified", {})),
    ]


# --- Memory ---------------------------------------------------------------------------------


def _one(limit: str, controller: str, file: str, value: int | str) -> Setting:
    return Setting(limit, controller, ((file, str(value)),))


def _memory_v1(memory: Memory) -> Iterator[Setting]:
    limit, swap = memory.get("limit", 0), memory.get("swap", 0)
    if limit:
        yield _one("memory.limit", "memory", "memory.limit_in_bytes", limit)
    if swap:
        yield _one("memory.swap", "memory", "memory.memsw.limit_in_bytes", swap)
    elif limit == UNLIMITED:
        # Memory without a limit would still be held by an old limit on memory and swap.
        choice = ("memory.memsw.limit_in_bytes", str(UNLIMITED))
        yield Setting("memory.swap", "memory", (choice,), implied=True)
    if reservation := memory.get("reservation", 0):
        yield _one("memory.reservation", "memory", "memory.soft_limit_in_bytes", reservation)
    if (kernel := memory.get("kernel", 0)) and kernel != UNLIMITED:
        # Since 5.16 the kernel answers EOPNOTSUPP: told as such, not dropped.
        yield _one("memory.kernel", "memory", "memory.kmem.limit_in_bytes", kernel)
    if "swappiness" in memory:
        yield _one("memory.swappiness", "memory", "memory.swappiness", memory["swappiness"])
    if "disableOOMKiller" in memory:
        value, asked = ("1", True) if memory["disableOOMKiller"] else ("0", False)
        choice = ("memory.oom_control", value)
        yield Setting("memory.disableOOMKiller", "memory", (choice,), implied=not asked)


def _memory_v2(memory: Memory) -> Iterator[Setting]:
    _refuse_on_v2(
        ("memory.kernel", memory.get("kernel", 0) > 0),
        ("memory.swappiness", "swappiness" in memory),
        ("memory.disableOOMKiller", memory.get("disableOOMKiller", False)),
    )
    limit, swap = memory.get("limit", 0), memory.get("swap", 0)
    if limit:
        yield _one("memory.limit", "memory", "memory.max", _or_max(limit))
    if swap > 0:
        if not limit:
            raise errdefs.invalid(f"memory.swap is {swap} without a memory.limit: set both")
        yield _one("memory.swap", "memory", "memory.swap.max", swap - limit)
    elif swap == UNLIMITED:
        yield _one("memory.swap", "memory", "memory.swap.max", "max")
    elif limit == UNLIMITED:
        yield Setting("memory.swap", "memory", (("memory.swap.max", "max"),), implied=True)
    if reservation := memory.get("reservation", 0):
        yield _one("memory.reservation", "memory", "memory.low", _or_max(reservation))


def _refuse_on_v2(*asked: tuple[str, bool]) -> None:
    for limit, is_set in asked:
        if is_set:
            raise errdefs.not_implemented(f"cgroup v2 has no {limit}: leave it out on this host")


def _or_max(value: int) -> int | str:
    return "max" if value == UNLIMITED else value


# --- Processors and tasks -------------------------------------------------------------------


def _cpu_v1(cpu: CPU) -> Iterator[Setting]:
    shares = cpu.get("shares", 0)
    if shares and not 2 <= shares <= 262144:
        # The kernel would take the nearest it has, and not say so.
        raise errdefs.invalid(f"cpu.shares is {shares}: it is 2 to 262144")
    for limit, file, value in (
        ("cpu.shares", "cpu.shares", shares),
        ("cpu.realtimePeriod", "cpu.rt_period_us", cpu.get("realtimePeriod", 0)),
        ("cpu.realtimeRuntime", "cpu.rt_runtime_us", cpu.get("realtimeRuntime", 0)),
        ("cpu.period", "cpu.cfs_period_us", cpu.get("period", 0)),
        ("cpu.quota", "cpu.cfs_quota_us", cpu.get("quota", 0)),
    ):
        if value:
            yield _one(limit, "cpu", file, value)
    if "burst" in cpu:
        yield _may_be_zero("cpu.burst", "cpu.cfs_burst_us", cpu["burst"])
    if "idle" in cpu:
        yield _may_be_zero("cpu.idle", "cpu.idle", cpu["idle"])
    yield from _cpuset(cpu)


def _cpu_v2(cpu: CPU) -> Iterator[Setting]:
    _refuse_on_v2(
        ("cpu.realtimeRuntime", bool(cpu.get("realtimeRuntime"))),
        ("cpu.realtimePeriod", bool(cpu.get("realtimePeriod"))),
    )
    quota, period = cpu.get("quota", 0), cpu.get("period", 0)
    if shares := cpu.get("shares", 0):
        yield _one("cpu.shares", "cpu", "cpu.weight", weight_from_shares(shares))
    if quota or period:
        # A lone number is the quota, and leaves the period as it is.
        value = f"{quota if quota > 0 else 'max'} {period or ''}".rstrip()
        yield _one("cpu.quota" if quota else "cpu.period", "cpu", "cpu.max", value)
    if "burst" in cpu:
        yield _may_be_zero("cpu.burst", "cpu.max.burst", cpu["burst"])
    if "idle" in cpu:
        yield _may_be_zero("cpu.idle", "cpu.idle", cpu["idle"])
    yield from _cpuset(cpu)


def _may_be_zero(limit: str, file: str, value: int) -> Setting:
    """A zero is what a kernel without the file does anyway."""
    return Setting(limit, "cpu", ((file, str(value)),), implied=value == 0)


def _cpuset(cpu: CPU) -> Iterator[Setting]:
    if cpus := cpu.get("cpus", ""):
        yield _one("cpu.cpus", "cpuset", "cpuset.cpus", cpus)
    if mems := cpu.get("mems", ""):
        yield _one("cpu.mems", "cpuset", "cpuset.mems", mems)


def weight_from_shares(shares: int) -> int:
    """v2's cpu.weight (1 to 10000) for v1's cpu.shares (2 to 262144), clamped.

    The curve of runc 1.3.2 and crun 1.23: a parabola in the exponent through both ends and through
    the defaults, 1024 shares and weight 100 (opencontainers/cgroups#20).
    """
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    magnitude = math.log2(shares)
    return math.ceil(10 ** ((magnitude**2 + 125 * magnitude) / 612 - 7 / 34))


def _pids(pids: Pids | None) -> Iterator[Setting]:
    if pids and (limit := pids["limit"]):
        yield _one("pids.limit", "pids", "pids.max", limit if limit > 0 else "max")


# --- Block devices --------------------------------------------------------------------------


def _block_io_v1(block_io: BlockIO) -> Iterator[Setting]:
    def both(limit: str, file: str, value: str) -> Setting:
        # With CFQ's end (5.0) the plain files went; BFQ's do the same under its name.
        return Setting(limit, "blkio", ((f"blkio.{file}", value), (f"blkio.bfq.{file}", value)))

    if weight := block_io.get("weight", 0):
        yield both("blockIO.weight", "weight", str(weight))
    if leaf := block_io.get("leafWeight", 0):
        yield _one("blockIO.leafWeight", "blkio", "blkio.leaf_weight", leaf)
    for device in block_io.get("weightDevice", []):
        if weight := device.get("weight", 0):
            yield both("blockIO.weightDevice", "weight_device", f"{number(device)} {weight}")
        if leaf := device.get("leafWeight", 0):
            value = f"{number(device)} {leaf}"
            yield _one("blockIO.weightDevice", "blkio", "blkio.leaf_weight_device", value)
    names = ("read_bps", "write_bps", "read_iops", "write_iops")
    for (limit, devices), name in zip(throttles(block_io), names, strict=True):
        for throttle in devices:
            value = f"{number(throttle)} {throttle['rate']}"
            yield _one(limit, "blkio", f"blkio.throttle.{name}_device", value)


def _block_io_v2(block_io: BlockIO) -> Iterator[Setting]:
    leaf = any(device.get("leafWeight") for device in block_io.get("weightDevice", []))
    _refuse_on_v2(("blockIO.leafWeight", bool(block_io.get("leafWeight")) or leaf))

    def both(limit: str, prefix: str, weight: int) -> Setting:
        # Where BFQ is the scheduler its own file is there, with the range of v1.
        bfq, io = ("io.bfq.weight", f"{prefix}{weight}"), f"{prefix}{io_weight(weight)}"
        return Setting(limit, "io", (bfq, ("io.weight", io)))

    if weight := block_io.get("weight", 0):
        yield both("blockIO.weight", "", weight)
    for device in block_io.get("weightDevice", []):
        if weight := device.get("weight", 0):
            yield both("blockIO.weightDevice", f"{number(device)} ", weight)
    keys = ("rbps", "wbps", "riops", "wiops")
    for (limit, devices), key in zip(throttles(block_io), keys, strict=True):
        for throttle in devices:
            # v1's 0 takes a limit away; v2 says `max`.
            value = f"{number(throttle)} {key}={throttle['rate'] or 'max'}"
            yield _one(limit, "io", "io.max", value)


def io_weight(weight: int) -> int:
    """v2's io.weight (1 to 10000) for a v1 weight (10 to 1000): runc's line through the ends."""
    return 1 + (weight - 10) * 9999 // 990


# --- Unified --------------------------------------------------------------------------------


def _unified(unified: dict[str, str]) -> Iterator[Setting]:
    for file, value in unified.items():
        controller, dot, rest = file.partition(".")
        if not (controller and dot and rest) or "/" in file:
            raise errdefs.invalid(
                f"unified.{file} is no cgroup v2 file: it is a name such as memory.high"
            )
        yield _one(f"unified.{file}", controller, file, value)
