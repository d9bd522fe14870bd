"""The daemon's side of launcher and shims: start a container, find one again."""

import asyncio
import contextlib
import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from wherry import errdefs
from wherry.libcontainer.mountpoints import NOTES, Notes, read_notes
from wherry.linux import cgroups, seccomp
from wherry.linux.mounts import ImagesRoot, root_mount_to_json
from wherry.shim import clock, interpreter, pidfile, wire
from wherry.shim.hanging import await_end, end_shim
from wherry.shim.order import Details, Order, encode
from wherry.shim.start import Start
from wherry.shim.task import Attach, Exit, StartError, Task, read_exit
from wherry.spec.runtime import Seccomp, Spec
from wherry.threads import to_thread

__all__ = ["Attach", "Exit", "Notes", "Runtime", "Start", "StartError", "Task"]

log = logging.getLogger("wherry.shim")

_SHIM_DIED = "the container's shim died, and the container was killed with it"
_KILLED = 128 + signal.SIGKILL
_UNSTARTED = 128
START_SECONDS = 60.0
"""How long a start may take. What it does takes milliseconds, on the slowest disk seconds; but it
can be made to hang, by a process of a joined pid namespace that stops the newcomer, or by a bound
file system that has stopped answering. Docker's own clients give up after a minute too."""

# How long a shim that was there before is asked what it knows: it may be in the middle of a start.
_RECALL_SECONDS = 10.0
# A launcher hands a request over at once; one that has not after these seconds hangs itself.
_HAND_OVER_SECONDS = 1.0
# A launcher that lives less than these seconds, this many times in a row, is given up.
_TOO_SOON = 1.0
_PATIENCE = 5
# How long the processes of a start that was given up are waited for, once they were killed.
_GONE_SECONDS = 5.0
# Seconds until a launcher that has much to do is told something again.
_BUSY = 0.05


class Runtime:
    """Starts containers and speaks with their shims.

    `exec_root/containers/<id>/` is the shim's folder; `cgroup_parent` is where launcher and shims
    have their group, beside the containers' (whose paths the specs say).

    Life: `open`, then `start` or `adopt`, `forget` when an exit was recorded, and `close`, after
    which containers go on.
    """

    def __init__(self, exec_root: Path, cgroup_parent: str = "/wherry") -> None:
        self.exec_root = exec_root
        self.shim_cgroup = f"{cgroup_parent}/shims"
        self._cgroups = cgroups.detect()
        self._launcher: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = False
        self._filters: dict[str, bytes] = {}
        self._forecast = b""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._spawned = 0.0
        self._spawned_one = asyncio.Event()
        self._failures = 0

    async def open(self) -> None:
        """Start the launcher. It loads its modules while the caller goes on."""
        self._loop = asyncio.get_running_loop()
        self.exec_root.joinpath("containers").mkdir(0o711, parents=True, exist_ok=True)
        self._spawn()

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            self._process = interpreter.spawn_launcher(theirs, self.shim_cgroup)
        self._launcher = ours
        self._spawned = time.monotonic()
        self._spawned_one.set()
        asyncio.get_running_loop().add_reader(ours.fileno(), self._launcher_died)
        self._tell_forecast()

    def foresee(self, spec: Spec) -> None:
        """Tell what most containers will be like: what they have in common is made beforehand.

        It changes nothing but the time that a start takes.
        """
        self._forecast = wire.encode({"op": "forecast", "spec": spec})
        self._tell_forecast()

    def _tell_forecast(self) -> None:
        if self._launcher and self._forecast:
            with contextlib.suppress(OSError):  # one that is just ending; its successor is told
                wire.send_bytes(self._launcher, self._forecast)

    def release(self, path: str) -> None:
        """The layer in the file `path` is gone: nobody must hold a mount of it. From any thread."""
        message = wire.encode({"op": "release", "path": path})
        if self._loop:
            self._loop.call_soon_threadsafe(self._say, message)

    def _say(self, message: bytes) -> None:
        if self._launcher is None:
            return
        try:
            wire.send_bytes(self._launcher, message)
        except BlockingIOError:
            asyncio.get_running_loop().call_later(_BUSY, self._say, message)
        except OSError:
            return  # it is just ending, and its successor holds nothing and is told what matters

    def _launcher_died(self) -> None:
        self._let_go()
        status = self._process.wait() if self._process else 0
        if self._closing:
            return
        # One that can't even begin would be started for ever.
        if time.monotonic() - self._spawned < _TOO_SOON:
            self._failures += 1
        else:
            self._failures = 0
        ended = f"signal {-status}" if status < 0 else f"exit status {status}"
        if self._failures < _PATIENCE:
            log.warning("launcher has ended (%s); starting a new one", ended)
            self._spawn()
        else:
            log.error("launcher has ended (%s) again and again; the next start tries anew", ended)

    def _let_go(self) -> None:
        if self._launcher:
            asyncio.get_running_loop().remove_reader(self._launcher.fileno())
            with contextlib.suppress(OSError):
                # Else a process that this one has forked would keep it waiting.
                self._launcher.shutdown(socket.SHUT_RDWR)
            self._launcher.close()
            self._launcher = None

    async def close(self) -> None:
        """End the launcher; running containers and their shims go on."""
        self._closing = True
        self._let_go()
        if self._process:
            await to_thread(self._process.wait)
        with contextlib.suppress(errdefs.EngineError, OSError):
            # Shims that go on keep it, and so does another daemon's launcher.
            self._cgroups.remove(self.shim_cgroup, timeout=0)

    @property
    def launcher_pid(self) -> int:
        """The launcher's process, or 0: for diagnosis and tests."""
        return self._process.pid if self._process else 0

    def run_dir(self, container_id: str) -> Path:
        return self.exec_root / "containers" / container_id

    async def start(self, start: Start) -> Task:
        """Make the container's process and return when its program runs.

        Raises StartError with Docker's exit code if the program can't be run or did not begin to
        run within `START_SECONDS`, EngineError if something else stood in the way; then nothing
        is left of it, nor is after a cancellation.
        """
        asked = self._launcher
        try:
            try:
                return await self._try_start(start)
            except ConnectionError:
                # Did the launcher die with the request? Then its successor is asked, once.
                if not await self._succeeded(asked):
                    raise
                return await self._try_start(start)
        except ConnectionError as error:
            raise errdefs.unavailable("the shim died before the start") from error
        finally:
            for attach in start.attaches:
                attach.socket.close()

    async def _try_start(self, start: Start) -> Task:
        if self._launcher is None and not self._closing:
            self._spawn()  # it was given up; what stood in its way may be gone
        run_dir = self.run_dir(start.id)
        self.forget(start.id)
        # Passable, so that a container's root in a user namespace reaches what it is mounted upon.
        run_dir.mkdir(0o711)
        run_dir.joinpath("rootfs").mkdir(0o711)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        task = Task(start.id, ours, self._mourn)
        try:
            async with asyncio.timeout(START_SECONDS):
                with theirs:
                    await self._request(start, run_dir, theirs)
                if start.ready is not None:
                    await self._await_ready(start, start.ready, task, ours)
                await task.started()
        except (TimeoutError, asyncio.CancelledError) as error:
            with ours.dup() as end:
                task.close()
                await to_thread(self._give_up, start, end)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise StartError(
                errdefs.Kind.UNAVAILABLE,
                f"the start hung and was given up after {START_SECONDS:.0f} seconds: is a file "
                "system that it binds out of order, or does a container whose processes it joins "
                "stop it?",
                _UNSTARTED,
            ) from error
        except ConnectionError:
            task.close()
            await to_thread(self._sweep, start.spec["linux"]["cgroupsPath"])
            self.forget(start.id)
            raise
        except BaseException:
            task.close()
            self.forget(start.id)
            raise
        return task

    async def _await_ready(
        self, start: Start, ready: "asyncio.Future[None]", task: Task, ours: socket.socket
    ) -> None:
        """Let the shim go on when what the start waits for is there; else end it. EngineError."""
        try:
            await asyncio.shield(ready)
        except errdefs.EngineError:
            with ours.dup() as end:
                task.close()
                await to_thread(self._give_up, start, end)
            raise
        task.let_go()

    def _give_up(self, start: Start, end: socket.socket) -> None:
        """End whoever is at work on a start, and remove what there is of it.

        Whoever is at work holds the other side of `end`: its child, too, until it has died.
        """
        run_dir = self.run_dir(start.id)
        if not end_shim(lambda: _connect(run_dir), _HAND_OVER_SECONDS) and self._process:
            self._process.kill()  # its successor gets the requests that it has not handed over
        await_end(end, _GONE_SECONDS)
        self._sweep(start.spec["linux"]["cgroupsPath"])
        self.forget(start.id)

    def _sweep(self, cgroup: str) -> None:
        """Remove what a shim and its midwife had made when they were killed."""
        with contextlib.suppress(errdefs.EngineError, OSError):
            self._cgroups.remove_tree(cgroup)

    async def _succeeded(self, launcher: socket.socket | None) -> bool:
        """Whether another launcher has taken this one's place; its death may be still unheard."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TOO_SOON):
                while self._launcher is launcher:
                    self._spawned_one.clear()
                    await self._spawned_one.wait()
        return self._launcher is not launcher and self._launcher is not None

    async def _request(self, start: Start, run_dir: Path, control: socket.socket) -> None:
        linux = start.spec["linux"]
        section = linux.get("seccomp")
        namespaces = linux.get("namespaces", [])
        shares_pids = {"type": "pid"} not in namespaces
        order = Order(
            id=start.id,
            run_dir=str(run_dir),
            cgroup=linux["cgroupsPath"],
            terminal=start.spec["process"].get("terminal", False),
            shares_pids=shares_pids,
            special=shares_pids or any(one["type"] == "user" for one in namespaces),
            open_stdin=start.open_stdin,
            stdin_once=start.stdin_once,
            lends=any(isinstance(root, ImagesRoot) for root in (start.rootfs, *start.layers)),
            patient=start.patient,
            held=start.ready is not None,
            keeps_mounts=not start.binds_of_others,
            log=str(start.log_path or ""),
            log_max_size=start.log_max_size,
            log_max_files=start.log_max_files,
            attaches=[attach.flags for attach in start.attaches],
        )
        details: Details = {
            "bundle": str(start.bundle or ""),
            "rootfs": root_mount_to_json(start.rootfs),
            "seccomp_flags": seccomp.filter_flags(section) if section else 0,
            "layers": [root_mount_to_json(root) for root in start.layers],
            "notes": start.notes_mountpoints,
        }
        program = self._filter(section) if section else b""
        data = encode(order, details, program)
        in_memory = list(start.contents)
        if start.bundle is None:
            in_memory.insert(0, json.dumps(start.spec).encode())
        fds = [control.fileno(), *(attach.socket.fileno() for attach in start.attaches)]
        if len(fds) + len(in_memory) > wire.MAX_DESCRIPTORS:
            raise errdefs.exhausted(
                f"more than {wire.MAX_DESCRIPTORS - 1} clients and contents of mounts wait for "
                f"container {start.id[:12]}"
            )
        if len(data) > wire.LIMIT:
            raise errdefs.exhausted(
                f"starting container {start.id[:12]}: the paths of its layers have {len(data)} "
                f"bytes, {wire.LIMIT} are most; a data root of a shorter path makes them fewer"
            )
        with contextlib.ExitStack() as stack:
            for content in in_memory:
                fds.append(_memory_file(content))
                stack.callback(os.close, fds[-1])
            await self._send(data, tuple(fds))

    def _filter(self, section: Seccomp) -> bytes:
        """The compiled system call filter; compiled once for all containers that share it."""
        key = json.dumps(section)
        if key not in self._filters:
            if len(self._filters) > 64:
                self._filters.clear()
            self._filters[key] = seccomp.compile_filter(section)
        return self._filters[key]

    async def _send(self, data: bytes, fds: tuple[int, ...]) -> None:
        while True:
            if self._launcher is None:
                raise errdefs.unavailable(
                    "the launcher can't be started; the daemon's log says why"
                )
            try:
                wire.send_bytes(self._launcher, data, fds)
                return
            except BlockingIOError:
                await self._writable(self._launcher)

    @staticmethod
    async def _writable(end: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_writer(end.fileno(), ready.cancel)
        try:
            await asyncio.wait([ready])
        finally:
            loop.remove_writer(end.fileno())

    async def adopt(self, container_id: str) -> Task | Exit | None:
        """Find a container that an earlier daemon started.

        A Task if its shim lives, an Exit if it has ended (or its shim has died: then what is
        left of it is killed first), None if this boot knows nothing of it.
        """
        run_dir = self.run_dir(container_id)
        if not run_dir.is_dir():
            return None
        control = _connect(run_dir)
        if control is not None:
            task = Task(container_id, control, self._mourn)
            try:
                async with asyncio.timeout(_RECALL_SECONDS):
                    await task.recall()
                return task
            except errdefs.EngineError:
                task.close()
            except TimeoutError:
                # Its start hangs, or it was stopped: nobody could ever reach its container.
                task.close()
                await to_thread(end_shim, lambda: _connect(run_dir), 0.0)
        return await to_thread(self._bury, container_id)

    def mountpoints(self, container_id: str) -> Notes | None:
        """Which mount points its start has made in its root, if it was to note them.

        Raises EngineError.
        """
        try:
            return read_notes(str(self.run_dir(container_id) / NOTES))
        except (OSError, ValueError) as error:
            raise errdefs.internal(
                f"reading which mount points {container_id[:12]} has got: {error}"
            ) from error

    def forget(self, container_id: str) -> None:
        """Remove the shim's folder: its exit has been recorded elsewhere."""
        run_dir = self.run_dir(container_id)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(run_dir / "rootfs")
            for name in os.listdir(run_dir):
                with contextlib.suppress(FileNotFoundError):  # the shim takes its socket itself
                    os.unlink(run_dir / name)
            os.rmdir(run_dir)
        except FileNotFoundError:
            return
        except OSError:
            # Something unheard-of in there, or a shim that is just adding to it.
            shutil.rmtree(run_dir, ignore_errors=True)

    def _mourn(self, task: Task) -> "asyncio.Task[Exit]":
        return asyncio.create_task(to_thread(self._bury_lost, task.id))

    def _bury_lost(self, container_id: str) -> Exit:
        return self._bury(container_id) or _lost_exit()

    def _bury(self, container_id: str) -> Exit | None:
        """How a container without a shim ended. Whatever of it still runs is killed."""
        run_dir = str(self.run_dir(container_id))
        ended = read_exit(run_dir)
        document = pidfile.read(f"{run_dir}/pid")
        if document is None:
            return ended
        if ended is None:
            _kill_for_good(document["init"])
        self._sweep(document["cgroup"])
        return ended or _lost_exit()


def _memory_file(content: bytes) -> int:
    """A descriptor of a file that is nowhere but in memory. Raises ResourceExhausted."""
    try:
        with open(os.memfd_create("wherry", os.MFD_CLOEXEC), "wb") as file:
            file.write(content)
            file.flush()
            return os.dup(file.fileno())
    except OSError as error:
        raise errdefs.from_os_error("handing over to the launcher", error) from error


def _lost_exit() -> Exit:
    return Exit(_KILLED, False, clock.now(), _SHIM_DIED)


def _connect(run_dir: Path) -> socket.socket | None:
    """A connection to the shim, or None. By a descriptor: its path may exceed 107 bytes."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        end.close()
        return None
    try:
        end.connect(f"/proc/self/fd/{directory}/shim.sock")
    except OSError:
        end.close()
        return None
    finally:
        os.close(directory)
    return end


def _kill_for_good(who: pidfile.Identity) -> None:
    """Kill a container's first process, and wait until it is gone. Never another's."""
    try:
        fd = os.pidfd_open(who["pid"])
    except ProcessLookupError:
        return
    try:
        if pidfile.is_alive(who):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            _wait_for_end(fd)
    finally:
        os.close(fd)


def _wait_for_end(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(10_000)
