"""What OCI Resources may say, whatever the version of cgroups."""

from collections.abc import Iterable

from wherry import errdefs
from wherry.spec.runtime import CPU, BlockIO, Resources, ThrottleDevice, WeightDevice

UNLIMITED = -1

_KNOWN = {"devices", "memory", "cpu", "pids", "blockIO", "unified"}
_KNOWN_MEMORY = {
    *("limit", "reservation", "swap", "kernel", "swappiness", "disableOOMKiller"),
    *("useHierarchy", "checkBeforeUpdate"),  # what the kernel does anyway
}


def check(resources: Resources) -> None:
    """Raise INVALID_ARGUMENT for what no kernel would take, NOT_IMPLEMENTED for what we do not."""
    _refuse_unknown("", set(resources) - _KNOWN, resources)
    memory, cpu = resources.get("memory", {}), resources.get("cpu", {})
    _refuse_unknown("memory.", set(memory) - _KNOWN_MEMORY, memory)
    for name, value in (
        ("memory.limit", memory.get("limit", 0)),
        ("memory.reservation", memory.get("reservation", 0)),
        ("memory.swap", memory.get("swap", 0)),
        ("cpu.quota", cpu.get("quota", 0)),
    ):
        if value < UNLIMITED:
            raise errdefs.invalid(f"{name} is {value}: it is positive, or -1 for no limit")
    limit, swap = memory.get("limit", 0), memory.get("swap", 0)
    if swap > 0 and limit == UNLIMITED:
        raise errdefs.invalid(f"memory.swap is {swap} without a memory.limit: set both")
    if 0 < swap < limit:
        raise errdefs.invalid(
            f"memory.swap ({swap}) counts memory and swap together: make it {limit} or more"
        )
    if not 0 <= memory.get("swappiness", 0) <= 100:
        raise errdefs.invalid(f"memory.swappiness is {memory['swappiness']}: it is 0 to 100")
    _check_cpu(cpu)
    _check_block_io(resources.get("blockIO", {}))


def _refuse_unknown(prefix: str, names: set[str], values: object) -> None:
    assert isinstance(values, dict)
    named = [prefix + name for name in sorted(names) if values[name]]
    if named:
        raise errdefs.not_implemented(
            f"Wherry does not keep the limit {named[0]} yet: leave it out"
        )


def _check_cpu(cpu: CPU) -> None:
    for name, value in (
        ("shares", cpu.get("shares", 0)),
        ("period", cpu.get("period", 0)),
        ("burst", cpu.get("burst", 0)),
        ("realtimePeriod", cpu.get("realtimePeriod", 0)),
    ):
        if value < 0:
            raise errdefs.invalid(f"cpu.{name} is {value}: it can't be negative")
    for name, text in (("cpus", cpu.get("cpus", "")), ("mems", cpu.get("mems", ""))):
        if not set(text) <= set("0123456789,-"):
            raise errdefs.invalid(f"cpu.{name} is {text!r}: it is a list such as 0-2,4")


def _check_block_io(block_io: BlockIO) -> None:
    weights = [("weight", block_io.get("weight", 0))]
    weights += [
        (f"weightDevice {number(device)}", device.get("weight", 0))
        for device in block_io.get("weightDevice", [])
    ]
    for name, weight in weights:
        if weight and not 10 <= weight <= 1000:
            raise errdefs.invalid(f"blockIO.{name} is {weight}: it is 10 to 1000")
    for name, devices in throttles(block_io):
        for throttle in devices:
            if throttle["rate"] < 0:
                raise errdefs.invalid(f"{name} of {number(throttle)} is negative")


def throttles(block_io: BlockIO) -> Iterable[tuple[str, list[ThrottleDevice]]]:
    """(OCI name, devices) of read bytes, written bytes, reads, writes, always in this order."""
    return (
        ("blockIO.throttleReadBpsDevice", block_io.get("throttleReadBpsDevice", [])),
        ("blockIO.throttleWriteBpsDevice", block_io.get("throttleWriteBpsDevice", [])),
        ("blockIO.throttleReadIOPSDevice", block_io.get("throttleReadIOPSDevice", [])),
        ("blockIO.throttleWriteIOPSDevice", block_io.get("throttleWriteIOPSDevice", [])),
    )


def number(device: ThrottleDevice | WeightDevice) -> str:
    """`major:minor`, as control files name a device."""
    return f"{device['major']}:{device['minor']}"
