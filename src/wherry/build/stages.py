"""The stages of a build, each as far as others let it go.

A stage is a task of its own. It waits for another where it takes something from it, so independent
stages go on at the same time. The first failure ends all of them.
"""

from __future__ import annotations

import asyncio

from wherry.build.dockerfile import DockerfileError, Instruction
from wherry.build.job import Job
from wherry.build.materials import Material, of_layers
from wherry.build.plan import (
    OfContext,
    OfNothing,
    OfStage,
    Origin,
    StagePlan,
    froms_of,
)
from wherry.build.state import State
from wherry.build.steps import Steps
from wherry.build.threads import finish


class Stages:
    """Builds what a job's target needs.

    state = await Stages(job).build()
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._tasks: dict[int, asyncio.Task[State]] = {}
        self._needed = frozenset(job.plan.needed)
        # Those of the plan go in no circle; others come with the triggers of base images.
        self._waits = {index: set(job.plan.stages[index].needs) for index in self._needed}
        self._steps = Steps(job)

    async def build(self) -> State:
        """What the target has come to. Raises the first failure, when all work has ended."""
        try:
            for index in self._job.plan.needed:
                self._begin(index)
            await self._first_failure_or(self._tasks[self._job.plan.target])
            return await self._tasks[self._job.plan.target]
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            for task in tasks:
                await finish(task)

    async def _first_failure_or(self, target: asyncio.Task[State]) -> None:
        """Return when the target is done. Raises what fails before, in whatever stage."""
        while not target.done():
            await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
            for task in self._tasks.values():
                if task.done():
                    task.result()

    def _begin(self, index: int) -> asyncio.Task[State]:
        task = asyncio.create_task(self._stage(self._job.plan.stages[index]))
        self._tasks[index] = task
        return task

    async def _stage(self, plan: StagePlan) -> State:
        state = await self._base(plan)
        triggers, state = self._steps.triggers(plan, state)
        for number, trigger in enumerate(triggers, 1):
            materials = await self._materials(plan, trigger)
            state = await self._steps.trigger(plan, state, trigger, number, materials)
        for position, instruction in enumerate(plan.stage.instructions, 1):
            materials = await self._materials(plan, instruction)
            state = await self._steps.take(plan, state, instruction, position, materials)
        return state

    async def _base(self, plan: StagePlan) -> State:
        base = plan.base
        if isinstance(base, OfStage):
            return await self._steps.begin_on(plan, await self._state_of(plan, base.index))
        return await self._steps.begin(plan, base)

    async def _state_of(self, plan: StagePlan, index: int) -> State:
        """What another stage has come to. Raises DockerfileError if that waits for this one."""
        waiting = plan.stage.index
        is_planned = waiting in self._needed and index in plan.needs
        self._waits.setdefault(waiting, set()).add(index)
        if not is_planned and self._is_waited_for(index, waiting):
            raise DockerfileError(
                f"circular dependency detected on stage: {plan.title}", plan.stage.location
            )
        return await asyncio.shield(self._tasks.get(index) or self._begin(index))

    def _is_waited_for(self, waiting: int, index: int) -> bool:
        """Whether the stage `waiting` waits, through others too, for `index`."""
        todo, seen = [waiting], set[int]()
        while todo:
            one = todo.pop()
            if one == index:
                return True
            if one not in seen:
                seen.add(one)
                todo.extend(self._waits.get(one, ()))
        return False

    async def _materials(self, plan: StagePlan, instruction: Instruction) -> dict[str, Material]:
        """What the names in an instruction's `--from` mean, and "" the build's context."""
        found = {"": self._job.contexts[""]} if "" in self._job.contexts else {}
        for name in froms_of(instruction):
            found[name] = await self._material(plan, self._job.names.origin(name))
        return found

    async def _material(self, plan: StagePlan, origin: Origin) -> Material:
        snapshots = self._job.around.collector.snapshots
        if isinstance(origin, OfContext):
            return self._job.contexts[origin.name]
        if isinstance(origin, OfNothing):
            return of_layers("scratch", (), snapshots)
        if isinstance(origin, OfStage):
            state = await self._state_of(plan, origin.index)
            name = self._job.dockerfile.stages[origin.index].name or str(origin.index)
            return of_layers(f'stage "{name}"', state.layers, snapshots)
        base = await self._steps.image(origin.name)
        return of_layers(f'image "{origin.name}"', base.diff_ids, snapshots)
