"""From a blueprint to a process that waits for its `go`.

::

    shim ---- fork ----> midwife ---- fork ----> init            (in a user namespace: by way of
      |                     |  cgroup, spec, mounts |             another process, see below)
      | <-- born {pid} -----|  ends                 |
      |     its parent now, for the shim is a subreaper
      | ------------------- go -------------------> |  execve

All work is the midwife's, because a fork shares its parent's memory until it writes: what the
midwife touches ends with it, and a shim that stays for months has touched almost nothing.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

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
            self.channel.go()
        finally:
            self.channel.close()


def create(blueprint: Blueprint, record: Callable[[int, int], None]) -> Created:
    """Make cgroup, namespaces, root file system and process.

    `record` is called, in another process, with the caller's and the new process's pid: what it
    writes down is there before the program runs. Must be called by a subreaper (prctl(2)) with
    one thread. Raises StartFailure or EngineError; then no process and no cgroup is left.
    """
    channel, inner = sync.pair()
    report, ours = sync.pair()
    midwife = os.fork()
    if midwife == 0:
        ours.close()
        _Midwife(blueprint, channel, inner).deliver(report, record)
    inner.close()
    report.close()
    try:
        message, console = ours.receive()
    except sync.ClosedError as error:
        channel.close()
        blueprint.cgroups.remove_tree(blueprint.cgroup_path)
        raise errdefs.internal("the process that makes containers was killed") from error
    except errdefs.EngineError:
        channel.close()
        raise
    finally:
        ours.close()
        os.waitpid(midwife, 0)
    return Created(message["pid"], -1 if console is None else console, channel)


class _Midwife:
    """The process that makes one container, and ends when it is ready."""

    def __init__(self, blueprint: Blueprint, channel: Channel, inner: Channel) -> None:
        self.blueprint = blueprint
        self.plan = Namespaces()
        self.channel, self.inner = channel, inner
        self.root_mount = -1
        self.pid = 0

    def deliver(self, report: Channel, record: Callable[[int, int], None]) -> NoReturn:
        """Report `born` with the terminal, or `failed`; never returns."""
        try:
            console = self._make()
            record(os.getppid(), self.pid)
            report.send({"type": "born", "pid": self.pid}, None if console < 0 else console)
        except sync.ClosedError:
            self._clear_away()
            report.fail(errdefs.internal("the container's init died before it was ready"), 128)
        except errdefs.EngineError as error:
            self._clear_away()
            code = error.exit_code if isinstance(error, sync.StartFailure) else 128
            report.fail(error, code)
        except OSError as error:
            self._clear_away()
            report.fail(errdefs.from_os_error("unable to start container process", error), 128)
        except Exception as error:  # noqa: BLE001 - a fork must never run its parent's code
            self._clear_away()
            report.fail(errdefs.internal(f"{type(error).__name__}: {error}"), 128)
        finally:
            os._exit(0)

    def _make(self) -> int:
        linux = self.blueprint.spec.get("linux", {})
        self.plan = namespaces.plan(linux.get("namespaces", []))
        self.blueprint.cgroups.create(self.blueprint.cgroup_path, linux.get("resources"))
        if self.blueprint.in_user_namespace:
            self._fork_in_user_namespace()
        else:
            self.plan.enter_pid()
            self.pid = self._fork_member()
            if self.pid == 0:
                self._be_init()
            self.inner.close()
        return self._await_ready()

    def _be_init(self) -> NoReturn:
        self.channel.close()
        init.run(self.blueprint, self.plan, self.inner, self.root_mount)

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

    def _be_between(self) -> NoReturn:
        try:
            self.channel.close()
            self.blueprint.join_cgroup()
            self._enter_user_namespace()
            self.plan.enter_pid()
            pid = os.fork()
            if pid == 0:
                init.run(self.blueprint, self.plan, self.inner, self.root_mount)
            self.inner.send({"type": "child", "pid": pid})
        except OSError as error:
            self.inner.fail(errdefs.from_os_error("entering the user namespace", error), 128)
        except errdefs.EngineError as error:
            self.inner.fail(error, 128)
        finally:
            os._exit(0)

    def _enter_user_namespace(self) -> None:
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

    def _clear_away(self) -> None:
        """Leave no process and no cgroup behind."""
        self.channel.close()
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass  # it was not ours any more, or never had been
        try:
            self.blueprint.cgroups.remove_tree(self.blueprint.cgroup_path)
        except (errdefs.EngineError, OSError):
            return  # the error that led here is the one to tell; recovery removes the rest


def _map_lines(mappings: list[IDMapping]) -> bytes:
    lines = [f"{m['containerID']} {m['hostID']} {m['size']}\n" for m in mappings]
    return "".join(lines).encode()
