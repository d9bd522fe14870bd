"""What `RUN --mount` mounts: files of layers, caches, memory, secrets and agents.

What a bind mount shows is part of the step's key, and is settled first. The others are found when
the step is really done: of them the key knows that they are there, and nothing of what is in them.
"""

from __future__ import annotations

import contextlib
import functools
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wherry import errdefs
from wherry.build.copying import plan_tree
from wherry.build.dockerfile import Mount
from wherry.build.job import Job
from wherry.build.materials import Material, must_have
from wherry.build.protocols import (
    CacheMount,
    CacheRequest,
    LayersMount,
    SecretMount,
    SocketMount,
    StepMount,
    TmpfsMount,
)
from wherry.build.request import DEFAULT_AGENT, BuildRequest
from wherry.build.state import State
from wherry.build.threads import Stop, in_thread
from wherry.images.collector import Lease
from wherry.images.making import keep_layer
from wherry.spec.digest import Digest

_CACHE_MODE = 0o755
_SECRET_MODE = 0o400
_SOCKET_MODE = 0o600
_AGENTS = "/run/buildkit/ssh_agent"


@dataclass(frozen=True)
class Bound:
    """A bind mount whose source is found. `files` says in the step's key what it shows."""

    target: str
    material: Material
    source: str
    writable: bool
    files: str


async def bind(
    job: Job, state: State, mounts: Sequence[Mount], materials: Mapping[str, Material]
) -> tuple[Bound, ...]:
    """The bind mounts among `mounts`. Raises InvalidArgument for a source that is not there."""
    binds = [mount for mount in mounts if mount.type == "bind"]
    return tuple(
        [await in_thread(functools.partial(_bound, state, one, materials)) for one in binds]
    )


def _bound(state: State, mount: Mount, materials: Mapping[str, Material], stop: Stop) -> Bound:
    material = materials[mount.from_]
    source = must_have(material, mount.source or "/")
    stop.check()
    if material.layers is not None:
        files = ",".join(material.layers)
    else:
        with material.open() as tree:
            files = plan_tree(tree, _encoded(source)).digest
    return Bound(target_of(state, mount), material, source, not mount.readonly, files)


def _layers(job: Job, lease: Lease, bound: Bound, stop: Stop) -> LayersMount:
    """In a thread: what of a context is wanted becomes a layer, which the lease holds."""
    if bound.material.layers is not None:
        return LayersMount(bound.target, bound.material.layers, bound.source, bound.writable)
    with bound.material.open() as tree:
        plan = plan_tree(tree, _encoded(bound.source))
        tar = stop.watch(plan.tar())
        row = keep_layer(tar, job.around.collector, lease, "files of the context")
        inside = "" if plan.is_directory else posixpath.basename(bound.source)
    return LayersMount(bound.target, (row.diff_id,), inside, bound.writable)


def _encoded(path: str) -> bytes:
    return path.encode(errors="surrogateescape")


def target_of(state: State, mount: Mount) -> str:
    """Where it is mounted: in the working directory, if it does not begin with a slash."""
    if mount.type == "secret" and not mount.target:
        return f"/run/secrets/{mount.id}"
    return posixpath.join(state.run.working_dir or "/", mount.target)


def judge(job: Job, mounts: Sequence[Mount]) -> None:
    """Raises InvalidArgument for a secret or an agent that must be there and that nobody gave."""
    for mount in mounts:
        name = _agent(mount)
        if mount.type == "secret" and mount.required and mount.id not in job.request.secrets:
            raise errdefs.invalid(
                f"secret {mount.id}: not found (give it with --secret id={mount.id},src=FILE)"
            )
        if mount.type == "ssh" and mount.required and name not in job.request.ssh:
            raise errdefs.invalid(f"ssh {name}: no agent is forwarded (give one with --ssh {name})")


def components(
    state: State,
    mounts: Sequence[Mount],
    bound: Sequence[Bound],
    materials: Mapping[str, Material],
) -> list[dict[str, str]]:
    """What the step's key says of its mounts: all that the program can see of them, but for what
    is in a cache, a secret or an agent."""
    found = [
        {
            "bind": mount.target,
            "files": mount.files,
            "source": mount.source,
            "writable": str(mount.writable),
        }
        for mount in bound
    ]
    return found + [_component(state, one, materials) for one in mounts if one.type != "bind"]


def _component(state: State, mount: Mount, materials: Mapping[str, Material]) -> dict[str, str]:
    said = {
        mount.type: mount.id,
        "target": target_of(state, mount),
        "env": mount.env,
        "source": mount.source,
        "sharing": mount.sharing or "",
        "readonly": str(mount.readonly),
        "mode": "" if mount.mode is None else f"{mount.mode:o}",
        "uid": str(mount.uid or 0),
        "gid": str(mount.gid or 0),
        "size": str(mount.size),
    }
    if mount.from_:
        # What a new cache begins with.
        said["files"] = ",".join(materials[mount.from_].layers or ())
    return said


async def acquire(
    job: Job,
    state: State,
    mounts: Sequence[Mount],
    bound: Sequence[Bound],
    materials: Mapping[str, Material],
    lease: Lease,
    held: contextlib.AsyncExitStack,
) -> list[StepMount]:
    """All mounts, ready to be mounted; what they need is given back by `held`, or with the
    lease."""
    found: list[StepMount] = [
        await in_thread(functools.partial(_layers, job, lease, one)) for one in bound
    ]
    caches = [mount for mount in mounts if mount.type == "cache"]
    # In one order for all: two steps that lock two caches must not wait for each other.
    for mount in sorted(caches, key=lambda mount: mount.id or target_of(state, mount)):
        target = target_of(state, mount)
        request = await in_thread(functools.partial(_cache, mount, target, materials))
        folder = await held.enter_async_context(job.around.caches.acquire(request))
        found.append(CacheMount(target, folder, writable=not mount.readonly))
    given = [_given(job.request, state, mount) for mount in mounts]
    found += [mount for mount in given if mount is not None]
    agents = [mount for mount in mounts if mount.type == "ssh" and _agent(mount) in job.request.ssh]
    found += [_socket(job.request, state, mount, at) for at, mount in enumerate(agents)]
    return found


def _given(request: BuildRequest, state: State, mount: Mount) -> TmpfsMount | SecretMount | None:
    target = target_of(state, mount)
    if mount.type == "tmpfs":
        return TmpfsMount(target, mount.size)
    if mount.type != "secret" or mount.id not in request.secrets:
        return None
    if mount.env and not mount.target:
        return None  # it is a variable, and nothing else
    mode = _SECRET_MODE if mount.mode is None else mount.mode
    return SecretMount(target, request.secrets[mount.id], mode, mount.uid or 0, mount.gid or 0)


def _agent(mount: Mount) -> str:
    return mount.id or DEFAULT_AGENT


def _socket(request: BuildRequest, state: State, mount: Mount, number: int) -> SocketMount:
    target = target_of(state, mount) if mount.target else f"{_AGENTS}.{number}"
    mode = _SOCKET_MODE if mount.mode is None else mount.mode
    return SocketMount(target, request.ssh[_agent(mount)], mode, mount.uid or 0, mount.gid or 0)


def _cache(
    mount: Mount, target: str, materials: Mapping[str, Material], stop: Stop
) -> CacheRequest:
    """In a thread. Raises InvalidArgument for a source that is not there."""
    stop.check()
    stack: tuple[Digest, ...] = ()
    source = ""
    if mount.from_:
        material = materials[mount.from_]
        source = must_have(material, mount.source or "/")
        if material.layers is None:
            raise errdefs.invalid(
                f"a cache mount can begin with files of a stage or an image, not of "
                f"{material.where}"
            )
        stack = material.layers
    return CacheRequest(
        mount.id or target,
        mount.sharing or "shared",
        stack,
        source,
        _CACHE_MODE if mount.mode is None else mount.mode,
        mount.uid or 0,
        mount.gid or 0,
    )
