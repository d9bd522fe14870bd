"""cgroup v2: one tree for all controllers, each enabled from the root downwards.

    /sys/fs/cgroup/cgroup.subtree_control              +cpu +memory ...  for those below
    /sys/fs/cgroup/wherry/cgroup.subtree_control       the same
    /sys/fs/cgroup/wherry/<id>/memory.max, cgroup.procs ...

A group that hands controllers down can't hold processes itself (the root can): containers are
leaves, and `/wherry` is empty.
"""

import errno
import os
from collections.abc import Callable, Sequence
from typing import Literal

from wherry import errdefs
from wherry.linux.cgroups import devices, files, groups, limits, stats_v2
from wherry.linux.cgroups.devices import Rule
from wherry.linux.cgroups.protocol import PidsStats, Stats
from wherry.linux.cgroups.samples import V2_SAMPLES
from wherry.linux.cgroups.settle import missing_controller, settle
from wherry.spec.runtime import Mount, Resources

# What containers are given, as far as it is there; hugetlb for `unified`.
_WANTED = frozenset({"cpu", "cpuset", "io", "memory", "pids", "hugetlb"})

# EBUSY, EOPNOTSUPP: processes in the group itself, or a threaded one; EINVAL: real-time processes
# and the cpu controller; EACCES, EPERM, EROFS: not delegated to us; ENOENT: gone or taken back.
_NOT_HANDED_DOWN = frozenset(
    {
        *(errno.EBUSY, errno.EOPNOTSUPP, errno.EINVAL),
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT),
    }
)


class CgroupsV2:
    """Cgroups on v2: see the protocol for what each method promises."""

    def __init__(self, mount: str) -> None:
        self._mount = mount

    @property
    def version(self) -> Literal[1, 2]:
        return 2

    @property
    def controllers(self) -> frozenset[str]:
        return frozenset(files.read(f"{self._mount}/cgroup.controllers").split())

    def supports(self, limit: str) -> bool:
        sample = V2_SAMPLES.get(limit)
        if sample is None or sample.controller not in self.controllers:
            return False
        directory = f"{self._mount}/wherry"
        with groups.probe(directory):
            self._hand_down("/wherry")
            return any(os.path.exists(f"{directory}/{file}") for file, _ in sample.choices)

    # --- Making and limiting ----------------------------------------------------------------

    def create(
        self, path: str, resources: Resources | None = None, *, shared: bool = False
    ) -> None:
        directory = self._directory(path)
        write_limits = self._limits(path, resources or {})
        if not shared and os.path.isdir(directory):
            groups.clear_leftover(path, self.pids(path), lambda: self.remove(path))
        made: list[str] = []
        complete = False
        try:
            os.makedirs(directory.rpartition("/")[0], exist_ok=True)
            self._hand_down(path)
            if not (shared and os.path.isdir(directory)):
                os.mkdir(directory)
                made.append(directory)
            write_limits()
            complete = True
        except OSError as error:
            raise groups.refused("creating", path, error) from error
        finally:
            if not complete:
                groups.remove(path, made, timeout=2.0)

    def update(self, path: str, resources: Resources) -> None:
        try:
            self._limits(path, resources)()
        except OSError as error:
            raise groups.refused("updating", path, error) from error

    def _hand_down(self, path: str) -> None:
        """Enable the controllers in every group above `path`, as far as that is allowed.

        What can't be had is found out when a limit needs it: most containers set only a few.
        """
        above = self._mount
        for part in path.split("/")[1:]:
            enabled = set(files.read(f"{above}/cgroup.subtree_control").split())
            available = set(files.read(f"{above}/cgroup.controllers").split())
            missing = sorted((_WANTED & available) - enabled)
            if missing and not _enable(above, missing):
                # All or none is the kernel's rule for one write: so one by one.
                for controller in missing:
                    _enable(above, [controller])
            above = f"{above}/{part}"

    def _limits(self, path: str, resources: Resources) -> Callable[[], None]:
        """Check `resources`, and answer what writes them once the group is there."""
        directory = self._directory(path)
        settings = limits.v2_settings(resources)
        rules = devices.parse(resources.get("devices", []))

        def write() -> None:
            available = files.read(f"{directory}/cgroup.controllers").split()
            for setting in settings:
                # "cgroup.max.descendants" and the like need no controller.
                known = setting.controller in available or setting.controller == "cgroup"
                if not known and not setting.implied:
                    why = "which the groups above it do not hand down (cgroup.subtree_control)"
                    raise missing_controller(setting, path, why)
            settle(path, [(directory, setting) for setting in settings])
            if rules:
                self._confine_devices(directory, rules)

        return write

    def _confine_devices(self, directory: str, rules: Sequence[Rule]) -> None:
        """Attach the rules' program, then detach those that it replaces.

        In between both must say yes, so that an update never opens more than one of them does.
        """
        group_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened = [group_fd]
        try:
            previous = devices.attached(group_fd)
            opened += previous
            program = devices.load(devices.program(rules))
            opened.append(program)
            devices.attach(group_fd, program)
            for one in previous:
                devices.detach(group_fd, one)
        finally:
            for fd in opened:
                os.close(fd)

    # --- Processes --------------------------------------------------------------------------

    def join(self, path: str) -> None:
        self._move("joining", path, 0)

    def add(self, path: str, pid: int) -> None:
        groups.checked_pid(pid)
        self._move(f"moving process {pid} to", path, pid)

    def _move(self, tried: str, path: str, pid: int) -> None:
        try:
            files.write(f"{self._directory(path)}/cgroup.procs", str(pid))
        except ProcessLookupError:
            raise errdefs.not_found(f"no such process: {pid} (adding it to {path})") from None
        except OSError as error:
            raise groups.refused(tried, path, error) from error

    def clone_fd(self, path: str) -> int | None:
        try:
            return os.open(self._directory(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise groups.refused("opening", path, error) from error

    def exists(self, path: str) -> bool:
        return os.path.isdir(self._directory(path))

    def pids(self, path: str) -> list[int]:
        return sorted(groups.members(self._directory(path)))

    def kill(self, path: str, timeout: float = 10.0) -> None:
        directory = self._directory(path)
        pids = groups.members(directory)
        if not pids:
            return  # without cgroup.kill, which would kill who is cloned into the group later
        groups.refuse_own_group(path, pids, "kill")
        try:
            files.write(f"{directory}/cgroup.kill", "1")
        except FileNotFoundError:
            self._kill_one_by_one(path, timeout)
            return
        except OSError as error:
            raise groups.refused("killing", path, error) from error
        if not self._wait(path, "populated", 0, timeout):
            raise groups.left_behind("processes do not end in", path, groups.members(directory))

    def _kill_one_by_one(self, path: str, timeout: float) -> None:
        """Before 5.14 there is no cgroup.kill."""
        directory = self._directory(path)

        def still() -> None:
            files.write(f"{directory}/cgroup.freeze", "1")
            self._wait(path, "frozen", 1, timeout=0.05)

        def go() -> None:
            files.write(f"{directory}/cgroup.freeze", "0")

        try:
            groups.end_all(path, directory, timeout, still, go)
        except OSError as error:
            raise groups.refused("killing", path, error) from error

    def freeze(self, path: str, timeout: float = 10.0) -> None:
        directory = self._directory(path)
        groups.refuse_own_group(path, groups.members(directory), "freeze")
        self._set_frozen(path, "1")
        if not self._wait(path, "frozen", 1, timeout):
            self.thaw(path)
            raise groups.left_behind("cannot freeze", path, groups.members(directory))

    def thaw(self, path: str) -> None:
        self._set_frozen(path, "0")

    def _set_frozen(self, path: str, value: str) -> None:
        try:
            files.write(f"{self._directory(path)}/cgroup.freeze", value)
        except OSError as error:
            raise groups.refused("pausing or resuming", path, error) from error

    def _wait(self, path: str, key: str, value: int, timeout: float) -> bool:
        try:
            return groups.wait_event(f"{self._directory(path)}/cgroup.events", key, value, timeout)
        except OSError as error:
            raise groups.refused("watching", path, error) from error

    # --- Looking ----------------------------------------------------------------------------

    def oom_kills(self, path: str) -> int:
        directory = self._directory(path)
        self._must_exist(path, directory)
        return files.read_keyed(f"{directory}/memory.events").get("oom_kill", 0)

    def stats(self, path: str) -> Stats:
        directory = self._directory(path)
        self._must_exist(path, directory)
        try:
            available = files.read(f"{directory}/cgroup.controllers").split()
            return Stats(
                cpu=stats_v2.cpu(directory),
                memory=stats_v2.memory(directory) if "memory" in available else None,
                pids=PidsStats(
                    files.read_number(f"{directory}/pids.current") or 0,
                    files.read_number(f"{directory}/pids.max"),
                )
                if "pids" in available
                else None,
                block_io=stats_v2.block_io(directory) if "io" in available else None,
            )
        except OSError as error:
            raise groups.refused("reading", path, error) from error

    def _must_exist(self, path: str, directory: str) -> None:
        if not os.path.isdir(directory):
            raise errdefs.not_found(f"no such cgroup: {path}")

    def _directory(self, path: str) -> str:
        return self._mount + groups.checked(path)

    # --- Removing ---------------------------------------------------------------------------

    def remove(self, path: str, timeout: float = 2.0) -> None:
        groups.remove(path, [self._directory(path)], timeout)

    def remove_tree(self, path: str) -> None:
        self.kill(path)
        self.remove(path)

    # --- Inside a container -----------------------------------------------------------------

    def container_mounts(
        self, path: str, private_ns: bool, read_only: bool = True
    ) -> Sequence[Mount]:
        # A cgroup2 mount shows the tree from the root of the mounter's own namespace, so
        # `private_ns` makes no difference to what is asked for.
        groups.checked(path)
        access = "ro" if read_only else "rw"
        return [
            {
                "destination": "/sys/fs/cgroup",
                "type": "cgroup2",
                "source": "cgroup",
                "options": ["nosuid", "nodev", "noexec", "relatime", access],
            }
        ]


def _enable(directory: str, controllers: Sequence[str]) -> bool:
    """Try to hand `controllers` down to the groups below; False if the kernel would not."""
    line = " ".join(f"+{controller}" for controller in controllers)
    try:
        files.write(f"{directory}/cgroup.subtree_control", line)
    except OSError as error:
        if error.errno not in _NOT_HANDED_DOWN:
            raise
        return False
    return True
