"""From a blueprint to a process that waits for its `go`.

A shim that waits to be needed has a child that waits too. On cgroup v1 the child is init itself::

    shim ---- fork ----> init                           process 1 of a pid namespace
      |                     |  prepares, waits for orders
      |                     |  cgroup, namespaces, root file system
      | <-- born {pid} -----|
      | -------- go ------->|  execve

On v2 a process should be born in its cgroup (see `linux.fork`), and in all versions some pid and
user namespaces can only be had by a fork in them. Then the child is a midwife::

    shim ---- fork ----> midwife
      |                     |  prepares, waits for orders
      |                     |  cgroup
      |                     | ---- fork ----> init      the shim's child: born a sibling
      |                     |  <-- ready ---- |
      | <-- born {pid} -----|  ends           |
      | ------------------- go -------------> |  execve

All work is the child's, because a fork shares its parent's memory until it writes: what the child
touches ends with it, and a shim that stays for months has touched almost nothing. In a user
namespace there is one more process between midwife and init, see `_fork_in_user_namespace`.
"""

import json
import os
import signal
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NoReturn

from wherry import errdefs
from wherry.libcontainer import init, namespaces, sync
from wherry.libcontainer.blueprint import Blueprint
from wherry.libcontainer.namespaces import Namespaces
from wherry.libcontainer.prepared import Prepared, prepare
from wherry.libcontainer.sync import Channel
from wherry.linux import fork
from wherry.linux import syscalls as sc
from wherry.linux.cgroups import Cgroups
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
    """A child at work, or waiting for its orders; `is_init` if it is to become the container's
    first process itself."""

    def __init__(self, child: int, is_init: bool, report: Channel, channel: Channel) -> None:
        self._child, self._is_init = child, is_init
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
        if self._report is not self._channel:
            self._report.close()
        return Created(pid, console, self._channel)

    def dismiss(self) -> None:
        """Reap who helped: they have ended, or are just about to."""
        for pid in (0 if self._is_init else self._child, self._between):
            if pid:
                os.waitpid(pid, 0)

    def cancel(self) -> None:
        """The child has been told that there is nothing to do: see it off."""
        self._report.close()
        self._channel.close()
        os.waitpid(self._child, 0)


@dataclass
class Orders:
    """What the child is told. Both are called in it.

    `read` may wait as long as it likes; EOFError from it means that there is nothing to do.
    `record` is given the shim's and the new process's pid: what it writes down is there before
    the program can run. `kept` tells which descriptors are to stay open until then.
    """

    read: Callable[[], Blueprint]
    record: Callable[[int, int], None]
    kept: Callable[[], Collection[int]] = tuple


def expect(orders: Orders, forecast: bytes, hierarchy: Cgroups) -> Expected:
    """Fork a child that prepares for `forecast` (JSON of a spec), and then waits for its orders.

    For containers with a pid namespace of their own and without a user namespace: others are
    delivered by `deliver`.
    """
    if hierarchy.version == 1:
        return _expect_init(orders, forecast)
    return deliver(orders, forecast)


def deliver(orders: Orders, forecast: bytes = b"") -> Expected:
    """Fork a midwife, who can make any container; without a `forecast` she does not prepare."""
    channel, inner = sync.pair()
    report, ours = sync.pair()
    midwife = os.fork()
    if midwife == 0:
        ours.close()
        _Midwife(orders, channel, inner).deliver(report, forecast)
    inner.close()
    report.close()
    return Expected(midwife, False, ours, channel)


def _expect_init(orders: Orders, forecast: bytes) -> Expected:
    channel, inner = sync.pair()
    shim = os.getpid()
    pid = fork.fork(namespaces=sc.CLONE_NEWPID)
    if pid == 0:
        channel.close()
        init.guard(inner, lambda: _wait_and_become(orders, forecast, inner, shim))
    inner.close()
    return Expected(pid, True, channel, channel)


def _wait_and_become(orders: Orders, forecast: bytes, channel: Channel, shim: int) -> NoReturn:
    """Be init from the first, in the host's view the process that /proc/self tells."""
    init.set_apart()
    own = int(os.readlink("/proc/self"))
    prepared = prepare(json.loads(forecast), process_one=True)
    blueprint = orders.read()
    linux = blueprint.spec["linux"]
    plan = namespaces.plan(linux.get("namespaces", []))
    blueprint.cgroups.create(blueprint.cgroup_path, linux.get("resources"))
    orders.record(shim, own)

    def announce(console: int) -> None:
        channel.born(own, 0, console)

    init.Init(blueprint, plan, prepared, channel, announce, kept=orders.kept()).execute()


class _Midwife:
    """The process that makes one container, and ends when it is ready."""

    blueprint: Blueprint

    def __init__(self, orders: Orders, channel: Channel, inner: Channel) -> None:
        self.orders = orders
        self.plan = Namespaces()
        self.prepared = Prepared()
        self.channel, self.inner = channel, inner
        self.root_mount = -1
        self.pid = 0
        self.between = 0

    def deliver(self, report: Channel, forecast: bytes) -> NoReturn:
        """Report `born` with the terminal, or `failed`; never returns."""
        try:
            sc.prctl(sc.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # with her shim
            # So is init then, before it can do so itself: it may be born among a container's
            # processes.
            sc.prctl(sc.PR_SET_DUMPABLE, 0, 0, 0, 0)
            if forecast:
                self.prepared = prepare(json.loads(forecast), process_one=False)
            self.blueprint = self.orders.read()
            console = self._make()
            self.orders.record(os.getppid(), self.pid)
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
                self.channel.close()
                self._be_init()
            self.inner.close()
        console = self.channel.expect("ready")
        return -1 if console is None else console

    def _be_init(self) -> NoReturn:
        def announce(console: int) -> None:
            self.inner.send({"type": "ready"}, console if console >= 0 else None)

        def work() -> NoReturn:
            init.set_apart()
            init.Init(
                self.blueprint, self.plan, self.prepared, self.inner, announce, self.root_mount
            ).execute()

        init.guard(self.inner, work)

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
            init.set_oom_score(self.blueprint.spec["process"])
            self._enter_user_namespace()
            self.plan.enter_pid()
            pid = fork.fork(sibling=True)
            if pid == 0:
                self._be_init()
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
