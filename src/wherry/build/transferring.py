"""COPY and ADD: files of a context, a stage or an image become a layer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from wherry import errdefs
from wherry.build import copying
from wherry.build.checksums import parse_checksum
from wherry.build.context import is_git
from wherry.build.copying import CopyOptions, CopyPlan, GivenFile, GivenTree
from wherry.build.dockerfile import Add, Copy
from wherry.build.job import Job
from wherry.build.keys import CacheKey, key_of
from wherry.build.materials import Material, owner_of
from wherry.build.protocols import Output
from wherry.build.remotes import fetch, is_remote
from wherry.build.request import DEFAULT_AGENT
from wherry.build.state import State
from wherry.build.threads import Stop, in_thread
from wherry.images.collector import Lease
from wherry.images.making import keep_layer
from wherry.layers.files import FileTree
from wherry.metadata import LayerRecord


@dataclass(frozen=True)
class Prepared:
    """A COPY or ADD of which it is known what it copies, and with it its key."""

    job: Job
    plan: CopyPlan
    key: CacheKey


async def prepare(
    job: Job, state: State, instruction: Copy | Add, material: Material, held: contextlib.ExitStack
) -> Prepared:
    """Find the files and their digest. `held` gives back what the plan has open.

    Raises InvalidArgument for a file that is not there, and for what cannot be copied so.
    """
    fetches = isinstance(instruction, Add) and any(map(is_remote, instruction.sources))
    plan = await in_thread(
        lambda stop: _plan(job, state, instruction, material, held, stop), waits=fetches
    )
    layers = () if instruction.link else state.layers
    key = key_of(
        f"{instruction.kind} {json.dumps(instruction.destination)}",
        layers,
        workdir=state.run.working_dir if not instruction.destination.startswith("/") else "",
        content=plan.digest,
        link=str(instruction.link) if instruction.link else "",
    )
    return Prepared(job, plan, key)


def _plan(
    job: Job,
    state: State,
    instruction: Copy | Add,
    material: Material,
    held: contextlib.ExitStack,
    stop: Stop,
) -> CopyPlan:
    """In a thread."""
    source = held.enter_context(material.open())
    target = held.enter_context(job.around.collector.snapshots.browse(state.layers))
    if isinstance(instruction, Add) and instruction.checksum:
        _judge_checksum(instruction)
    uid, gid = _owner(instruction, target)
    sources: Sequence[str | GivenFile | GivenTree] = instruction.sources
    if isinstance(instruction, Add):
        agent = job.request.ssh.get(DEFAULT_AGENT)
        sources = [
            fetch(one, instruction, job.around.folder, agent, held, stop) if is_remote(one) else one
            for one in instruction.sources
        ]
    stop.check()
    return copying.plan_copy(
        source,
        sources,
        instruction.destination,
        state.run.working_dir or "/",
        None if instruction.link else target,
        CopyOptions(
            uid=uid,
            gid=gid,
            keep_owner=material.layers is not None,
            chmod=instruction.chmod,
            parents=isinstance(instruction, Copy) and instruction.parents,
            excludes=instruction.excludes,
            files=instruction.files,
            unpack=isinstance(instruction, Add) and instruction.unpack is not False,
            keyword=instruction.kind,
        ),
        where=material.where,
        is_ignored=material.is_ignored,
    )


def _judge_checksum(add: Add) -> None:
    """It is one, there is one file, and that comes from far. Raises InvalidArgument."""
    parse_checksum(add.checksum)
    if len(add.sources) + len(add.files) > 1:
        raise errdefs.invalid("checksum can't be specified for multiple sources")
    if not all(is_remote(source) and not is_git(source) for source in add.sources):
        raise errdefs.invalid("checksum is for what is fetched from an HTTP or HTTPS address")


def _owner(instruction: Copy | Add, target: FileTree) -> tuple[int | None, int | None]:
    return owner_of(target, instruction.chown) if instruction.chown else (None, None)


async def work(prepared: Prepared, lease: Lease, output: Output) -> LayerRecord:
    """The layer of what is copied, which the lease holds."""
    collector = prepared.job.around.collector

    def keep(stop: Stop) -> LayerRecord:
        return keep_layer(stop.watch(prepared.plan.tar()), collector, lease, "files to be copied")

    return await in_thread(keep)
