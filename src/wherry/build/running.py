"""RUN: a program's changes to the root file system become a layer."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from wherry.build import mounts
from wherry.build.dockerfile import Run, proxy_environment, shell_of
from wherry.build.events import BuildFailedError, Failure
from wherry.build.job import Job
from wherry.build.keys import CacheKey, key_of
from wherry.build.materials import Material
from wherry.build.protocols import (
    Ended,
    Output,
    RunStep,
    SecretMount,
    SocketMount,
    StepMount,
)
from wherry.build.state import DEFAULT_PATH, State
from wherry.build.threads import Stop, finish, in_thread
from wherry.errdefs import Kind
from wherry.faults import fault
from wherry.images.collector import Lease
from wherry.images.making import keep_layer
from wherry.metadata import LayerRecord
from wherry.spec.digest import Digest
from wherry.threads import to_thread

_TAIL_LINES: Final = 20
_TAIL_BYTES: Final = 1 << 14
_SCRIPTS: Final = "/dev/pipes"


@dataclass(frozen=True)
class Program:
    """What a RUN executes, its variables not replaced: a shell does that."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    script: SecretMount | None = None


@dataclass(frozen=True)
class Prepared:
    """A RUN whose bind mounts are settled, and with them its key."""

    job: Job
    state: State
    run: Run
    program: Program
    materials: Mapping[str, Material]
    bound: tuple[mounts.Bound, ...]
    key: CacheKey


async def prepare(job: Job, state: State, run: Run, materials: Mapping[str, Material]) -> Prepared:
    """`materials` are what the mounts' `from` mean, and "" the build's context.

    Raises InvalidArgument for a mount whose source is not there, or which nobody gave.
    """
    mounts.judge(job, run.mounts)
    program = program_of(state, run)
    bound = await mounts.bind(job, state, run.mounts, materials)
    mounted = mounts.components(state, run.mounts, bound, materials)
    return Prepared(
        job,
        state,
        run,
        _with_proxies(program, job.given),
        materials,
        bound,
        _key(job, state, run, program, mounted),
    )


def program_of(state: State, run: Run) -> Program:
    """Argument vector and environment, without what is no part of the key."""
    args, script = run.command.arguments(shell_of(state.run)), None
    if file := run.command.file:
        target = f"{_SCRIPTS}/{file.name}"
        script = SecretMount(target, file.document.encode(), 0o755)
        args = (*shell_of(state.run), target)
    env = state.environment
    env.setdefault("PATH", DEFAULT_PATH)
    return Program(args, tuple(f"{name}={value}" for name, value in env.items()), script)


def _with_proxies(program: Program, given: Mapping[str, str]) -> Program:
    known = {entry.partition("=")[0] for entry in program.env}
    proxies = proxy_environment(given)
    more = tuple(f"{name}={value}" for name, value in proxies.items() if name not in known)
    return dataclasses.replace(program, env=(*program.env, *more))


def _key(
    job: Job, state: State, run: Run, program: Program, mounted: Sequence[Mapping[str, str]]
) -> CacheKey:
    request = job.request
    return key_of(
        "RUN " + json.dumps(program.args),
        state.layers,
        script=program.script.content.decode() if program.script else "",
        environment=json.dumps(sorted(program.env)),
        user=state.run.user,
        workdir=state.run.working_dir,
        mounts=json.dumps(mounted) if mounted else "",
        network=_network(run, job),
        security=run.security if run.security != "sandbox" else "",
        hosts=json.dumps(request.extra_hosts) if request.extra_hosts else "",
        platform=str(state.platform) if state.platform != job.around.host else "",
    )


def _network(run: Run, job: Job) -> Literal["", "none", "host"]:
    """What differs from the default; RUN's own word counts before the build's."""
    wanted = run.network if run.network != "default" else job.request.network
    return "none" if wanted == "none" else "host" if wanted == "host" else ""


async def work(prepared: Prepared, lease: Lease, output: Output) -> LayerRecord:
    """Run the program; the layer of its changes, which the lease holds.

    Raises BuildFailedError if it ends with another code than 0.
    """
    job, state = prepared.job, prepared.state
    snapshots = job.around.collector.snapshots
    step_id = secrets.token_hex(32)
    tail = Tail()

    def tell(stream: Literal["stdout", "stderr"], data: bytes) -> None:
        tail.add(data)
        output(stream, data)

    async with contextlib.AsyncExitStack() as held:
        mounted = await mounts.acquire(
            job,
            state,
            prepared.run.mounts,
            prepared.bound,
            prepared.materials,
            lease,
            held,
        )
        step = _step(step_id, prepared, mounted)
        await held.enter_async_context(_snapshot(job, step_id, state.layers))
        fault("build.run.before-process")
        ended = await job.around.executor.run(step, tell)
        fault("build.run.after-process")
        if ended.exit_code:
            raise _failed(step, ended, tail)

        def keep(stop: Stop) -> LayerRecord:
            with snapshots.diff(step_id) as changes:
                watched = stop.watch(changes)
                return keep_layer(watched, job.around.collector, lease, "a step's changes")

        return await in_thread(keep)


@contextlib.asynccontextmanager
async def _snapshot(job: Job, key: str, layers: tuple[Digest, ...]) -> AsyncIterator[None]:
    """A writable directory upon the layers, for as long as the context lasts."""
    snapshots = job.around.collector.snapshots
    try:
        await in_thread(lambda stop: snapshots.prepare(key, layers))
        yield
    finally:
        await finish(asyncio.ensure_future(to_thread(snapshots.remove, key)))


def _step(step_id: str, prepared: Prepared, mounted: Sequence[StepMount]) -> RunStep:
    request, run, config = prepared.job.request, prepared.run, prepared.state.run
    env = [
        f"{mount.env}={request.secrets[mount.id].decode(errors='surrogateescape')}"
        for mount in run.mounts
        if mount.type == "secret" and mount.env and mount.id in request.secrets
    ]
    sockets = [mount.target for mount in mounted if isinstance(mount, SocketMount)]
    env += [f"SSH_AUTH_SOCK={target}" for target in sockets[:1]]
    return RunStep(
        step_id,
        prepared.program.args,
        (*prepared.program.env, *env),
        config.working_dir or "/",
        config.user,
        mounts=_with_script(mounted, prepared.program),
        network=_network(run, prepared.job) or "default",
        insecure=run.security == "insecure",
        hosts=request.extra_hosts,
        limits=request.limits,
    )


def _with_script(mounted: Sequence[StepMount], program: Program) -> tuple[StepMount, ...]:
    return (*mounted, program.script) if program.script else tuple(mounted)


def _failed(step: RunStep, ended: Ended, tail: Tail) -> BuildFailedError:
    command = " ".join(step.args)
    message = f"The command '{command}' returned a non-zero code: {ended.exit_code}"
    if ended.reason:
        message += f" ({ended.reason})"
    return BuildFailedError(
        Kind.INVALID_ARGUMENT,
        Failure(
            message=message, command=command, exit_code=ended.exit_code, tail=tuple(tail.lines())
        ),
    )


class Tail:
    """The last lines of an output, however much it is."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0

    def add(self, data: bytes) -> None:
        self._pieces.append(data[-_TAIL_BYTES:])
        self._size += len(self._pieces[-1])
        while self._size - len(self._pieces[0]) >= _TAIL_BYTES:
            self._size -= len(self._pieces.popleft())

    def lines(self) -> list[str]:
        text = b"".join(self._pieces).decode(errors="replace")
        return text.splitlines()[-_TAIL_LINES:]
