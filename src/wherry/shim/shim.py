"""The process that stays with one container: it makes it, keeps its streams, and reaps it.

A shim outlives the daemon and the launcher. Its folder (`run_dir`) says all that a later daemon
needs: `shim.sock` to talk to, `pid`, and at the end `exit.json`, written before anybody is told.
"""

import contextlib
import json
import os
import signal
import socket
import time
from dataclasses import dataclass

from wherry import errdefs
from wherry.libcontainer import create
from wherry.libcontainer.blueprint import Blueprint
from wherry.libcontainer.sync import StartFailure
from wherry.linux import mounts, pty
from wherry.linux import syscalls as sc
from wherry.linux.cgroups import Cgroups
from wherry.logs.jsonfile import Writer
from wherry.shim import clock, pidfile, wire
from wherry.shim.streams import READ, Attached, Streams, Watch
from wherry.shim.wire import ExitDocument, Message
from wherry.spec.runtime import Spec

# How long output is awaited after the first process has ended: something that the container
# gave its pipe to may hold it open for ever.
_DRAIN_SECONDS = 2.0
# How long a client that does not read keeps its stream, and so this process.
_FLUSH_SECONDS = 10.0
# How often strays are looked for, in the rare container that has no pid namespace of its own.
_REAP_SECONDS = 5.0


@dataclass
class Birth:
    """What the launcher hands to the shim that it forks."""

    request: Message
    spec: Spec
    seccomp: bytes | None
    seccomp_flags: int
    cgroups: Cgroups
    control: socket.socket
    attached: list[Attached]


def main(birth: Birth) -> None:
    """The shim's whole life. Returns when the container is gone and everybody was told."""
    Shim(birth).run()


class Shim:
    def __init__(self, birth: Birth) -> None:
        request = birth.request
        self.birth = birth
        self.id = request["id"]
        self.run_dir = request["run_dir"]
        self.cgroup_path = birth.spec["linux"]["cgroupsPath"]
        self.terminal = birth.spec["process"].get("terminal", False)
        self.shares_pids = {"type": "pid"} not in birth.spec["linux"].get("namespaces", [])
        self.watch = Watch()
        self.connections = [birth.control]
        self.pid = 0
        self.started_at = ""
        self.exit: ExitDocument | None = None
        self.status: int | None = None
        self.ended = 0.0
        self.streams: Streams | None = None
        self.listener: socket.socket | None = None
        self._child_ends: list[int] = []

    def run(self) -> None:
        self._become_shim()
        try:
            self._start()
        except errdefs.EngineError as error:
            self._report_failure(error)
            return
        except OSError as error:
            self._report_failure(errdefs.from_os_error("starting the container", error))
            return
        self._serve()
        self._clean()

    # --- the start ----------------------------------------------------------------------------

    def _become_shim(self) -> None:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        for target in (0, 1, 2):
            os.dup2(null, target)  # the launcher's standard error ends with the daemon, we don't
        sc.prctl(sc.PR_SET_NAME, b"wherry-shim")
        sc.prctl(sc.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # The launcher has its children reaped by the kernel; we want to know how ours end.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _start(self) -> None:
        staging = f"{self.run_dir}/rootfs"
        self.streams = self._make_streams()
        created = create.create(self._blueprint(staging), self._record_birth)
        self.pid = created.pid
        for fd in self._child_ends:
            os.close(fd)
        if created.console >= 0:
            self.streams.stdin = created.console
            self.streams.add_source(created.console, "stdout")
        self._listen()
        try:
            created.start()
        except StartFailure:
            os.waitpid(self.pid, 0)
            self._remove_cgroup()
            raise
        self.started_at = clock.now()
        for client in self.birth.attached:
            self.streams.attach(client)
        self._tell({"op": "started", "pid": self.pid, "started_at": self.started_at})

    def _record_birth(self, shim: int, pid: int) -> None:
        """Called in the process that makes the container, before the program may run."""
        pidfile.write(f"{self.run_dir}/pid", self.cgroup_path, shim, pid)

    def _make_streams(self) -> Streams:
        request = self.birth.request
        log = request["log"]
        writer = Writer(log["path"], log["max_size"], log["max_files"]) if log else None
        once = request["stdin_once"]
        streams = Streams(self.watch, writer, -1, once, self.terminal)
        if self.terminal:
            return streams
        stdin = -1
        if request["open_stdin"]:
            stdin, streams.stdin = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(streams.stdin, False)
            self._child_ends.append(stdin)
        ends = [stdin]
        for stream in ("stdout", "stderr"):
            ours, theirs = os.pipe2(os.O_CLOEXEC)
            self._child_ends.append(theirs)
            ends.append(theirs)
            streams.add_source(ours, stream)
        self.stdio = (ends[0], ends[1], ends[2])
        return streams

    def _blueprint(self, staging: str) -> Blueprint:
        return Blueprint(
            id=self.id,
            spec=self.birth.spec,
            root=mounts.root_mount_from_json(self.birth.request["rootfs"]),
            staging=staging,
            cgroups=self.birth.cgroups,
            cgroup_path=self.cgroup_path,
            seccomp=self.birth.seccomp,
            seccomp_flags=self.birth.seccomp_flags,
            stdio=None if self.terminal else self.stdio,
        )

    def _listen(self) -> None:
        """A socket for later daemons. Bound by a descriptor: its path may exceed 107 bytes."""
        directory = os.open(self.run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.run_dir}/shim.sock")
        self.listener.bind(f"/proc/self/fd/{directory}/shim.sock")
        os.close(directory)
        self.listener.listen(8)
        self.listener.setblocking(False)

    def _report_failure(self, error: errdefs.EngineError) -> None:
        code = error.exit_code if isinstance(error, StartFailure) else 128
        self._tell(
            {
                "op": "failed",
                "kind": error.kind.name,
                "message": error.message[:8192],
                "exit_code": code,
            }
        )
        if self.streams:
            self.streams.close_log()

    # --- the loop -------------------------------------------------------------------------------

    def _serve(self) -> None:
        assert self.listener
        assert self.streams
        read = READ
        init = os.pidfd_open(self.pid)
        self.watch.set(init, read, lambda _: self._reap(init))
        self.watch.set(self.listener.fileno(), read, lambda _: self._accept())
        self._watch_connection(self.birth.control)
        while not self._finished():
            self.watch.wait(self._patience())
            if self.shares_pids and self.status is None:
                self._reap_strays()

    def _finished(self) -> bool:
        """Whether all is done; takes the steps of the end as they become due."""
        assert self.streams
        if self.status is None:
            return False
        if self.exit is None:
            waited = time.monotonic() - self.ended
            if self.streams.sources and waited < _DRAIN_SECONDS:
                return False
            self._record_exit()
        self.streams.close_flushed()
        if not self.streams.flushed and time.monotonic() - self.ended < _FLUSH_SECONDS:
            return False
        self.streams.close_clients()
        return True

    def _patience(self) -> float | None:
        """Seconds until something is due whatever happens, or None."""
        if self.status is None:
            return _REAP_SECONDS if self.shares_pids else None
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
        if self.shares_pids:
            with contextlib.suppress(errdefs.EngineError, OSError):
                self.birth.cgroups.kill(self.cgroup_path)

    def _record_exit(self) -> None:
        assert self.streams
        assert self.status is not None
        self.streams.abandon_sources()
        self.streams.close_log()
        code = os.waitstatus_to_exitcode(self.status)
        self.exit = {
            "code": code if code >= 0 else 128 - code,
            "oom_killed": self.birth.cgroups.oom_kills(self.cgroup_path) > 0,
            "finished_at": clock.now(),
            "error": f"log: {self.streams.log_error}" if self.streams.log_error else "",
        }
        document = json.dumps(self.exit).encode()
        # With no room on /run the daemon still hears it, if there is one.
        with contextlib.suppress(OSError):
            pidfile.write_atomically(f"{self.run_dir}/exit.json", document)
        self._tell({"op": "exit", "exit": self.exit})

    def _clean(self) -> None:
        self._remove_cgroup()
        with contextlib.suppress(OSError):
            os.unlink(f"{self.run_dir}/shim.sock")

    def _remove_cgroup(self) -> None:
        # What can't be removed now, the daemon's recovery removes.
        with contextlib.suppress(errdefs.EngineError, OSError):
            self.birth.cgroups.remove(self.cgroup_path)

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
                reply["pid"], reply["started_at"] = self.pid, self.started_at
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
        if not self.terminal:
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
