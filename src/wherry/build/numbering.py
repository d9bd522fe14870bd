"""What the steps of a build are called in its progress."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from wherry.build.dockerfile import (
    Add,
    Arg,
    Copy,
    Instruction,
    Run,
    Workdir,
)
from wherry.build.events import VertexStarted
from wherry.build.plan import Plan, StagePlan

_WORK = (Run, Copy, Add, Workdir)
"""The instructions that do something but change the image's configuration."""


class Numbering:
    """Steps are counted twice: as Docker's first builder does, through all the stages that are
    needed (`Step 3/7`), and as BuildKit does, within a stage and only what makes layers
    (`[build 2/5]`)."""

    def __init__(self, meta: Sequence[Arg], plan: Plan) -> None:
        self._single = len(plan.needed) == 1
        self._begins: dict[int, int] = {}
        self._works: dict[int, tuple[int, ...]] = {}
        self.total = len(meta)
        for index in plan.needed:
            self._begins[index] = self.total + 1
            self.total += 1 + len(plan.stages[index].stage.instructions)

    def from_(self, plan: StagePlan) -> VertexStarted:
        stage = plan.stage
        return VertexStarted(
            f"{stage.index}.0",
            f"[{self._within(plan, 1)}] {stage.from_.text}",
            self._begins.get(stage.index, 0),
            stage.from_.text,
        )

    def step(self, plan: StagePlan, instruction: Instruction, position: int) -> VertexStarted:
        """The instruction at `position` (from 1) of the stage."""
        works = 1 + self._works_of(plan)[position]
        is_work = isinstance(instruction, _WORK)
        begin = self._begins.get(plan.stage.index)
        return VertexStarted(
            f"{plan.stage.index}.{position}",
            f"[{self._within(plan, works)}] {instruction.text}" if is_work else "",
            0 if begin is None else begin + position,
            instruction.text,
        )

    def trigger(self, plan: StagePlan, instruction: Instruction, number: int) -> VertexStarted:
        """The ONBUILD trigger `number` (from 1) of the stage's base."""
        return VertexStarted(
            f"{plan.stage.index}.0.{number}",
            f"[{self._prefix(plan)}onbuild] {instruction.text}",
            instruction=instruction.text,
        )

    def _within(self, plan: StagePlan, number: int) -> str:
        return f"{self._prefix(plan)}{number}/{1 + self._works_of(plan)[-1]}"

    def _works_of(self, plan: StagePlan) -> tuple[int, ...]:
        """How many of a stage's first instructions do something: of none, of one, ..."""
        works = self._works.get(plan.stage.index)
        if works is None:
            each = (isinstance(one, _WORK) for one in plan.stage.instructions)
            works = self._works[plan.stage.index] = tuple(itertools.accumulate(each, initial=0))
        return works

    def _prefix(self, plan: StagePlan) -> str:
        return "" if self._single and not plan.stage.name else f"{plan.title} "
