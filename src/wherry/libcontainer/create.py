"""From a blueprint to a process that waits for its `go`.

::

    shim ---- fork ----> midwife                        made beforehand, both wait for orders
      |                     |
      |                     |  cgroup, namespaces
      |                     | ---- fork ----> init      the shim's child: born a sibling
      |                     |  <-- ready ---- |
      | <-- born {pid} -----|  ends           |
      | ------------------- go -------------> |  execve

All work is the midwife's, because a fork shares its parent's memory until it writes: what the
midwife touches ends with it, and a shim that stays for months has touched almost nothing. In a
user namespace there is one more process between midwife and init, see `_fork_in_user_namespace`.
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


class Expected:
    """A midwife at work, or waiting for her orders."""

    def __init__(self, midwife: int, report: Channel, channel: Channel) -> None:
        self.midwife = midwife
        self._report = report
        self._channel = channel
        self._between = 0

    def created(self) -> Created:
        """Wait for the container's first process. Raises StartFailure, or EngineError.

        After an error no process is left; the cgroup is the caller's to remove.
        """
        try:
            pid, self._between, console = self._report.await_born()
        except sync.ClosedError as error:
            self._channel.close()
            raise errdefs.internal("the process that makes containers was killed") from error
        except errdefs.EngineError:
            self._channel.close()
            raise
        finally:
            self._report.close()
        return Created(pid, console, self._channel)

    def dismiss(self) -> None:
        """Reap who helped: they have ended, or are just about to."""
        for pid in (self.midwife, self._between):
            if pid:
                os.waitpid(pid, 0)


def expect(orders: Callable[[], Blueprint], record: Callable[[int, int], None]) -> Expected:
    """Fork a midwife: cgroup, namespaces, root file system and process will be her work.

    In her, `orders` is called, and may wait as long as it likes; EOFError from it means that
    there is nothing to do. `record` is called there with the caller's and the new process's pid:
    what it writes down is there before the program can run.
    """
    channel, inner = sync.pair()
    report, ours = sync.pair()
    midwife = os.fork()
    if midwife == 0:
        ours.close()
        _Midwife(orders, record, channel, inner).deliver(report)
    inner.close()
    report.close()
    return Expected(midwife, ours, channel)


class _Midwife:
    """The process that makes one container, and ends when it is ready."""

    blueprint: Blueprint

    def __init__(
        self,
        orders: Callable[[], Blueprint],
        record: Callable[[int, int], None],
        channel: Channel,
        inner: Channel,
    ) -> None:
        self.orders, self.record = orders, record
        self.plan = Namespaces()
        self.channel, self.inner = channel, inner
        self.root_mount = -1
        self.pid = 0
        self.between = 0

    def deliver(self, report: Channel) -> NoReturn:
        """Report `born` with the terminal, or `failed`; never returns."""
        try:
            self.blueprint = self.orders()
            console = self._make()
            self.record(os.getppid(), self.pid)
            report.born(self.pid, self.between, console)
        except EOFError:
            os._exit(0)
        except sync.ClosedError:
            self._bury()
            report.fail(errdefs.internal("the container's init died before it was ready"), 128)
        except errdefs.EngineError as error:
            self._bury()
            code = error.exit_code if isinstance(error, sync.StartFailure) else 128
            report.fail(error, code)
        except OSError as error:
            self._bury()
            report.fail(errdefs.from_os_error("unable to start container process", error), 128)
        except Exception as error:  # noqa: BLE001 - a fork must never run its parent's code
            self._bury()
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
        """Fork the shim's child, which is in the container's cgroup before it does anything."""
        born_in = self.blueprint.cgroups.clone_fd(self.blueprint.cgroup_path)
        try:
            return fork.fork(born_in, sibling=True)
        finally:
            if born_in is not None:
                os.close(born_in)

    def _fork_in_user_namespace(self) -> None:
        """A process that enters the user namespace first, and forks init there.

        The pid namespace must belong to the user namespace, so it can't be made out here. The
        root is mounted out here, because in there it may not be.
        """
        self.root_mount = self.blueprint.root.open()
        self.between = self._fork_member()
        if self.between == 0:
            self._be_between()
        self.inner.close()
        if self.plan.creates("user"):
            self.channel.expect("map")
            self._write_maps(self.between)
            self.channel.send({"type": "map"})
        message, _ = self.channel.receive()
        self.pid = message["pid"]

    def _be_between(self) -> NoReturn:
        try:
            self.channel.close()
            self.blueprint.join_cgroup()
            self._enter_user_namespace()
            self.plan.enter_pid()
            pid = fork.fork(sibling=True)
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

    def _bury(self) -> None:
        """Kill who was born; the shim, whose children they are, reaps them."""
        self.channel.close()
        for pid in (self.pid, self.between):
            if pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue


def _map_lines(mappings: list[IDMapping]) -> bytes:
    lines = [f"{m['containerID']} {m['hostID']} {m['size']}\n" for m in mappings]
    return "".join(lines).encode()
