"""Each instruction of a stage: from the state before it to the state after it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

from msgspec.structs import replace

from wherry import errdefs
from wherry.build import directories, running, transferring
from wherry.build.checking import settings_of, warning_of
from wherry.build.checks import found
from wherry.build.checks.rules import INVALID_BASE_IMAGE_PLATFORM
from wherry.build.dockerfile import (
    Add,
    Arg,
    Cmd,
    Copy,
    DockerfileError,
    Instruction,
    Maintainer,
    Run,
    Workdir,
    configure,
    expand,
    history_of,
    parse_trigger,
    resolve,
)
from wherry.build.dockerfile.errors import located
from wherry.build.dockerfile.parser import INSTRUCTIONS_MAX
from wherry.build.events import VertexStarted
from wherry.build.job import Job
from wherry.build.keys import CacheKey
from wherry.build.materials import Material
from wherry.build.numbering import Numbering
from wherry.build.plan import OfContext, OfImage, OfNothing, StagePlan
from wherry.build.protocols import Base
from wherry.build.solver import Step, Work
from wherry.build.state import State
from wherry.build.vertices import Vertex, vertex
from wherry.errdefs import EngineError
from wherry.images.making import commit
from wherry.spec.digest import Digest
from wherry.spec.image import CONFIG_MAX, LAYERS_MAX, encode
from wherry.spec.platform import Platform
from wherry.spec.platform import parse as parse_platform
from wherry.threads import to_thread

_TOLD_MAX: Final = 64 << 20
"""Characters that all stages of a build may have in their histories."""


class Steps:
    """Takes the steps of a job's stages."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._numbering = Numbering(job.dockerfile.meta_args, job.plan)
        self._told = 0

    # --- the beginning of a stage -----------------------------------------------------------------

    async def begin(self, plan: StagePlan, base: OfNothing | OfContext | OfImage) -> State:
        """The state after FROM something that is no stage."""
        platform = self._platform(plan)
        async with self._from(plan) as one:
            if isinstance(base, OfNothing):
                return State.of_nothing(platform)
            if isinstance(base, OfContext):
                material = self._job.contexts[base.name]
                layers = await directories.layers_of(self._job, material)
                return State.of_nothing(platform, layers)
            image = await self._job.around.images.resolve(
                base.name, platform, self._job.request.pull
            )
            one.image(image.id)
            self._check_platform(plan, image, platform)
            return State.of_image(image, platform)

    def _check_platform(self, plan: StagePlan, image: Base, expected: Platform) -> None:
        is_one = image.config.platform
        rule = INVALID_BASE_IMAGE_PLATFORM
        if image.config.architecture and is_one != expected and settings_of(self._job).wants(rule):
            names = (image.name, str(is_one), str(expected))
            self._job.emit(warning_of(found(rule, plan.stage.location, *names)))

    async def begin_on(self, plan: StagePlan, state: State) -> State:
        """The state after FROM a stage, which has come to `state`; its ARGs stay in scope."""
        async with self._from(plan) as one:
            await self._show_image(one, state)
            return dataclasses.replace(state, command_set=False)

    async def image(self, name: str) -> Base:
        """The image that `--from` names."""
        return await self._job.around.images.resolve(
            name, self._job.platform, self._job.request.pull
        )

    def triggers(self, plan: StagePlan, state: State) -> tuple[list[Instruction], State]:
        """The ONBUILD instructions of a stage's base, and the state without them."""
        location = plan.stage.location
        if len(state.run.on_build) > INSTRUCTIONS_MAX:
            raise DockerfileError(
                f"the base image has {len(state.run.on_build)} triggers, and {INSTRUCTIONS_MAX} are"
                " most",
                location,
            )
        found = [parse_trigger(text, location) for text in state.run.on_build]
        return found, dataclasses.replace(state, run=replace(state.run, on_build=()))

    # --- its instructions -------------------------------------------------------------------------

    async def trigger(
        self,
        plan: StagePlan,
        state: State,
        instruction: Instruction,
        number: int,
        materials: Mapping[str, Material],
    ) -> State:
        """The state after the trigger `number` (from 1) of the stage's base."""
        started = self._numbering.trigger(plan, instruction, number)
        return await self._take(plan, state, instruction, started, materials)

    async def take(
        self,
        plan: StagePlan,
        state: State,
        instruction: Instruction,
        position: int,
        materials: Mapping[str, Material],
    ) -> State:
        """The state after the instruction at `position` (from 1) of the stage."""
        started = self._numbering.step(plan, instruction, position)
        return await self._take(plan, state, instruction, started, materials)

    async def _take(
        self,
        plan: StagePlan,
        state: State,
        instruction: Instruction,
        started: VertexStarted,
        materials: Mapping[str, Material],
    ) -> State:
        job = self._job
        await asyncio.sleep(0)  # many that do nothing but speak must not have the loop alone
        async with vertex(job.emit, started, instruction.location) as one:
            try:
                expanded = self._expanded(state, instruction)
                before = state.told
                state = await self._after(plan, state, expanded, one, materials)
                self._judge(state, before)
            except DockerfileError:
                raise
            except EngineError as error:
                if isinstance(instruction, Run):
                    raise
                raise located(error, instruction.location) from error
            await self._show_image(one, state, plan)
            return state

    def _judge(self, state: State, before: int) -> None:
        """Raises InvalidArgument for more than an image, or what a build remembers, can hold.

        Variables double themselves with each instruction: a page of them is a terabyte.
        """
        self._told += state.told - before
        if state.told > CONFIG_MAX or self._told > _TOLD_MAX:
            raise errdefs.invalid(
                f"the image's configuration is more than {CONFIG_MAX >> 20} MB, or those of all"
                f" stages more than {_TOLD_MAX >> 20} MB: what do its variables hold?"
            )
        if len(state.layers) > LAYERS_MAX:
            raise errdefs.invalid(f"the image would have more than {LAYERS_MAX} layers")

    def _expanded(self, state: State, instruction: Instruction) -> Instruction:
        job = self._job
        if isinstance(instruction, Arg):
            return resolve(
                instruction, state.environment, job.arguments, job.given, job.dockerfile.escape
            )
        return expand(instruction, state.environment, job.dockerfile.escape)

    async def _after(
        self,
        plan: StagePlan,
        state: State,
        instruction: Instruction,
        one: Vertex,
        materials: Mapping[str, Material],
    ) -> State:
        if isinstance(instruction, Run):
            return await self._run(plan, state, instruction, one, materials)
        if isinstance(instruction, Copy | Add):
            return await self._transfer(plan, state, instruction, one, materials)
        state = dataclasses.replace(
            state,
            run=configure(state.run, instruction, cmd_is_set=state.command_set),
            command_set=state.command_set or isinstance(instruction, Cmd),
        )
        if isinstance(instruction, Workdir) and state.run.working_dir != "/":
            return await self._workdir(plan, state, instruction, one)
        if isinstance(instruction, Arg):
            values = {one.name: one.value for one in instruction.arguments if one.value is not None}
            state = dataclasses.replace(state, args={**state.args, **values})
        elif isinstance(instruction, Maintainer):
            state = dataclasses.replace(state, author=instruction.maintainer)
        return state.with_history(history_of(instruction, state.run))

    async def _run(
        self,
        plan: StagePlan,
        state: State,
        run: Run,
        one: Vertex,
        materials: Mapping[str, Material],
    ) -> State:
        prepared = await running.prepare(self._job, state, run, materials)
        work = functools.partial(running.work, prepared)
        return await self._layer(plan, state, run, one, prepared.key, work)

    async def _transfer(
        self,
        plan: StagePlan,
        state: State,
        instruction: Copy | Add,
        one: Vertex,
        materials: Mapping[str, Material],
    ) -> State:
        from_ = instruction.from_ if isinstance(instruction, Copy) else ""
        with contextlib.ExitStack() as held:
            prepared = await transferring.prepare(
                self._job, state, instruction, materials[from_], held
            )
            work = functools.partial(transferring.work, prepared)
            return await self._layer(plan, state, instruction, one, prepared.key, work)

    async def _workdir(
        self, plan: StagePlan, state: State, instruction: Workdir, one: Vertex
    ) -> State:
        key = directories.key_of_workdir(state)
        work = functools.partial(directories.work, self._job, state)
        return await self._layer(plan, state, instruction, one, key, work)

    async def _layer(
        self,
        plan: StagePlan,
        state: State,
        instruction: Instruction,
        one: Vertex,
        key: CacheKey,
        work: Work,
    ) -> State:
        """The state with a step's layer upon it."""
        job = self._job
        step = Step(key, instruction.text, work, job.pins, job.is_fresh(plan.stage.name), job.id)
        solved = await job.around.solver.solve(step, job.lease, one.output)
        if solved.cached:
            one.cached()
        one.layer = solved.diff_id
        created = solved.created_at if job.epoch is None else job.epoch
        return state.with_layer(
            solved.diff_id, created, history_of(instruction, state.run, tuple(state.args.items()))
        )

    # --- images of steps --------------------------------------------------------------------------

    async def _show_image(self, one: Vertex, state: State, plan: StagePlan | None = None) -> None:
        """Store the image as it is after a step, if the client wants to know its ID.

        A step of the stage `plan` that makes no layer comes from the cache if that image was known:
        clients who look at images of steps count such steps too.
        """
        if not (self._job.request.step_images and state.created):
            return
        image_id, known = await to_thread(self._step_image, state)
        if known and plan is not None and not one.layer and not self._job.is_fresh(plan.stage.name):
            one.cached()
        one.image(image_id)

    def _step_image(self, state: State) -> tuple[Digest, bool]:
        """In a thread: the image's ID, and whether it was there before."""
        collector = self._job.around.collector
        config = state.config(time.time_ns())
        image_id = Digest.of(encode(config))

        known = collector.database.read(lambda tx: tx.image(image_id)) is not None
        if not known:
            commit(config, collector, self._job.lease, hidden=True)
        return image_id, known

    # --- vertices ---------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _from(self, plan: StagePlan) -> AsyncIterator[Vertex]:
        started = self._numbering.from_(plan)
        async with vertex(self._job.emit, started, plan.stage.location) as one:
            yield one

    def _platform(self, plan: StagePlan) -> Platform:
        wanted = plan.from_.platform
        return parse_platform(wanted) if wanted else self._job.platform
