"""The launcher: one thread, everything imported, a shim for each container (`nursery` forks it).

It is executed from a private read-only copy of the interpreter's mount (`interpreter`), so its
forks are too, and nobody who reaches one of them through /proc/PID/exe can write to the host's
Python (CVE-2019-5736). It ends when the daemon closes its socket; its forks do not.
"""

import codecs
import contextlib
import gc
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass

from wherry import errdefs
from wherry.libcontainer import sync
from wherry.linux import cgroups, mounts
from wherry.linux import syscalls as sc
from wherry.logs.jsonfile import Writer
from wherry.shim import gathering, wire
from wherry.shim.lending import Lending
from wherry.shim.nursery import Nursery
from wherry.shim.order import Order, encode, images_in, read_details, read_order
from wherry.shim.streams import Streams, Watch
from wherry.shim.wire import Message
from wherry.spec.runtime import Spec

_A_ROOT = mounts.root_mount_to_json(mounts.ImagesRoot("/", ("a", "b"), "", ""))
_AN_ORDER = encode(Order("", "", ""), {"bundle": "", "rootfs": _A_ROOT, "seccomp_flags": 0}, b"")
# How long a start has the processors for itself before the next spare is forked beside it.
_SETTLE_MS = 200


def main(fd: int, cgroup: str) -> None:
    """Serve start requests from the SOCK_SEQPACKET socket `fd` until it closes.

    `cgroup` is where launcher and shims live: neither the service's nor a container's, so that
    stopping a service or limiting a container does not reach them.
    """
    sc.prctl(sc.PR_SET_NAME, b"wherry-launcher")
    requests = socket.socket(fileno=fd)
    sc.close_all_but((0, 1, 2, fd))
    os.chdir("/")
    os.umask(0o022)  # a container's users may read its cgroup's files
    for encoding in ("utf-8", "ascii", "latin-1", "unicode_escape"):
        codecs.lookup(encoding)  # each is a module, imported at its first use
    hierarchy = cgroups.detect()
    hierarchy.create(cgroup, shared=True)
    hierarchy.join(cgroup)
    _reset_signals()
    # What stops a service's group must not stop the containers; the socket says when to end.
    # A container that closes its standard input must not end its shim.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    gathering.gather(gathering.called_in(rehearse))
    rehearse()
    close_imports()
    gc.collect()
    gathering.plug()
    gc.freeze()
    gc.disable()  # a collection in a fork would copy every object it looks at
    Launcher(requests, Nursery(hierarchy)).serve()


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
        left.send(wire.encode_started("", 1, time.time_ns()))
        wire.receive_bytes(right)
        read_order(_AN_ORDER)
        mounts.root_mount_from_json(read_details(_AN_ORDER)[0]["rootfs"])
        upper, lower = sync.pair()
        lower.born(1, 0, sink)
        os.close(upper.await_born()[2])
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


@dataclass
class Spare:
    """A shim that was forked before it is needed, and the ways to give it and its child work."""

    shim: socket.socket
    child: socket.socket

    def close(self) -> None:
        self.shim.close()
        self.child.close()


class Launcher:
    """Hands each request to a spare shim, and forks the next one when nobody waits."""

    def __init__(self, requests: socket.socket, nursery: Nursery) -> None:
        self.requests = requests
        self.nursery = nursery
        self.forecast: Spec = {}
        self.layers = Lending()
        self._spare: Spare | None = None
        # The way to the shim that is at work; it closes when the container runs.
        self._busy: socket.socket | None = None

    def serve(self) -> None:
        while True:
            if self._spare is None and not self._await_quiet():
                self._spare = self._make_spare(self.forecast)
            try:
                data, fds = wire.receive_bytes(self.requests)
            except ConnectionResetError:
                return
            if not data:
                return
            if not fds:
                self._hear(wire.decode(data))
                continue
            try:
                self._hand_over(self._lend(data), data, fds)
            except errdefs.EngineError as error:
                _refuse(fds[0], error)
            except OSError as error:
                _refuse(fds[0], errdefs.from_os_error("handing over to a shim", error))
            finally:
                for fd in fds:
                    os.close(fd)

    def _await_quiet(self) -> bool:
        """Wait until the last start is over; True if there is a request before.

        The next spare is made ready while the client looks at what it got, not beside the start.
        """
        poll = select.poll()
        poll.register(self.requests, select.POLLIN)
        if self._busy is None:
            return bool(poll.poll(0))
        poll.register(self._busy, select.POLLIN)
        requested = any(fd == self.requests.fileno() for fd, _ in poll.poll(_SETTLE_MS))
        self._busy.close()
        self._busy = None
        return requested

    def _hear(self, message: Message) -> None:
        if message["op"] == "release":
            self.layers.release(message["path"])
            return
        # From now on spares prepare for this forecast; the one that did not is let go.
        self.forecast = message["spec"]
        if self._spare:
            self._spare.close()
            self._spare = None

    def _lend(self, data: bytes) -> bytes:
        """Mount the layers that the order's roots stand on, if these are images."""
        if not read_order(data).lends:
            return b""
        roots = list(images_in(read_details(data)[0]))
        return self.layers.lend([path for root in roots for path in root.paths()], roots[0].by_loop)

    def _hand_over(self, lent: bytes, data: bytes, fds: list[int]) -> None:
        """Give it to the spare; to a new one, if there is none or it was killed while it waited.

        One that has got it is its only taker: whatever happens then, this shim says so.
        """
        message = lent + b"\0" + data
        if len(message) > wire.LIMIT + wire.ADDED:
            raise errdefs.exhausted("a container's mounts stand on too many layers together")
        own = 1 + len(read_order(data).attaches)
        for spare in (self._spare, None, None):
            taker = spare or self._make_spare({})
            self._spare = None
            try:
                if _is_gone(taker.child):
                    raise ConnectionResetError
                wire.send_bytes(taker.shim, message, tuple(fds[:own]))
            except ConnectionError:
                taker.close()
                continue
            # Only now: the child must not work for a shim that is not there.
            with taker.child, contextlib.suppress(ConnectionError):
                wire.send_bytes(taker.child, message, (fds[0], *fds[own:]))
            if self._busy:
                self._busy.close()
            self._busy = taker.shim
            return
        raise errdefs.exhausted("no process can be forked for a container: see the limits of pids")

    def _make_spare(self, forecast: Spec) -> Spare:
        """Without a `forecast` its child won't prepare, because somebody is waiting for it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours_too, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, childs:
            self.nursery.fork_shim(theirs, childs, forecast)
        return Spare(ours, ours_too)


def _is_gone(end: socket.socket) -> bool:
    """Whether nobody has the other end any more."""
    poll = select.poll()
    poll.register(end, 0)
    return bool(poll.poll(0))


def _refuse(control_fd: int, error: errdefs.EngineError) -> None:
    failed: Message = {"op": "failed", "kind": error.kind.name, "message": error.message}
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(control_fd)) as control:
        wire.send(control, {**failed, "exit_code": 128})


def _reset_signals() -> None:
    """What was ignored or blocked where the daemon was started, no container inherits."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
