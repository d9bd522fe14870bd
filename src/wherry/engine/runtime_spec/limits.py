"""Memory, processor, process and block device limits: Docker's rules, and OCI's form of them."""

from dataclasses import dataclass

import msgspec

from wherry import errdefs
from wherry.engine.host import Host, parse_numbers
from wherry.engine.model import HostConfig, ThrottleDevice
from wherry.engine.runtime_spec.devices import device_number
from wherry.spec import runtime as oci

MINIMUM_MEMORY = 6 * 1024 * 1024
"""Docker's own minimum: with less a container can't even be started."""

# The kernel's default period, in microseconds, which a share of processors is counted in.
_PERIOD = 100_000


@dataclass(frozen=True)
class Settled:
    """A host config with what the client left open filled in, and what it must be told."""

    host: HostConfig
    warnings: list[str]


def settle(asked: HostConfig, host: Host) -> Settled:
    """Check the limits by Docker's rules and give the open ones their values.

    What this kernel can't keep, but Docker only warns of, is taken out with a warning. Raises
    InvalidArgument in Docker's words.
    """
    config = msgspec.structs.replace(asked)
    warnings: list[str] = []
    _settle_memory(config, host, warnings)
    _settle_cpu(config, host, warnings)
    _check_cpusets(config, host)
    if config.blkio_weight and not 10 <= config.blkio_weight <= 1000:
        raise errdefs.invalid("Range of blkio weight is from 10 to 1000")
    for weight in config.blkio_weight_device or []:
        if not 10 <= weight.weight <= 1000:
            raise errdefs.invalid(f"Range of blkio weight of {weight.path} is from 10 to 1000")
    if config.pids_limit is not None and config.pids_limit <= 0:
        config.pids_limit = None
    elif config.pids_limit and "pids.limit" in host.missing_limits:
        warnings.append(
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. "
            "PIDs limit discarded."
        )
        config.pids_limit = None
    if not -1000 <= config.oom_score_adj <= 1000:
        raise errdefs.invalid(
            f"Invalid value {config.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if config.oom_score_adj < 0 and not host.may_raise_limits:
        raise errdefs.invalid(
            f"oom score adj {config.oom_score_adj}: a negative value needs CAP_SYS_RESOURCE, "
            "which this daemon does not have"
        )
    return Settled(config, warnings)


def _settle_memory(config: HostConfig, host: Host, warnings: list[str]) -> None:
    limit, swap = config.memory, config.memory_swap
    if limit < 0 or 0 < limit < MINIMUM_MEMORY:
        raise errdefs.invalid("Minimum memory limit allowed is 6MB")
    if limit == 0 and swap > 0:
        raise errdefs.invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if swap < -1 or (limit and 0 < swap < limit):
        raise errdefs.invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if limit and swap != -1 and "memory.swap" in host.missing_limits:
        warnings.append(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
            "Memory limited without swap."
        )
        config.memory_swap = -1
    elif limit and swap == 0:
        config.memory_swap = 2 * limit
    _settle_swappiness(config, host, warnings)
    if config.memory_reservation and config.memory_reservation < MINIMUM_MEMORY:
        raise errdefs.invalid("Minimum memory reservation allowed is 6MB")
    if limit and config.memory_reservation > limit:
        raise errdefs.invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )
    if config.oom_kill_disable and "memory.disableOOMKiller" in host.missing_limits:
        warnings.append("Your kernel does not support OomKillDisable. OomKillDisable discarded.")
        config.oom_kill_disable = None
    elif config.oom_kill_disable and not limit:
        warnings.append("OOM killer is disabled for the container, but no memory limit is set.")


def _settle_swappiness(config: HostConfig, host: Host, warnings: list[str]) -> None:
    swappiness = config.memory_swappiness
    if swappiness == -1:
        config.memory_swappiness = None  # the CLI's way to leave it open
    elif swappiness is not None and not 0 <= swappiness <= 100:
        raise errdefs.invalid(
            f"Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        )
    elif swappiness is not None and "memory.swappiness" in host.missing_limits:
        warnings.append(
            "Your kernel does not support memory swappiness capabilities or the cgroup is not "
            "mounted. Memory swappiness discarded."
        )
        config.memory_swappiness = None


def _settle_cpu(config: HostConfig, host: Host, warnings: list[str]) -> None:
    if config.nano_cpus:
        if config.cpu_period:
            raise errdefs.invalid(
                "Conflicting options: Nano CPUs and CPU Period cannot both be set."
            )
        if config.cpu_quota:
            raise errdefs.invalid(
                "Conflicting options: Nano CPUs and CPU Quota cannot both be set."
            )
        count = len(host.cpus)
        if not 10_000_000 <= config.nano_cpus <= count * 1_000_000_000:
            raise errdefs.invalid(
                f"range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs "
                "available"
            )
    if config.cpu_shares < 0:
        raise errdefs.invalid(f"shares {config.cpu_shares}: CPU shares can not be negative")
    if config.cpu_period and not 1000 <= config.cpu_period <= 1_000_000:
        raise errdefs.invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < config.cpu_quota < 1000:
        raise errdefs.invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if "cpu.quota" in host.missing_limits and (
        config.nano_cpus or config.cpu_quota or config.cpu_period
    ):
        raise errdefs.invalid(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the "
            "cgroup is not mounted"
        )
    if config.cpu_shares and "cpu.shares" in host.missing_limits:
        warnings.append(
            "Your kernel does not support CPU shares or the cgroup is not mounted. Shares "
            "discarded."
        )
        config.cpu_shares = 0


def _check_cpusets(config: HostConfig, host: Host) -> None:
    for asked, there, kind, name in (
        (config.cpuset_cpus, host.cpus, "cpus", "CPUs"),
        (config.cpuset_mems, host.memory_nodes, "mems", "memory nodes"),
    ):
        try:
            wanted = parse_numbers(asked)
        except ValueError:
            raise errdefs.invalid(f"Invalid value {asked} for cpuset {kind}") from None
        if wanted - there:
            available = ",".join(str(number) for number in sorted(there))
            raise errdefs.invalid(
                f"Requested {name} are not available - requested {asked}, available: {available}"
            )


def resources(config: HostConfig, host: Host) -> oci.Resources:
    """The OCI form of settled limits, devices aside. What is open is left out."""
    result: oci.Resources = {}
    if memory := _memory(config, host):
        result["memory"] = memory
    if cpu := _cpu(config):
        result["cpu"] = cpu
    if config.pids_limit:
        result["pids"] = {"limit": config.pids_limit}
    if block_io := _block_io(config):
        result["blockIO"] = block_io
    return result


def _memory(config: HostConfig, host: Host) -> oci.Memory:
    memory: oci.Memory = {}
    if config.memory:
        memory["limit"] = config.memory
    if config.memory_reservation:
        memory["reservation"] = config.memory_reservation
    if config.memory and config.memory_swap and "memory.swap" not in host.missing_limits:
        memory["swap"] = config.memory_swap
    if config.memory_swappiness is not None:
        memory["swappiness"] = config.memory_swappiness
    if config.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory


def _cpu(config: HostConfig) -> oci.CPU:
    cpu: oci.CPU = {}
    if config.cpu_shares:
        cpu["shares"] = config.cpu_shares
    if config.nano_cpus:
        cpu["period"] = _PERIOD
        cpu["quota"] = config.nano_cpus * _PERIOD // 1_000_000_000
    if config.cpu_period:
        cpu["period"] = config.cpu_period
    if config.cpu_quota:
        cpu["quota"] = config.cpu_quota
    if config.cpuset_cpus:
        cpu["cpus"] = config.cpuset_cpus
    if config.cpuset_mems:
        cpu["mems"] = config.cpuset_mems
    return cpu


def _block_io(config: HostConfig) -> oci.BlockIO:
    block_io: oci.BlockIO = {}
    if config.blkio_weight:
        block_io["weight"] = config.blkio_weight
    if config.blkio_weight_device:
        block_io["weightDevice"] = [
            {"major": major, "minor": minor, "weight": device.weight}
            for device in config.blkio_weight_device
            for major, minor in [device_number(device.path)]
        ]
    if config.blkio_device_read_bps:
        block_io["throttleReadBpsDevice"] = _throttles(config.blkio_device_read_bps)
    if config.blkio_device_write_bps:
        block_io["throttleWriteBpsDevice"] = _throttles(config.blkio_device_write_bps)
    if config.blkio_device_read_iops:
        block_io["throttleReadIOPSDevice"] = _throttles(config.blkio_device_read_iops)
    if config.blkio_device_write_iops:
        block_io["throttleWriteIOPSDevice"] = _throttles(config.blkio_device_write_iops)
    return block_io


def _throttles(devices: list[ThrottleDevice]) -> list[oci.ThrottleDevice]:
    return [
        {"major": major, "minor": minor, "rate": device.rate}
        for device in devices
        for major, minor in [device_number(device.path)]
    ]
