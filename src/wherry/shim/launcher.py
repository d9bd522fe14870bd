"""The launcher: one thread, everything imported, forking a shim for each container.

It is executed from a private read-only copy of the interpreter's mount (`interpreter`), so its
forks are too, and nobody who reaches one of them through /proc/PID/exe can write to the host's
Python (CVE-2019-5736). It ends when the daemon closes its socket; its forks do not.
"""

import codecs
import contextlib
import gc
import json
import os
import signal
import socket
import sys
from typing import NoReturn

from wherry import errdefs
from wherry.libcontainer import sync
from wherry.linux import cgroups, seccomp
from wherry.linux import syscalls as sc
from wherry.logs.jsonfile import Writer
from wherry.shim import clock, shim, wire
from wherry.shim.shim import Birth
from wherry.shim.streams import Attached, Streams, Watch
from wherry.shim.wire import Message
from wherry.spec.runtime import Spec


def main(fd: int, cgroup: str) -> None:
    """Serve start requests from the SOCK_SEQPACKET socket `fd` until it closes.

    `cgroup` is where launcher and shims live: neither the service's nor a container's, so that
    stopping a service or limiting a container does not reach them.
    """
    sc.prctl(sc.PR_SET_NAME, b"wherry-launcher")
    requests = socket.socket(fileno=fd)
    _close_all_but(fd)
    os.chdir("/")
    os.umask(0o022)  # a container's users may read its cgroup's files
    for encoding in ("utf-8", "ascii", "latin-1", "unicode_escape"):
        codecs.lookup(encoding)  # each is a module, imported at its first use
    hierarchy = cgroups.detect()
    hierarchy.create(cgroup, shared=True)
    hierarchy.join(cgroup)
    _reset_signals()
    # The kernel reaps the shims; each waits for its own children.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # What stops a service's group must not stop the containers; the socket says when to end.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    launcher = Launcher(requests, hierarchy)
    rehearse()
    close_imports()
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection in a fork would copy every object it looks at
    launcher.serve()


def rehearse() -> None:
    """Run what every shim will run, some twenty times, before the first fork.

    CPython (3.11 and newer) writes into a function's code until it has settled on its fast form.
    Done here, those pages stay shared by all shims: a third of a megabyte for each container.
    """
    for _ in range(20):
        watch = Watch()
        source, sink = os.pipe2(os.O_CLOEXEC)
        streams = Streams(watch, Writer("/dev/null", 1 << 20, 1), -1, False, False)
        streams.add_source(source, "stdout")
        os.write(sink, b"a line\n")
        watch.wait(0)
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        wire.send(left, {"id": "", "op": "started", "pid": 1, "started_at": clock.now()})
        wire.receive(right)
        upper, lower = sync.pair()
        lower.send({"type": "born", "pid": 1}, sink)
        os.close(upper.expect("born") or sink)
        for end in (left, right, upper, lower):
            end.close()
        os.close(sink)
        streams.abandon_sources()
        streams.close_log()
        watch.close()


def close_imports() -> None:
    """From here on an import raises: what is not loaded may not be looked for in a root.

    Done before the first fork, since what it frees would be a shim's to copy.
    """
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()


class Launcher:
    def __init__(self, requests: socket.socket, hierarchy: cgroups.Cgroups) -> None:
        self.requests = requests
        self.cgroups = hierarchy
        self._filters: dict[str, bytes] = {}
        self._served = 0

    def serve(self) -> None:
        while True:
            try:
                message, fds = wire.receive(self.requests)
            except ConnectionResetError:
                return
            if message is None:
                return
            ends = [socket.socket(fileno=fd) for fd in fds]
            self._launch(message, ends)
            for end in ends:
                end.close()
            self._served += 1
            if self._served % 64 == 0:
                gc.collect()  # what little was made since the freeze

    def _launch(self, request: Message, ends: list[socket.socket]) -> None:
        try:
            spec = _read_spec(request["bundle"])
            program = self._filter(spec)
        except errdefs.EngineError as error:
            _refuse(ends[0], request, error)
            return
        try:
            pid = os.fork()
        except OSError as error:
            _refuse(ends[0], request, errdefs.from_os_error("forking a shim", error))
            return
        if pid == 0:
            self._be_shim(request, spec, program, ends)

    def _filter(self, spec: Spec) -> bytes | None:
        """The compiled system call filter; compiled once for all containers that share it."""
        section = spec.get("linux", {}).get("seccomp")
        if not section:
            return None
        key = json.dumps(section, sort_keys=True)
        if key not in self._filters:
            if len(self._filters) > 64:
                self._filters.clear()
            self._filters[key] = seccomp.compile_filter(section)
        return self._filters[key]

    def _be_shim(
        self, request: Message, spec: Spec, program: bytes | None, ends: list[socket.socket]
    ) -> NoReturn:
        code = 1
        try:
            self.requests.close()
            attached = [
                Attached(end, wants)
                for end, wants in zip(ends[1:], request["attaches"], strict=True)
            ]
            flags = seccomp.filter_flags(spec["linux"].get("seccomp", {})) if program else 0
            shim.main(Birth(request, spec, program, flags, self.cgroups, ends[0], attached))
            code = 0
        except Exception as error:  # noqa: BLE001 - a fork must never run its parent's loop
            _refuse(ends[0], request, errdefs.internal(f"shim: {type(error).__name__}: {error}"))
        finally:
            os._exit(code)


def _refuse(control: socket.socket, request: Message, error: errdefs.EngineError) -> None:
    with contextlib.suppress(OSError):
        wire.send(
            control,
            {
                "id": request["id"],
                "op": "failed",
                "kind": error.kind.name,
                "message": error.message[:8192],
                "exit_code": 128,
            },
        )


def _read_spec(bundle: str) -> Spec:
    try:
        with open(f"{bundle}/config.json", "rb") as file:
            spec: Spec = json.load(file)
    except OSError as error:
        raise errdefs.from_os_error("reading the bundle", error) from error
    except ValueError as error:
        raise errdefs.invalid(f"{bundle}/config.json is not JSON: {error}") from error
    if not spec.get("process", {}).get("args") or "cgroupsPath" not in spec.get("linux", {}):
        raise errdefs.invalid(f"{bundle}/config.json lacks process.args or linux.cgroupsPath")
    return spec


def _reset_signals() -> None:
    """What was ignored or blocked where the daemon was started, no container inherits."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _close_all_but(fd: int) -> None:
    """Only the request socket stays, and standard error, which is the daemon's log."""
    if fd > 3:
        sc.close_range(3, fd - 1)
    sc.close_range(max(fd + 1, 3))
