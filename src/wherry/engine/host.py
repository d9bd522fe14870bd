"""What this host can do, as far as a container's request depends on it."""

import os
import platform
import re
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wherry.linux import cgroups
from wherry.linux.capabilities import NUMBERS

RLIM_INFINITY = 2**64 - 1


@dataclass(frozen=True)
class Host:
    """Facts that hold as long as the daemon runs, looked up once.

    `capabilities` is a bit mask: what this process has, and so the most that a container gets.
    `missing_limits` names the OCI limits that the kernel or its cgroups can't keep.
    `hard_limits` are this process' own, by the number of the resource; `most_files` is what no
    process can have more open than, whoever asks (fs.nr_open).
    """

    hostname: str = "localhost"
    architecture: str = "amd64"
    kernel: str = "6.1.0"
    cgroup_version: int = 2
    cpus: frozenset[int] = frozenset({0, 1})
    memory_nodes: frozenset[int] = frozenset({0})
    capabilities: int = 2**41 - 1
    missing_limits: frozenset[str] = frozenset()
    hard_limits: Mapping[int, int] = field(default_factory=dict)
    most_files: int = 1 << 20
    apparmor: bool = False
    selinux: bool = False

    def has_capability(self, name: str) -> bool:
        """`name` is one that there is, such as CAP_CHOWN."""
        return bool(self.capabilities >> NUMBERS[name] & 1)

    @property
    def may_raise_limits(self) -> bool:
        return self.has_capability("CAP_SYS_RESOURCE")

    @classmethod
    def look(cls) -> "Host":
        """This host. Quick enough to be done at each start of the daemon."""
        groups = cgroups.detect()
        return cls(
            hostname=platform.node(),
            architecture=_ARCHITECTURES.get(os.uname().machine, os.uname().machine),
            kernel=os.uname().release,
            cgroup_version=groups.version,
            cpus=_numbers("/sys/devices/system/cpu/online") or frozenset({0}),
            memory_nodes=_numbers("/sys/devices/system/node/online") or frozenset({0}),
            capabilities=_capabilities(),
            missing_limits=frozenset(name for name in _LIMITS if not groups.supports(name)),
            hard_limits={number: _hard_limit(number) for number in range(16)},
            most_files=int(_first_line("/proc/sys/fs/nr_open") or 1 << 20),
            apparmor=_first_line("/sys/module/apparmor/parameters/enabled") == "Y",
            selinux=os.path.exists("/sys/fs/selinux/enforce"),
        )


_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_LIMITS = (
    "memory.limit",
    "memory.swap",
    "memory.swappiness",
    "memory.disableOOMKiller",
    "cpu.shares",
    "cpu.quota",
    "cpu.cpus",
    "pids.limit",
    "blockIO.weight",
    "blockIO.weightDevice",
)


def parse_numbers(text: str) -> frozenset[int]:
    """The kernel's list format (cpuset(7), "List format"): `0-3,7`. Raises ValueError."""
    numbers: set[int] = set()
    for part in text.split(",") if text else []:
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(part)
        low, high = int(match[1]), int(match[2] or match[1])
        if not low <= high <= 65535:
            raise ValueError(part)
        numbers.update(range(low, high + 1))
    return frozenset(numbers)


def format_numbers(numbers: Iterable[int]) -> str:
    """The same the other way round, as short as it can be."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _numbers(path: str) -> frozenset[int]:
    try:
        return parse_numbers(_first_line(path))
    except ValueError:
        return frozenset()


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return ""


def _capabilities() -> int:
    """Those that this process may pass on: permitted, and in its bounding set."""
    sets = {}
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name in ("CapPrm", "CapBnd"):
            sets[name] = int(value, 16)
    return sets["CapPrm"] & sets["CapBnd"]


def _hard_limit(number: int) -> int:
    hard = resource.getrlimit(number)[1]
    return RLIM_INFINITY if hard == resource.RLIM_INFINITY else hard
