"""From a blueprint to a process that waits for its `go`."""

import os
import signal
from dataclasses import dataclass

from wherry import errdefs
from wherry.libcontainer import init, namespaces, sync
from wherry.libcontainer.blueprint import Blueprint
from wherry.libcontainer.namespaces import Namespaces
from wherry.libcontainer.sync import Channel
from wherry.linux import fork
from wherry.linux import syscalls as sc
from wherry.spec.runtime import IDMapping


@dataclass
class Created:
    """A container whose first process is ready; `console` is the terminal's master, or -1."""

    pid: int
    console: int
    channel: Channel

    def start(self) -> None:
        """Let the program run; returns when execve(2) has happened. Raises StartFailure."""
        try:
            self.channel.send({"type": "go"})
            self.channel.receive()
        except sync.ClosedError:
            return
        finally:
            self.channel.close()
        raise errdefs.internal("init spoke after its program had started")


def create(blueprint: Blueprint) -> Created:
    """Make cgroup, namespaces, root file system and process.

    Must be called by a process with one thread. Raises StartFailure or EngineError; then the
    process is reaped and the cgroup removed.
    """
    plan = namespaces.plan(blueprint.spec.get("linux", {}).get("namespaces", []))
    resources = blueprint.spec.get("linux", {}).get("resources")
    try:
        blueprint.cgroups.create(blueprint.cgroup_path, resources)
        try:
            return _Birth(blueprint, plan).deliver()
        except BaseException:
            blueprint.cgroups.kill(blueprint.cgroup_path)
            blueprint.cgroups.remove(blueprint.cgroup_path)
            raise
    finally:
        plan.close()


class _Birth:
    """The parent's side of `sync`'s talk."""

    def __init__(self, blueprint: Blueprint, plan: Namespaces) -> None:
        self.blueprint = blueprint
        self.plan = plan
        self.channel, self.inner = sync.pair()
        self.root_mount = -1
        self.pid = 0

    def deliver(self) -> Created:
        try:
            self._fork()
            console = self._await_ready()
        except BaseException as error:
            self._bury()
            if isinstance(error, sync.ClosedError):
                raise errdefs.internal("the container's init died before it was ready") from error
            raise
        return Created(self.pid, console, self.channel)

    def _fork(self) -> None:
        if self.blueprint.in_user_namespace:
            self._fork_in_user_namespace()
            return
        self.plan.enter_pid()
        self.pid = self._fork_member()
        if self.pid == 0:
            self.channel.close()
            init.run(self.blueprint, self.plan, self.inner, self.root_mount)
        self.inner.close()

    def _fork_member(self) -> int:
        """Fork a process that is in the container's cgroup before it does anything."""
        cgroups, path = self.blueprint.cgroups, self.blueprint.cgroup_path
        born_in = cgroups.clone_fd(path)
        if born_in is None:
            return os.fork()
        try:
            return fork.fork_into(born_in)
        finally:
            os.close(born_in)

    def _fork_in_user_namespace(self) -> None:
        """A process that enters the user namespace first, and forks init there.

        The pid namespace must belong to the user namespace, so it can't be made out here. The
        root is mounted out here, because in there it may not be.
        """
        self.root_mount = self.blueprint.root.open()
        between = self._fork_member()
        if between == 0:
            self._be_between()
        self.inner.close()
        try:
            if self.plan.creates("user"):
                self.channel.expect("map")
                self._write_maps(between)
                self.channel.send({"type": "map"})
            message, _ = self.channel.receive()
            self.pid = message["pid"]
        finally:
            os.waitpid(between, 0)
            os.close(self.root_mount)
        # Its parent is gone, and we, a subreaper, are its parent now.
        self.channel.send({"type": "adopted"})

    def _be_between(self) -> None:
        try:
            self.channel.close()
            self.blueprint.join_cgroup()
            flag = sc.CLONE_NEWUSER
            if flag in self.plan.joined:
                sc.setns(self.plan.joined[flag], flag)
            else:
                sc.unshare(flag)
                self.inner.send({"type": "map"})
                self.inner.expect("map")
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            self.plan.enter_pid()
            pid = os.fork()
            if pid == 0:
                init.run(self.blueprint, self.plan, self.inner, self.root_mount)
            self.inner.send({"type": "child", "pid": pid})
        except OSError as error:
            self.inner.fail(errdefs.from_os_error("entering the user namespace", error), 128)
        finally:
            os._exit(0)

    def _write_maps(self, pid: int) -> None:
        linux = self.blueprint.spec["linux"]
        for name, mappings in (
            ("uid_map", linux.get("uidMappings", [])),
            ("gid_map", linux.get("gidMappings", [])),
        ):
            fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, _map_lines(mappings))
            except OSError as error:
                raise errdefs.invalid(f"{name} {mappings} is refused: {error.strerror}") from error
            finally:
                os.close(fd)

    def _await_ready(self) -> int:
        console = -1
        while True:
            message, fd = self.channel.receive()
            if message["type"] == "ready":
                return console
            if message["type"] == "console" and fd is not None:
                console = fd
            else:
                raise errdefs.internal(f"init said {message['type']} before it was ready")

    def _bury(self) -> None:
        self.channel.close()
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                return


def _map_lines(mappings: list[IDMapping]) -> bytes:
    lines = [f"{m['containerID']} {m['hostID']} {m['size']}\n" for m in mappings]
    return "".join(lines).encode()
