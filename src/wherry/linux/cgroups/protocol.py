"""What every version of cgroups can do for a container, and what it tells about one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from wherry.spec.runtime import Mount, Resources


@dataclass(frozen=True, slots=True)
class CPUStats:
    """Processor time in nanoseconds since the group was made; periods are counts."""

    total_ns: int
    user_ns: int
    system_ns: int
    periods: int = 0
    throttled_periods: int = 0
    throttled_ns: int = 0
    per_cpu_ns: tuple[int, ...] = ()  # empty on v2, which does not tell


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """Bytes. `usage` counts the page cache too: `usage - inactive_file` is what people mean.

    A `limit` of None is no limit. `detail` is the kernel's memory.stat as it is.
    """

    usage: int
    max_usage: int
    limit: int | None
    cache: int
    inactive_file: int
    swap: int = 0
    failures: int = 0  # times that usage hit the limit
    detail: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PidsStats:
    """Tasks now, threads included, and how many may be; None is no limit."""

    current: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class BlockIOEntry:
    """A device's count of one operation: "read", "write", "sync", "async", "discard", "total"."""

    major: int
    minor: int
    operation: str
    value: int


@dataclass(frozen=True, slots=True)
class BlockIOStats:
    """Bytes and requests by device and operation, the groups below included."""

    service_bytes: tuple[BlockIOEntry, ...]
    serviced: tuple[BlockIOEntry, ...]


@dataclass(frozen=True, slots=True)
class Stats:
    """A group's use of each controller; None where the controller is not there."""

    cpu: CPUStats | None
    memory: MemoryStats | None
    pids: PidsStats | None
    block_io: BlockIOStats | None


class Cgroups(Protocol):
    """The host's control groups: what a container may use, and a handle on all its processes.

    A group is named by a path like `/wherry/<id>`, the same in every hierarchy. On v1 each
    controller has a tree of its own, so that one path is some nine directories; on v2 it is one.
    Nobody above needs to know which it is, except where a docstring says so. A group's life:

        cgroups = detect()
        cgroups.create("/wherry/web", {"memory": {"limit": 64 << 20}, "pids": {"limit": 100}})

        pid = os.fork()
        if pid == 0:
            cgroups.join("/wherry/web")     # first thing in the child, before any unshare
            ...
            os.execv(...)                   # it and all that it forks is under the limits

        cgroups.freeze("/wherry/web")       # docker pause
        cgroups.thaw("/wherry/web")
        cgroups.stats("/wherry/web").memory # docker stats
        cgroups.kill("/wherry/web")         # whatever is left, whatever it forks
        cgroups.oom_kills("/wherry/web")    # did the kernel kill one for its memory?
        cgroups.remove("/wherry/web")

    Why `join` and not `add(path, pid)`: to move another process, the kernel takes a lock that
    stops every fork and exit on the machine, and waits for an RCU grace period to get it. A task
    that moves itself alone needs no such lock (v1's `tasks` file; Linux 5.5). Measured on 6.18,
    nine v1 hierarchies, after 100 idle ms: `add` 5 to 13 ms, `join` 0.4 to 0.8. Priming the lock
    from another process does not help: it must come 10 ms before, and wears off within 40.
    v2 has no such way for a process; there a child is born in its group, by `clone_fd` and
    clone3(2), which costs what a fork costs.

    Limits are OCI `Resources`. One that can't be kept, because the controller or the file is
    missing, is an error that names it: nothing is silently dropped. Errors are EngineError:
    INVALID_ARGUMENT for a value that makes no sense or that the kernel refuses, NOT_IMPLEMENTED
    for a limit that this kernel does not have, CONFLICT for one that is in use's way, NOT_FOUND
    for a group that is not there.

    Nothing is cached but where the hierarchies are mounted: any process may hold one, across
    forks, and several may work on different groups at once.
    """

    @property
    def version(self) -> Literal[1, 2]: ...

    @property
    def controllers(self) -> frozenset[str]:
        """The kernel's controllers that are there, by v1's or v2's names ("blkio" or "io")."""

    def supports(self, limit: str) -> bool:
        """Can `limit`, named as in OCI Resources ("memory.swap", "blockIO.weight"), be kept here?

        Tried on the group `/wherry`, made if missing: a root group lacks most files.
        """

    def create(
        self, path: str, resources: Resources | None = None, *, shared: bool = False
    ) -> None:
        """Make the group in every hierarchy, with its parents, and set its limits.

        An empty group of that name is a crash's leftover and is made anew; one with processes
        raises CONFLICT. With `shared` an existing group is taken as it is (the shims' own).
        On failure what was made is removed.
        """

    def update(self, path: str, resources: Resources) -> None:
        """Set the limits that `resources` names; the others stay.

        Not a transaction: what the kernel took before it refused one stays. Raises CONFLICT if
        a memory limit is below what is in use (v1; on v2 the kernel reclaims, then kills).
        """

    def join(self, path: str) -> None:
        """Move the calling process, which must have a single thread, into the group."""

    def add(self, path: str, pid: int) -> None:
        """Move another process, with all its threads. Raises NOT_FOUND if there is no such one.

        Costs 5 to 13 ms on an idle machine: see above.
        """

    def clone_fd(self, path: str) -> int | None:
        """A descriptor for CLONE_INTO_CGROUP, to be closed by the caller; None on v1."""

    def exists(self, path: str) -> bool: ...

    def pids(self, path: str) -> list[int]:
        """The processes in the group and below, sorted; empty if there is no such group."""

    def kill(self, path: str, timeout: float = 10.0) -> None:
        """SIGKILL everything in the group and below, and return when it is gone.

        What forks faster than one can look does not get away: the group is frozen meanwhile (v1)
        or killed at once by the kernel (v2). One that is frozen dies too. Afterwards the group
        must be removed, not used again: on v2 the kernel may kill all who come later.
        Raises UNAVAILABLE when `timeout` seconds have passed, with who is left (a
        process in uninterruptible sleep), and INVALID_ARGUMENT if the caller is in the group.
        """

    def freeze(self, path: str, timeout: float = 10.0) -> None:
        """Stop every process in the group, returning when all stand still.

        Raises UNAVAILABLE, with the group thawed, if that takes more than `timeout` seconds.
        """

    def thaw(self, path: str) -> None: ...

    def oom_kills(self, path: str) -> int:
        """How many processes the kernel killed for the group's memory; 0 without the controller."""

    def remove(self, path: str, timeout: float = 2.0) -> None:
        """Remove the group and those below it. One that is not there is fine.

        A process that is just ending keeps its group for a moment, so this waits up to `timeout`
        seconds; then it raises CONFLICT with who is left.
        """

    def remove_tree(self, path: str) -> None:
        """Kill what runs in the group and below, then remove it: for shutdown and for tests."""

    def stats(self, path: str) -> Stats:
        """What the group has used. Raises NOT_FOUND if there is no such group."""

    def container_mounts(
        self, path: str, private_ns: bool, read_only: bool = True
    ) -> Sequence[Mount]:
        """What to mount, in this order, to make /sys/fs/cgroup inside a container.

        They are mounted from within the container's namespaces, with `private_ns` its own cgroup
        namespace, entered after it joined the group: its root is then the container's own group.
        Without one, v1 gets bind mounts of the group's directories (`source` is a path of the
        host), and v2 the host's whole tree, as Docker's `--cgroupns host`.

        Beside mounts(8) there are two forms: `type` "symlink" asks for a symlink from
        `destination` to `source` (the names of hierarchies that are mounted together), and a
        last entry with the option "remount" closes the tmpfs for writing.
        """
