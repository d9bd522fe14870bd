"""From a build's step to what the runtime starts."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wherry import errdefs
from wherry.build.protocols import (
    CacheMount,
    LayersMount,
    RunStep,
    SecretMount,
    SocketMount,
    StepMount,
    TmpfsMount,
)
from wherry.engine.model import CreateRequest, HostConfig, Ulimit
from wherry.engine.runtime_spec import binds, build
from wherry.engine.runtime_spec.mounts import Planned
from wherry.engine.runtime_spec.process import DEFAULT_PATH
from wherry.engine.settling import settle
from wherry.shim.runtime import Attach, Start
from wherry.spec.image import RunConfig

if TYPE_CHECKING:
    from wherry.engine.stores import Stores
    from wherry.linux.mounts import RootMount
    from wherry.spec.runtime import Mount, Spec

HOSTNAME: Final = "buildkitsandbox"
"""What BuildKit calls a step's host."""

INSECURE: Final = "security.insecure"

_MEMORY_FILE: Final = ["ro", "nosuid", "nodev", "noexec", "rprivate"]
_EXECUTABLE: Final = 0o111


@dataclass
class Composed:
    """What a step needs of the runtime. `keys` are snapshots that were prepared for its mounts,
    and that are removed after it."""

    mounts: list[Mount] = field(default_factory=list)
    layers: list[RootMount] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list, repr=False)
    keys: list[str] = field(default_factory=list)


def compose(
    stores: Stores, step: RunStep, sockets: Mapping[SocketMount, Path], composed: Composed
) -> Start:
    """The start of the step's program, without its streams; blocks.

    `sockets` are the files to be bound for the step's own. What it makes is in `composed`, also
    when it fails. Raises EngineError, in Docker's words where Docker has any.
    """
    if step.insecure and INSECURE not in stores.settings.build_entitlements:
        raise errdefs.forbidden(
            f"granting entitlement {INSECURE} is not allowed by build daemon configuration: a RUN "
            "with --security=insecure would have the host's rights"
        )
    _refuse_zero_bytes(step)
    for number, mount in enumerate(step.mounts):
        composed.mounts.append(_mount(stores, step, number, mount, sockets, composed))
    there = {mount["destination"] for mount in composed.mounts}
    for path, text in etc_files(step).items():
        if path not in there:
            composed.mounts.append(_content(path, text.encode(), ["mode=644"], composed))
    spec = _spec(stores, step, composed)
    return Start(
        id=step.id,
        bundle=None,
        spec=spec,
        rootfs=stores.snapshots.mounts(step.id),
        layers=composed.layers,
        contents=composed.contents,
        notes_mountpoints=True,
        patient=True,
    )


def _refuse_zero_bytes(step: RunStep) -> None:
    """No program can be given one. What a variable holds is not shown: it may be a secret."""
    given = {
        "command": step.args,
        "working directory": (step.cwd,),
        "mount target": [mount.target for mount in step.mounts],
    }
    given |= {f"variable {entry.partition('=')[0]!r}": (entry,) for entry in step.env}
    for what, texts in given.items():
        if any("\0" in text for text in texts):
            raise errdefs.invalid(f"the step's {what} has a zero byte in it")


def attach(start: Start) -> socket.socket:
    """Add a client of the output to the start; answers our end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    start.attaches.append(Attach(theirs, stdin=False, stdout=True, stderr=True))
    return ours


def _spec(stores: Stores, step: RunStep, composed: Composed) -> Spec:
    request = CreateRequest(
        hostname=step.hostname or HOSTNAME,
        user=step.user,
        cmd=list(step.args),
        working_dir=step.cwd,
        host_config=_host_config(step),
    )
    settled = settle(request, RunConfig(), step.id[:12], stores.host, stores.settings)
    plan = build.Plan(
        id=step.id,
        config=settled.config,
        host_config=settled.host_config,
        host=stores.host,
        hostname=settled.hostname,
        planned=Planned(mounts=composed.mounts),
        cgroup_parent=stores.settings.cgroup_parent,
    )
    spec = build.build(plan, _no_donor)
    # No HOSTNAME, which a shell would find in its environment as one more thing to depend on.
    spec["process"]["env"] = _environment(step.env)
    return spec


def _host_config(step: RunStep) -> HostConfig:
    limits = step.limits
    return HostConfig(
        network_mode="none" if step.network == "none" else "host",
        privileged=step.insecure,
        memory=limits.memory,
        memory_swap=limits.memory_swap,
        cpu_shares=limits.cpu_shares,
        cpu_period=limits.cpu_period,
        cpu_quota=limits.cpu_quota,
        cpuset_cpus=limits.cpuset_cpus,
        cpuset_mems=limits.cpuset_mems,
        shm_size=limits.shm_size,
        cgroup_parent=limits.cgroup_parent,
        ulimits=[Ulimit(name=one.name, soft=one.soft, hard=one.hard) for one in limits.ulimits],
    )


def _no_donor(container: str, kind: str) -> str:
    raise errdefs.invalid(f"a build's step joins no {kind} namespace: {container}")


def _environment(env: Sequence[str]) -> list[str]:
    if any(entry.startswith("PATH=") for entry in env):
        return list(env)
    return [f"PATH={DEFAULT_PATH}", *env]


def etc_files(step: RunStep) -> dict[str, str]:
    """What covers the image's own files, as BuildKit has it; /etc/hostname is not covered."""
    name = step.hostname or HOSTNAME
    hosts = f"127.0.0.1\tlocalhost {name}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    hosts += "".join(f"{address}\t{host}\n" for host, address in step.hosts)
    try:
        resolv_conf = Path("/etc/resolv.conf").read_text(encoding="utf-8", errors="replace")
    except OSError:
        resolv_conf = ""
    return {"/etc/hosts": hosts, "/etc/resolv.conf": resolv_conf}


# --- Mounts -----------------------------------------------------------------------------------


def _mount(
    stores: Stores,
    step: RunStep,
    number: int,
    mount: StepMount,
    sockets: Mapping[SocketMount, Path],
    composed: Composed,
) -> Mount:
    target = binds.destination(mount.target)
    match mount:
        case LayersMount():
            return _layers(stores, f"{step.id}-{number}", target, mount, composed)
        case SecretMount():
            options = [f"mode={mount.mode:o}", f"uid={mount.uid}", f"gid={mount.gid}"]
            return _content(target, mount.content, options, composed, mount.mode & _EXECUTABLE != 0)
        case TmpfsMount():
            size = [f"size={mount.size}"] if mount.size else []
            options = ["nosuid", *size, "rprivate"]
            return {"destination": target, "type": "tmpfs", "source": "tmpfs", "options": options}
        case CacheMount():
            return _bind(target, mount.folder, mount.writable)
        case SocketMount():
            return _bind(target, sockets[mount], writable=True)


def _layers(stores: Stores, key: str, target: str, mount: LayersMount, composed: Composed) -> Mount:
    root = None if mount.writable else stores.snapshots.view(mount.stack)
    if root is None:
        composed.keys.append(key)
        root = stores.snapshots.prepare(key, mount.stack)
    composed.layers.append(root)
    return {
        "destination": target,
        "type": "layers",
        "source": mount.source,
        "given": len(composed.layers) - 1,
        "options": ["rprivate", "rw" if mount.writable else "ro"],
    }


def _content(
    target: str, content: bytes, options: list[str], composed: Composed, executable: bool = False
) -> Mount:
    composed.contents.append(content)
    return {
        "destination": target,
        "type": "content",
        "source": "memory",
        "given": len(composed.contents) - 1,
        "options": [*_MEMORY_FILE, *(["exec"] if executable else []), *options],
    }


def _bind(target: str, source: Path, writable: bool) -> Mount:
    return {
        "destination": target,
        "type": "bind",
        "source": os.fspath(source),
        "options": ["bind", "rprivate", "rw" if writable else "ro"],
    }
