"""A group's use, from cgroup v1's files."""

from wherry.linux.cgroups import files
from wherry.linux.cgroups.protocol import BlockIOEntry, BlockIOStats, CPUStats, MemoryStats

# A limit that is not set reads as the largest number of whole pages in 63 bits.
_NO_LIMIT = 1 << 62


def cpu(cpuacct: str, cpu_directory: str | None) -> CPUStats:
    """From the group's directories in the cpuacct and, for throttling, the cpu hierarchy."""
    throttling = files.read_keyed(f"{cpu_directory}/cpu.stat") if cpu_directory else {}
    per_cpu = files.read(f"{cpuacct}/cpuacct.usage_percpu").split()
    return CPUStats(
        total_ns=files.read_number(f"{cpuacct}/cpuacct.usage") or 0,
        user_ns=files.read_number(f"{cpuacct}/cpuacct.usage_user") or 0,
        system_ns=files.read_number(f"{cpuacct}/cpuacct.usage_sys") or 0,
        periods=throttling.get("nr_periods", 0),
        throttled_periods=throttling.get("nr_throttled", 0),
        throttled_ns=throttling.get("throttled_time", 0),
        per_cpu_ns=tuple(map(int, per_cpu)),
    )


def memory(directory: str) -> MemoryStats:
    detail = files.read_keyed(f"{directory}/memory.stat")
    limit = files.read_number(f"{directory}/memory.limit_in_bytes")
    return MemoryStats(
        usage=files.read_number(f"{directory}/memory.usage_in_bytes") or 0,
        max_usage=files.read_number(f"{directory}/memory.max_usage_in_bytes") or 0,
        limit=limit if limit is not None and limit < _NO_LIMIT else None,
        cache=detail.get("total_cache", 0),
        inactive_file=detail.get("total_inactive_file", 0),
        swap=detail.get("total_swap", 0),
        failures=files.read_number(f"{directory}/memory.failcnt") or 0,
        detail=detail,
    )


def block_io(directory: str) -> BlockIOStats:
    """BFQ's counts where it is the scheduler, else those of the throttling layer."""
    for prefix in ("blkio.bfq", "blkio.throttle"):
        serviced = _entries(f"{directory}/{prefix}.io_serviced_recursive")
        if serviced:
            return BlockIOStats(
                _entries(f"{directory}/{prefix}.io_service_bytes_recursive"), serviced
            )
    return BlockIOStats((), ())


def _entries(path: str) -> tuple[BlockIOEntry, ...]:
    """Lines such as `8:0 Read 4096`; the last one, `Total 4096`, names no device."""
    try:
        text = files.read(path)
    except FileNotFoundError:
        return ()
    return parse_entries(text)


def parse_entries(text: str) -> tuple[BlockIOEntry, ...]:
    entries = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3:
            major, _, minor = fields[0].partition(":")
            entry = BlockIOEntry(int(major), int(minor), fields[1].lower(), int(fields[2]))
            entries.append(entry)
    return tuple(entries)
