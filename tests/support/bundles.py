"""Bundles and a runtime for tests that go below the engine: a spec in, a process out."""

import asyncio
import json
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wherry.linux.mounts import OverlayRoot, RootMount
from wherry.shim.runtime import Attach, Exit, Runtime, Start, Task

CAPABILITIES = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
]  # fmt: skip

MOUNTS = [
    ("/proc", "proc", "proc", "nosuid,noexec,nodev"),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "ro,nosuid,noexec,nodev"),
]


def make_spec(container_id: str, parent: str, *args: str, terminal: bool = False) -> dict[str, Any]:
    """What the engine would write for `docker run`, nearly."""
    return {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": terminal,
            "cwd": "/",
            "args": list(args),
            "env": ["PATH=/bin:/usr/bin"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
            },
        },
        "root": {"path": "rootfs"},
        "hostname": "harbour",
        "mounts": [
            {"destination": d, "type": t, "source": s, "options": o.split(",")}
            for d, t, s, o in MOUNTS
        ],
        "linux": {
            "cgroupsPath": f"{parent}/{container_id}",
            "namespaces": [
                {"type": t} for t in ("pid", "network", "mount", "ipc", "uts", "cgroup")
            ],
            "resources": {},
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/acpi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }  # fmt: skip


@dataclass
class Ran:
    """A container that has ended, with what it said."""

    output: str
    errors: str
    exit: Exit
    log: str


@dataclass
class Running:
    """A container that runs; `client` is the daemon's end of an attached stream."""

    id: str
    task: Task
    bundle: Path
    client: socket.socket
    terminal: bool
    heard: bytearray = field(default_factory=bytearray)

    async def read_until(self, wanted: bytes, seconds: float = 20) -> bytes:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            while wanted not in self.heard:
                data = await loop.sock_recv(self.client, 65536)
                if not data:
                    raise AssertionError(
                        f"ended before {wanted!r} was heard: {bytes(self.heard)!r}"
                    )
                self.heard += data
        return bytes(self.heard)

    async def read_all(self, seconds: float = 60) -> bytes:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            while data := await loop.sock_recv(self.client, 1 << 20):
                self.heard += data
        return bytes(self.heard)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.client, data)


def split_frames(data: bytes) -> tuple[bytes, bytes]:
    """(stdout, stderr) of Docker's multiplexed stream."""
    out = {1: bytearray(), 2: bytearray()}
    while data:
        kind, size = data[0], int.from_bytes(data[4:8], "big")
        out[kind] += data[8 : 8 + size]
        data = data[8 + size :]
    return bytes(out[1]), bytes(out[2])


async def second_client(running: Running, **wants: bool) -> Running:
    """Another client, attached while the container runs."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    flags = {"stdin": False, "stdout": True, "stderr": True} | wants
    await running.task.attach(Attach(theirs, **flags))
    return Running(running.id, running.task, running.bundle, ours, running.terminal)


class Yard:
    """A runtime with a busybox layer below every container it starts."""

    def __init__(self, base: Path, layer: Path, runtime: Runtime, parent: str) -> None:
        self.base, self.layer, self.runtime, self.parent = base, layer, runtime, parent
        self.running: list[Running] = []

    def bundle(self, spec: dict[str, Any], container_id: str) -> tuple[Path, OverlayRoot]:
        bundle = self.base / container_id
        for name in ("upper", "work"):
            (bundle / name).mkdir(parents=True, exist_ok=True)
        (bundle / "config.json").write_text(json.dumps(spec))
        root = OverlayRoot((str(self.layer),), str(bundle / "upper"), str(bundle / "work"))
        return bundle, root

    def spec(self, *args: str, terminal: bool = False) -> dict[str, Any]:
        return make_spec(secrets.token_hex(32), self.parent, *args, terminal=terminal)

    async def start(
        self,
        spec: dict[str, Any],
        *,
        stdin: bool = False,
        attach: bool = True,
        rootfs: RootMount | None = None,
        **options: Any,
    ) -> Running:
        """`rootfs` in place of the busybox layer; `options` are those of `Start`."""
        container_id = spec["linux"]["cgroupsPath"].rpartition("/")[2]
        bundle, root = self.bundle(spec, container_id)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        attaches = [Attach(theirs, stdin, True, True)] if attach else []
        start = Start(
            container_id, bundle, spec, rootfs or root, bundle / "log", attaches=attaches, **options
        )
        start.open_stdin, start.stdin_once = stdin, stdin
        try:
            task = await self.runtime.start(start)
        except BaseException:
            ours.close()
            raise
        running = Running(container_id, task, bundle, ours, spec["process"].get("terminal", False))
        self.running.append(running)
        return running

    async def run(self, *args: str, spec: dict[str, Any] | None = None) -> Ran:
        """Start, and wait for the end."""
        running = await self.start(spec or self.spec(*args))
        heard = await running.read_all()
        ended = await running.task.wait()
        output, errors = (heard, b"") if running.terminal else split_frames(heard)
        log = (running.bundle / "log").read_text()
        return Ran(output.decode(errors="replace"), errors.decode(errors="replace"), ended, log)
