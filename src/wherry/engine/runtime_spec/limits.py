"""Limits of memory, processors, processes and block devices: Docker's rules, and OCI's form."""

from dataclasses import dataclass

import msgspec

from wherry import errdefs
from wherry.engine.host import Host
from wherry.engine.model import HostConfig, ThrottleDevice
from wherry.engine.runtime_spec import processors
from wherry.engine.runtime_spec.devices import device_number
from wherry.linux.cgroups.limits import v1_settings, v2_settings
from wherry.spec import runtime as oci

MINIMUM_MEMORY = 6 * 1024 * 1024
"""Docker's own minimum: with less a container can't even be started."""

_INT64_MAX = 2**63 - 1
# The kernel has no more process IDs (PID_MAX_LIMIT), and its controller takes no larger limit.
_MAX_PIDS = 1 << 22


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
    processors.settle(config, host, warnings)
    _settle_block_io(config, host, warnings)
    _settle_pids(config, host, warnings)
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


def _settle_block_io(config: HostConfig, host: Host, warnings: list[str]) -> None:
    if config.blkio_weight and not 10 <= config.blkio_weight <= 1000:
        raise errdefs.invalid("Range of blkio weight is from 10 to 1000")
    for weight in config.blkio_weight_device or []:
        if not 10 <= weight.weight <= 1000:
            raise errdefs.invalid(f"Range of blkio weight of {weight.path} is from 10 to 1000")
    if config.blkio_weight and "blockIO.weight" in host.missing_limits:
        warnings.append(
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight "
            "discarded."
        )
        config.blkio_weight = 0
    if config.blkio_weight_device and "blockIO.weightDevice" in host.missing_limits:
        warnings.append(
            "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. "
            "Weight-device discarded."
        )
        config.blkio_weight_device = None


def _settle_pids(config: HostConfig, host: Host, warnings: list[str]) -> None:
    limit = config.pids_limit
    if limit is None:
        return
    if limit > _MAX_PIDS:
        raise errdefs.invalid(
            f"PidsLimit {limit}: a machine has {_MAX_PIDS} processes at most; -1 is no limit"
        )
    if limit <= 0:
        config.pids_limit = None
    elif "pids.limit" in host.missing_limits:
        warnings.append(
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. "
            "PIDs limit discarded."
        )
        config.pids_limit = None


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
        config.memory_swap = min(2 * limit, _INT64_MAX)
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


def resources(config: HostConfig, host: Host) -> oci.Resources:
    """The OCI form of settled limits, devices aside. What is open is left out."""
    result: oci.Resources = {}
    if memory := _memory(config, host):
        result["memory"] = memory
    if cpu := processors.oci_form(config):
        result["cpu"] = cpu
    if config.pids_limit:
        result["pids"] = {"limit": config.pids_limit}
    if block_io := _block_io(config):
        result["blockIO"] = block_io
    return result


def check_kept(asked: oci.Resources, host: Host) -> None:
    """Raises, naming the limit, for what this host's cgroups would refuse at the start."""
    if host.cgroup_version == 1:
        v1_settings(asked)
    else:
        v2_settings(asked)


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
