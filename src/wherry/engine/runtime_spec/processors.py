"""Shares, time and sets of processors: Docker's rules, and OCI's form of them."""

from wherry import errdefs
from wherry.engine.host import Host, format_numbers, parse_numbers
from wherry.engine.model import HostConfig
from wherry.spec import runtime as oci

# The kernel's default period, in microseconds, which a share of processors is counted in.
_PERIOD = 100_000
# The kernel's own limits (MIN_SHARES and MAX_SHARES, max_cfs_runtime in kernel/sched).
_MIN_SHARES, _MAX_SHARES = 2, 1 << 18
_MAX_QUOTA = (1 << 44) - 1


def settle(config: HostConfig, host: Host, warnings: list[str]) -> None:
    """Check what `config` says of processors, and take out what this kernel can't keep.

    Raises InvalidArgument.
    """
    _check_nano_cpus(config, host)
    _check_shares(config, host)
    _check_time(config, host)
    _check_cpusets(config, host)
    if config.cpu_shares and "cpu.shares" in host.missing_limits:
        warnings.append(
            "Your kernel does not support CPU shares or the cgroup is not mounted. Shares "
            "discarded."
        )
        config.cpu_shares = 0
    if (config.cpuset_cpus or config.cpuset_mems) and "cpu.cpus" in host.missing_limits:
        warnings.append(
            "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded."
        )
        config.cpuset_cpus = config.cpuset_mems = ""


def _check_nano_cpus(config: HostConfig, host: Host) -> None:
    if config.nano_cpus:
        if config.cpu_period:
            raise errdefs.invalid(
                "Conflicting options: Nano CPUs and CPU Period cannot both be set"
            )
        if config.cpu_quota:
            raise errdefs.invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
        count = len(host.cpus)
        if not 10_000_000 <= config.nano_cpus <= count * 1_000_000_000:
            raise errdefs.invalid(
                f"range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs "
                "available"
            )


def _check_shares(config: HostConfig, host: Host) -> None:
    shares = config.cpu_shares
    if shares < 0:
        raise errdefs.invalid(f"invalid CPU shares ({shares}): value must be a positive integer")
    if host.cgroup_version == 1 and shares:
        # v1 would take the nearest that it has, and not say so; on v2 they are converted.
        if shares < _MIN_SHARES:
            raise errdefs.invalid(
                f"invalid CPU shares ({shares}): the minimum allowed cpu-shares is {_MIN_SHARES}"
            )
        if shares > _MAX_SHARES:
            raise errdefs.invalid(
                f"invalid CPU shares ({shares}): the maximum allowed cpu-shares is {_MAX_SHARES}"
            )


def _check_time(config: HostConfig, host: Host) -> None:
    if config.cpu_period and not 1000 <= config.cpu_period <= 1_000_000:
        raise errdefs.invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if config.cpu_quota < -1 or 0 < config.cpu_quota < 1000:
        raise errdefs.invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if config.cpu_quota > _MAX_QUOTA:
        raise errdefs.invalid(
            f"CPU cfs quota can not be larger than {_MAX_QUOTA} microseconds; -1 is no limit"
        )
    if "cpu.quota" in host.missing_limits and (
        config.nano_cpus or config.cpu_quota or config.cpu_period
    ):
        raise errdefs.invalid(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the "
            "cgroup is not mounted"
        )


def _check_cpusets(config: HostConfig, host: Host) -> None:
    for asked, there, kind, name in (
        (config.cpuset_cpus, host.cpus, "cpus", "CPUs"),
        (config.cpuset_mems, host.memory_nodes, "mems", "memory nodes"),
    ):
        try:
            wanted = parse_numbers(asked)
        except ValueError:
            raise errdefs.invalid(
                f"Invalid value {asked} for cpuset {kind}: invalid format: {asked}"
            ) from None
        if wanted - there:
            raise errdefs.invalid(
                f"Requested {name} are not available - requested {asked}, "
                f"available: {format_numbers(there)}"
            )


def oci_form(config: HostConfig) -> oci.CPU:
    """What is open is left out."""
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
