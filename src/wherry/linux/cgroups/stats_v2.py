"""A group's use, from cgroup v2's files."""

from wherry.linux.cgroups import files
from wherry.linux.cgroups.protocol import BlockIOEntry, BlockIOStats, CPUStats, MemoryStats

_MICROSECOND = 1000


def cpu(directory: str) -> CPUStats:
    """The times are there even without the cpu controller; throttling only with it."""
    stat = files.read_keyed(f"{directory}/cpu.stat")
    return CPUStats(
        total_ns=stat.get("usage_usec", 0) * _MICROSECOND,
        user_ns=stat.get("user_usec", 0) * _MICROSECOND,
        system_ns=stat.get("system_usec", 0) * _MICROSECOND,
        periods=stat.get("nr_periods", 0),
        throttled_periods=stat.get("nr_throttled", 0),
        throttled_ns=stat.get("throttled_usec", 0) * _MICROSECOND,
    )


def memory(directory: str) -> MemoryStats:
    detail = files.read_keyed(f"{directory}/memory.stat")
    usage = files.read_number(f"{directory}/memory.current") or 0
    # memory.peak came with 5.19.
    peak = files.read_number(f"{directory}/memory.peak")
    return MemoryStats(
        usage=usage,
        max_usage=usage if peak is None else peak,
        limit=files.read_number(f"{directory}/memory.max"),
        cache=detail.get("file", 0),
        inactive_file=detail.get("inactive_file", 0),
        swap=files.read_number(f"{directory}/memory.swap.current") or 0,
        failures=files.read_keyed(f"{directory}/memory.events").get("max", 0),
        detail=detail,
    )


def block_io(directory: str) -> BlockIOStats:
    try:
        text = files.read(f"{directory}/io.stat")
    except FileNotFoundError:
        return BlockIOStats((), ())
    return parse_io_stat(text)


_BYTES = {"rbytes": "read", "wbytes": "write", "dbytes": "discard"}
_REQUESTS = {"rios": "read", "wios": "write", "dios": "discard"}


def parse_io_stat(text: str) -> BlockIOStats:
    """Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0`; other keys are left out."""
    service_bytes, serviced = [], []
    for line in text.splitlines():
        device, *pairs = line.split()
        major, colon, minor = device.partition(":")
        if not (colon and major.isdigit() and minor.isdigit()):
            continue  # "(unknown)", a device that is gone
        for pair in pairs:
            key, _, number = pair.partition("=")
            if key in _BYTES:
                service_bytes.append(BlockIOEntry(int(major), int(minor), _BYTES[key], int(number)))
            elif key in _REQUESTS:
                serviced.append(BlockIOEntry(int(major), int(minor), _REQUESTS[key], int(number)))
    return BlockIOStats(tuple(service_bytes), tuple(serviced))
