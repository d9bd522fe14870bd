"""The process that stays with one container: it makes it, keeps its streams, and reaps it.

A shim outlives the daemon and the launcher. Its folder (`run_dir`) says all that a later daemon
needs: `shim.sock` to talk to, `pid`, and at the end `exit.json`, written before anybody is told.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from typing import NamedTuple

from wherry import errdefs
from wherry.libcontainer import bundle, create, mountpoints
from wherry.libcontainer.blueprint import Blueprint
from wherry.libcontainer.create import Expected
from wherry.libcontainer.given import Given
from wherry.libcontainer.sync import StartFailure
from wherry.linux import mounts, pty
from wherry.linux import syscalls as sc
from wherry.linux.cgroups import Cgroups
from wherry.linux.mounts import RootMount
from wherry.logs.jsonfile import Writer
from wherry.shim import clock, pidfile, wire
from wherry.shim.lending import lent_paths
from wherry.shim.order import Details, Order, read_details, read_order
from wherry.shim.streams import READ, Attached, Streams, Watch
from wherry.shim.wire import ExitDocument, Message

# How long output is awaited after the first process has ended: something that the container
# gave its pipe to may hold it open for ever.
_DRAIN_SECONDS = 2.0
# How long a client that does not read keeps its stream, and so this process.
_FLUSH_SECONDS = 10.0
# How often strays are looked for, in the rare container that has no pid namespace of its own.
_REAP_SECONDS = 5.0


def main(
    orders: socket.socket, child_orders: socket.socket, forecast: bytes, cgroups: Cgroups
) -> None:
    """The shim's whole life. Returns when the container is gone and everybody was told.

    It begins before anybody asks for a container: the forks are done, the pipes are there and the
    child has prepared for the `forecast` (JSON of a spec) when the request comes, by `orders`, and
    by `child_orders` for the child. A launcher that ends instead closes both. `orders` stays open
    until the start is over: that tells the launcher.
    """
    _become_shim(orders, child_orders)
    stdio = _Stdio()
    child = _Child(orders, child_orders, stdio, cgroups)
    expected = create.expect(child.orders(child.hear), forecast, cgroups)
    child_orders.close()
    message, fds = wire.receive_bytes(orders)
    if not message:
        return
    lent, _, data = message.partition(b"\0")
    order = read_order(data)
    if order.special:
        expected.cancel()
        expected = create.deliver(child.orders(lambda: _Told(order, lent, data, fds[:1])))
    stdio.close_theirs()
    ends = [socket.socket(fileno=fd) for fd in fds]
    Shim(order, ends, stdio, cgroups, orders, lent).run(expected)


def _become_shim(orders: socket.socket, child_orders: socket.socket) -> None:
    """A session, descriptors and a name of its own. In few words: see `streams.Watch`."""
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for target in (0, 1, 2):
        os.dup2(null, target)  # the launcher's standard error ends with the daemon, we don't
    first, second = sorted((orders.fileno(), child_orders.fileno()))
    os.closerange(3, first)
    os.closerange(first + 1, second)
    os.closerange(second + 1, 1 << 30)
    name = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(name, b"wherry-shim")
    os.close(name)


class _Stdio:
    """The pipes of a container that may or may not come to use them."""

    def __init__(self) -> None:
        self.stdin, self.our_stdin = os.pipe2(os.O_CLOEXEC)
        self.our_stdout, self.stdout = os.pipe2(os.O_CLOEXEC)
        self.our_stderr, self.stderr = os.pipe2(os.O_CLOEXEC)

    def close_theirs(self) -> None:
        for fd in (self.stdin, self.stdout, self.stderr):
            os.close(fd)


class _Told(NamedTuple):
    """The request as the child gets it, with the layers that it is lent."""

    order: Order
    lent: bytes
    data: bytes
    control: list[int]


class _Child:
    """What the child is told, once a container is wanted; used in that process alone."""

    order: Order

    def __init__(
        self, shims: socket.socket, orders: socket.socket, stdio: _Stdio, cgroups: Cgroups
    ) -> None:
        self.shims, self._orders, self.stdio, self.cgroups = shims, orders, stdio, cgroups
        # The daemon's connection is the child's too, until it ends: if that closes, nobody is at
        # work any more.
        self.control: list[int] = []

    def orders(self, hear: Callable[[], _Told]) -> create.Orders:
        return create.Orders(lambda: self._read(hear()), self._record, lambda: self.control)

    def hear(self) -> _Told:
        """Wait for the request. EOFError if none will come, or one that needs a midwife."""
        self.shims.close()  # else the launcher would not see that the shim has been killed
        message, fds = wire.receive_bytes(self._orders)
        if not message:
            raise EOFError
        lent, _, data = message.partition(b"\0")
        order = read_order(data)
        if order.special:
            raise EOFError
        return _Told(order, lent, data, fds)

    def _read(self, told: _Told) -> Blueprint:
        """The request, and what it points to."""
        order = told.order
        self.order, self.control = order, told.control
        details, program = read_details(told.data)
        root, *layers = _roots(details, lent_paths(told.lent))
        contents = told.control[1:]
        if details["bundle"]:
            config = f"{details['bundle']}/config.json"
        else:
            config = f"/proc/self/fd/{contents.pop(0)}"
        stdin = self.stdio.stdin if order.open_stdin else -1
        return Blueprint(
            id=order.id,
            spec=bundle.read_spec(config),
            root=root,
            staging=f"{order.run_dir}/rootfs",
            cgroups=self.cgroups,
            cgroup_path=order.cgroup,
            seccomp=program or None,
            seccomp_flags=details["seccomp_flags"],
            stdio=None if order.terminal else (stdin, self.stdio.stdout, self.stdio.stderr),
            given=Given(tuple(layers), tuple(contents)),
            notes=f"{order.run_dir}/{mountpoints.NOTES}" if details.get("notes") else "",
        )

    def _record(self, shim: int, pid: int) -> None:
        pidfile.write(f"{self.order.run_dir}/pid", self.order.cgroup, shim, pid)


def _roots(details: Details, lent: list[str]) -> list[RootMount]:
    """The container's root, and the roots that its mounts show; upon what was `lent` for them."""
    roots = []
    for document in (details["rootfs"], *details.get("layers", [])):
        root = mounts.root_mount_from_json(document)
        if isinstance(root, mounts.ImagesRoot) and lent:
            number = len(root.images)
            root, lent = root.over(lent[:number]), lent[number:]
        roots.append(root)
    return roots


class Shim:
    """One container's streams, clients, and end."""

    def __init__(
        self,
        order: Order,
        ends: list[socket.socket],
        stdio: _Stdio,
        cgroups: Cgroups,
        launcher: socket.socket,
        lent: bytes,
    ) -> None:
        self.id = order.id
        self.order = order
        self.cgroups = cgroups
        self.watch = Watch()
        self.control = ends[0]
        self.connections = [ends[0]]
        self.pid = 0
        self.started_ns = 0
        self.exit: ExitDocument | None = None
        self.status: int | None = None
        self.ended = 0.0
        self.streams: Streams | None = None
        self.listener: socket.socket | None = None
        self.clients = ends[1:]
        self.stdio = stdio
        self.launcher = launcher
        self.lent = lent
        # The container's mount namespace. Were it its processes' alone, the kernel would take down
        # all its mounts, which takes milliseconds, before it says that they have ended.
        self.mounts = -1

    def run(self, expected: Expected) -> None:
        try:
            self._start(expected)
        except errdefs.EngineError as error:
            self._report_failure(error)
            return
        except OSError as error:
            self._report_failure(errdefs.from_os_error("starting the container", error))
            return
        self._serve()
        self._clean()

    # --- the start ----------------------------------------------------------------------------

    def _start(self, expected: Expected) -> None:
        # All of this while the child is at work.
        if self.order.shares_pids:
            sc.prctl(sc.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._listen()
        self.streams = streams = self._make_streams()
        for end, flags in zip(self.clients, self.order.attaches, strict=True):
            streams.attach(Attached(end, flags))
        created = expected.created()
        self.pid = created.pid
        if self.order.keeps_mounts:
            self.mounts = os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        if created.console >= 0:
            streams.stdin = created.console
            streams.add_source(created.console, "stdout")
        if self.order.held and self.control.recv(16) != wire.GO:
            created.channel.close()
            raise errdefs.unavailable("the daemon has given up the start")
        created.start()
        self.started_ns = time.time_ns()
        try:  # noqa: SIM105 - in few words, see `streams.Watch`
            self.control.send(wire.encode_started(self.id, self.pid, self.started_ns))
        except OSError:
            pass  # who asked has gone; the container runs
        self.launcher.close()  # it waits for this moment to fork the next spare
        expected.dismiss()

    def _make_streams(self) -> Streams:
        order, stdio = self.order, self.stdio
        writer = None
        if order.log:
            writer = Writer(order.log, order.log_max_size, order.log_max_files)
        streams = Streams(self.watch, writer, -1, order.stdin_once, order.terminal)
        if order.terminal:
            for fd in (stdio.our_stdin, stdio.our_stdout, stdio.our_stderr):
                os.close(fd)
            return streams
        if order.open_stdin:
            os.set_blocking(stdio.our_stdin, False)
            streams.stdin = stdio.our_stdin
        else:
            os.close(stdio.our_stdin)
        streams.add_source(stdio.our_stdout, "stdout")
        streams.add_source(stdio.our_stderr, "stderr")
        return streams

    def _listen(self) -> None:
        """A socket for later daemons. Bound by a descriptor: its path may exceed 107 bytes."""
        directory = os.open(self.order.run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(f"/proc/self/fd/{directory}/shim.sock")
        os.close(directory)
        self.listener.listen(8)
        self.listener.setblocking(False)

    def _report_failure(self, error: errdefs.EngineError) -> None:
        """Tell that it failed, once nothing is left of it."""
        if self.streams:
            self.streams.close_log()
        with contextlib.suppress(errdefs.EngineError, OSError):
            self.cgroups.remove_tree(self.order.cgroup)
        if not all(os.path.exists(path) for path in lent_paths(self.lent)):
            return  # the launcher has died with the layers that it lent: its successor is asked
        code = error.exit_code if isinstance(error, StartFailure) else 128
        self._tell(
            {
                "op": "failed",
                "kind": error.kind.name,
                "message": error.message[:8192],
                "exit_code": code,
            }
        )

    # --- the loop -------------------------------------------------------------------------------

    def _serve(self) -> None:
        assert self.listener
        assert self.streams
        read = READ
        init = os.pidfd_open(self.pid)
        self.watch.set(init, read, lambda _: self._reap(init))
        self.watch.set(self.listener.fileno(), read, lambda _: self._accept())
        self._watch_connection(self.control)
        while not self._finished():
            self.watch.wait(self._patience())
            if self.order.shares_pids and self.status is None:
                self._reap_strays()

    def _finished(self) -> bool:
        """Whether all is done; takes the steps of the end as they become due."""
        assert self.streams
        if self.status is None:
            return False
        patient = self.order.patient
        if patient and self.streams.held_up:
            self.ended = time.monotonic()  # the wait for output begins when we can read it
        waited = time.monotonic() - self.ended
        if self.exit is None:
            if self.streams.sources and waited < _DRAIN_SECONDS:
                return False
            self._record_exit()
        self.streams.close_flushed()
        self._let_mounts_go()
        if not self.streams.flushed and (patient or waited < _FLUSH_SECONDS):
            return False
        self.streams.close_clients()
        return True

    def _patience(self) -> float | None:
        """Seconds until something is due whatever happens, or None."""
        if self.status is None:
            return _REAP_SECONDS if self.order.shares_pids else None
        return _DRAIN_SECONDS / 8 if self.exit is None else _FLUSH_SECONDS / 8

    def _reap(self, init: int) -> None:
        """The first process has ended; so have, perhaps, others that it left to us."""
        self.watch.forget(init)
        os.close(init)
        self.ended = time.monotonic()
        self._end_companions()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = status

    def _reap_strays(self) -> None:
        """Processes that lost their parent are ours, where no pid namespace has its own init."""
        while True:
            left = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if left is None or left.si_pid == self.pid:
                return
            os.waitpid(left.si_pid, 0)

    def _end_companions(self) -> None:
        """Without a pid namespace of its own, others of the container may live on."""
        if self.order.shares_pids:
            with contextlib.suppress(errdefs.EngineError, OSError):
                self.cgroups.kill(self.order.cgroup)

    def _record_exit(self) -> None:
        assert self.streams
        assert self.status is not None
        self.streams.abandon_sources()
        self.streams.close_log()
        code = os.waitstatus_to_exitcode(self.status)
        self.exit = {
            "code": code if code >= 0 else 128 - code,
            "oom_killed": self.cgroups.oom_kills(self.order.cgroup) > 0,
            "finished_at": clock.now(),
            "error": f"log: {self.streams.log_error}" if self.streams.log_error else "",
        }
        document = json.dumps(self.exit).encode()
        # With no room on /run the daemon still hears it, if there is one.
        with contextlib.suppress(OSError):
            pidfile.write_atomically(f"{self.order.run_dir}/exit.json", document)
        self._tell({"op": "exit", "exit": self.exit})

    def _let_mounts_go(self) -> None:
        if self.mounts >= 0:
            os.close(self.mounts)
            self.mounts = -1

    def _clean(self) -> None:
        self._remove_cgroup()
        with contextlib.suppress(OSError):
            os.unlink(f"{self.order.run_dir}/shim.sock")

    def _remove_cgroup(self) -> None:
        # What can't be removed now, the daemon's recovery removes.
        with contextlib.suppress(errdefs.EngineError, OSError):
            self.cgroups.remove(self.order.cgroup)

    # --- daemons ----------------------------------------------------------------------------------

    def _accept(self) -> None:
        assert self.listener
        try:
            connection, _ = self.listener.accept()
        except OSError:
            return
        self.connections.append(connection)
        self._watch_connection(connection)

    def _watch_connection(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.watch.set(connection.fileno(), READ, lambda _: self._hear(connection))

    def _drop(self, connection: socket.socket) -> None:
        self.watch.forget(connection.fileno())
        self.connections.remove(connection)
        connection.close()

    def _tell(self, message: Message, only: socket.socket | None = None) -> None:
        for connection in [only] if only else list(self.connections):
            try:
                wire.send(connection, {"id": self.id, **message})
            except OSError:
                self._drop(connection)

    def _hear(self, connection: socket.socket) -> None:
        try:
            message, fds = wire.receive(connection)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self._drop(connection)
            return
        if message is None:
            self._drop(connection)
            return
        reply: Message = {"op": "reply", "n": message.get("n", 0)}
        try:
            self._obey(message, fds, reply)
        except errdefs.EngineError as error:
            reply["kind"], reply["message"] = error.kind.name, error.message
        except (KeyError, TypeError, OSError) as error:
            reply["kind"], reply["message"] = "INVALID_ARGUMENT", f"{message.get('op')}: {error}"
        finally:
            for fd in fds:
                os.close(fd)
        self._tell(reply, connection)

    def _obey(self, message: Message, fds: list[int], reply: Message) -> None:
        if message.get("v") != wire.VERSION or message.get("id") != self.id:
            raise errdefs.not_implemented(
                f"this shim speaks version {wire.VERSION} for {self.id[:12]}"
            )
        match message["op"]:
            case "state":
                reply["pid"], reply["started_ns"] = self.pid, self.started_ns
                reply["exit"] = self.exit
            case "kill":
                self._kill(message["signal"])
            case "resize":
                self._resize(message["height"], message["width"])
            case "attach":
                self._attach(message, fds)
            case op:
                raise errdefs.not_implemented(f"this shim does not know {op}")

    def _kill(self, number: int) -> None:
        # Not reaped yet, so the pid is still the container's.
        if self.status is not None:
            raise errdefs.conflict(f"container {self.id[:12]} is not running")
        os.kill(self.pid, number)

    def _resize(self, height: int, width: int) -> None:
        assert self.streams
        if not self.order.terminal:
            raise errdefs.invalid(f"container {self.id[:12]} has no terminal")
        if self.streams.stdin >= 0:
            pty.set_size(self.streams.stdin, height, width)

    def _attach(self, message: Message, fds: list[int]) -> None:
        assert self.streams
        if not fds:
            raise errdefs.invalid("attach came without a stream")
        if self.exit is not None:
            raise errdefs.conflict(f"container {self.id[:12]} is not running")
        self.streams.attach(Attached(socket.socket(fileno=fds.pop()), message["attach"]))
