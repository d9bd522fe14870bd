"""cgroup v1: each controller, or a few together, in a tree of its own.

    /sys/fs/cgroup/cpu,cpuacct/wherry/<id>/     cpu -> cpu,cpuacct   (a symlink, beside it)
    /sys/fs/cgroup/memory/wherry/<id>/
    /sys/fs/cgroup/freezer/wherry/<id>/         ...
    /sys/fs/cgroup/systemd/wherry/<id>/         named, without a controller

On a hybrid host v2 is mounted too, with what controllers v1 left it: not used.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from wherry import errdefs
from wherry.linux.cgroups import devices, files, groups, limits, stats_v1
from wherry.linux.cgroups.hierarchies import Hierarchy
from wherry.linux.cgroups.limits import Setting
from wherry.linux.cgroups.protocol import PidsStats, Stats
from wherry.linux.cgroups.samples import V1_SAMPLES
from wherry.linux.cgroups.settle import missing_controller, settle
from wherry.spec.runtime import Mount, Resources

_CGROUP_MOUNT = "/sys/fs/cgroup"
_SAFE = ("nosuid", "nodev", "noexec")


class CgroupsV1:
    """Cgroups on v1: see the protocol for what each method promises."""

    def __init__(self, hierarchies: Iterable[Hierarchy]) -> None:
        used = [one for one in hierarchies if one.controllers]
        # The freezer first: what is in any group of a path is then in the one that `kill` looks at,
        # even if its way through the hierarchies was cut short.
        self._hierarchies = tuple(sorted(used, key=lambda one: "freezer" not in one.controllers))
        self._mounts = {
            controller: one.mount for one in self._hierarchies for controller in one.controllers
        }

    @property
    def version(self) -> Literal[1, 2]:
        return 1

    @property
    def controllers(self) -> frozenset[str]:
        return frozenset(name for name in self._mounts if not name.startswith("name="))

    def supports(self, limit: str) -> bool:
        sample = V1_SAMPLES.get(limit)
        if sample is None or sample.controller not in self._mounts:
            return False
        directory = self._mounts[sample.controller] + "/wherry"
        with groups.probe(directory):
            return any(os.path.exists(f"{directory}/{file}") for file, _ in sample.choices)

    # --- Making and limiting ----------------------------------------------------------------

    def create(
        self, path: str, resources: Resources | None = None, *, shared: bool = False
    ) -> None:
        groups.checked(path)
        write_limits = self._limits(path, resources or {})
        if not shared and self.exists(path):
            groups.clear_leftover(path, self.pids(path), lambda: self.remove(path))
        made: list[str] = []
        complete = False
        try:
            for hierarchy in self._hierarchies:
                self._make(hierarchy, path, made)
            write_limits()
            complete = True
        except OSError as error:
            raise groups.refused("creating", path, error) from error
        finally:
            if not complete:
                groups.remove(path, made, timeout=2.0)

    def update(self, path: str, resources: Resources) -> None:
        groups.checked(path)
        try:
            self._limits(path, resources)()
        except OSError as error:
            raise groups.refused("updating", path, error) from error

    def _make(self, hierarchy: Hierarchy, path: str, made: list[str]) -> None:
        """Make the group in one hierarchy, and note it in `made` unless it was there.

        Another daemon may remove a parent that it finds empty, between our two calls.
        """
        directory = hierarchy.mount + path
        for last in (False, False, True):
            try:
                os.mkdir(directory, 0o755)
                made.append(directory)
                break
            except FileExistsError:
                break
            except FileNotFoundError:
                if last:
                    raise
                self._make(hierarchy, path.rpartition("/")[0], [])
        if "cpuset" in hierarchy.controllers:
            _fill_cpuset(hierarchy.mount, path)

    def _limits(self, path: str, resources: Resources) -> Callable[[], None]:
        """Check `resources`, and answer what writes them once the group is there."""
        settings: list[tuple[str, Setting]] = []
        for setting in limits.v1_settings(resources):
            mount = self._mounts.get(setting.controller)
            if mount is not None:
                settings.append((mount + path, setting))
            elif not setting.implied:
                raise missing_controller(setting, path, "which no cgroup v1 hierarchy here has")
        rules = devices.parse(resources.get("devices", []))
        devices_mount = self._mounts.get("devices")
        if rules and devices_mount is None:
            raise errdefs.not_implemented(
                f"device rules of cgroup {path} need the devices controller, which is not mounted"
            )

        def write() -> None:
            settle(path, settings)
            for file, line in devices.v1_lines(rules):
                files.write(f"{devices_mount}{path}/{file}", line)

        return write

    # --- Processes --------------------------------------------------------------------------

    def join(self, path: str) -> None:
        # `tasks` moves the calling task alone, without the lock that `cgroup.procs` takes.
        self._write_everywhere("joining", path, "tasks", "0")

    def add(self, path: str, pid: int) -> None:
        groups.checked_pid(pid)
        try:
            self._write_everywhere(f"moving process {pid} to", path, "cgroup.procs", str(pid))
        except ProcessLookupError:
            raise errdefs.not_found(f"no such process: {pid} (adding it to {path})") from None

    def _write_everywhere(self, tried: str, path: str, file: str, value: str) -> None:
        groups.checked(path)
        try:
            for hierarchy in self._hierarchies:
                files.write(f"{hierarchy.mount}{path}/{file}", value)
        except ProcessLookupError:
            raise
        except OSError as error:
            raise groups.refused(tried, path, error) from error

    def clone_fd(self, path: str) -> int | None:
        groups.checked(path)
        return None

    def exists(self, path: str) -> bool:
        return any(os.path.isdir(directory) for directory in self._directories(path))

    def pids(self, path: str) -> list[int]:
        return sorted(groups.members(self._one_directory(path)))

    def kill(self, path: str, timeout: float = 10.0) -> None:
        def still() -> None:
            if self._is_freezable(path):
                self._set_frozen(path, "FROZEN", timeout=0.05)

        def go() -> None:
            if self._is_freezable(path):
                _thaw_all(self._freezer(path))

        groups.end_all(path, self._one_directory(path), timeout, still, go)

    def freeze(self, path: str, timeout: float = 10.0) -> None:
        groups.refuse_own_group(path, groups.members(self._freezer(path)), "freeze")
        if not self._set_frozen(path, "FROZEN", timeout):
            self.thaw(path)
            raise groups.left_behind("cannot freeze", path, groups.members(self._freezer(path)))

    def thaw(self, path: str) -> None:
        self._set_frozen(path, "THAWED", timeout=0)

    def _is_freezable(self, path: str) -> bool:
        return "freezer" in self._mounts and os.path.isdir(self._mounts["freezer"] + path)

    def _freezer(self, path: str) -> str:
        """The group's directory in the freezer's hierarchy."""
        if "freezer" not in self._mounts:
            raise errdefs.not_implemented(
                f"pausing cgroup {path} needs the freezer controller, which is not mounted"
            )
        return self._mounts["freezer"] + groups.checked(path)

    def _set_frozen(self, path: str, state: str, timeout: float) -> bool:
        """Write freezer.state, and wait until it reads so. False when `timeout` is over.

        A task that is forked meanwhile can keep a group FREEZING, so it is written anew each time.
        """
        file = f"{self._freezer(path)}/freezer.state"
        try:
            for _ in groups.pauses(timeout):
                files.write(file, state)
                if timeout == 0 or files.read(file) == state:
                    return True
        except OSError as error:
            raise groups.refused("pausing or resuming", path, error) from error
        return False

    # --- Looking ----------------------------------------------------------------------------

    def oom_kills(self, path: str) -> int:
        groups.checked(path)
        if "memory" not in self._mounts:
            return 0
        directory = self._mounts["memory"] + path
        self._must_exist(path, directory)
        return files.read_keyed(f"{directory}/memory.oom_control").get("oom_kill", 0)

    def stats(self, path: str) -> Stats:
        self._must_exist(path, self._one_directory(path))
        at = {name: mount + path for name, mount in self._mounts.items()}
        try:
            return Stats(
                cpu=stats_v1.cpu(at["cpuacct"], at.get("cpu")) if "cpuacct" in at else None,
                memory=stats_v1.memory(at["memory"]) if "memory" in at else None,
                pids=PidsStats(
                    files.read_number(f"{at['pids']}/pids.current") or 0,
                    files.read_number(f"{at['pids']}/pids.max"),
                )
                if "pids" in at
                else None,
                block_io=stats_v1.block_io(at["blkio"]) if "blkio" in at else None,
            )
        except OSError as error:
            raise groups.refused("reading", path, error) from error

    def _must_exist(self, path: str, directory: str) -> None:
        if not os.path.isdir(directory):
            raise errdefs.not_found(f"no such cgroup: {path}")

    # --- Removing ---------------------------------------------------------------------------

    def remove(self, path: str, timeout: float = 2.0) -> None:
        groups.remove(path, self._directories(path), timeout)

    def remove_tree(self, path: str) -> None:
        if self.exists(path):
            self.kill(path)
        self.remove(path)

    def _directories(self, path: str) -> list[str]:
        groups.checked(path)
        return [hierarchy.mount + path for hierarchy in self._hierarchies]

    def _one_directory(self, path: str) -> str:
        """The group's directory in the hierarchy that all its processes are known by."""
        return self._hierarchies[0].mount + groups.checked(path)

    # --- Inside a container -----------------------------------------------------------------

    def container_mounts(
        self, path: str, private_ns: bool, read_only: bool = True
    ) -> Sequence[Mount]:
        groups.checked(path)
        access = "ro" if read_only else "rw"
        mounts: list[Mount] = [
            _mount(_CGROUP_MOUNT, "tmpfs", "tmpfs", *_SAFE, "mode=755", "size=64k")
        ]
        for hierarchy in self._hierarchies:
            target = f"{_CGROUP_MOUNT}/{hierarchy.name}"
            if private_ns:
                named = hierarchy.controllers[0].startswith("name=")
                words = ("none", *hierarchy.controllers) if named else hierarchy.controllers
                mounts.append(
                    _mount(target, "cgroup", "cgroup", *_SAFE, "relatime", access, *words)
                )
            else:
                source = hierarchy.mount + path
                mounts.append(_mount(target, "bind", source, "bind", *_SAFE, "relatime", access))
            mounts += [
                _mount(f"{_CGROUP_MOUNT}/{controller}", "symlink", hierarchy.name)
                for controller in hierarchy.controllers
                if len(hierarchy.controllers) > 1 and controller != hierarchy.name
            ]
        if read_only:
            mounts.append(
                _mount(_CGROUP_MOUNT, "bind", _CGROUP_MOUNT, "remount", "bind", "ro", *_SAFE)
            )
        return mounts


def _fill_cpuset(mount: str, path: str) -> None:
    """A cpuset starts empty, and takes no task until it has processors and memory nodes.

    So may a parent: its maker may have died, or be another daemon that is about to fill it.
    """
    for file in ("cpuset.cpus", "cpuset.mems"):
        if path and not files.read(f"{mount}{path}/{file}").strip():
            above = path.rpartition("/")[0]
            _fill_cpuset(mount, above)
            files.write(f"{mount}{path}/{file}", files.read(f"{mount}{above}/{file}"))


def _thaw_all(directory: str) -> None:
    """Thaw a group of the freezer and those below: each may have been frozen by itself."""
    try:
        files.write(f"{directory}/freezer.state", "THAWED")
    except FileNotFoundError:
        return
    for child in groups.children(directory):
        _thaw_all(child)


def _mount(destination: str, fstype: str, source: str, *options: str) -> Mount:
    return {
        "destination": destination,
        "type": fstype,
        "source": source,
        "options": list(options),
    }
