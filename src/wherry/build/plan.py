"""Which stages a build needs, and what each of them takes from others.

    FROM a AS one ──────────┐
    FROM b AS two           │ not needed: not built
    FROM one                v
    COPY --from=three ...   needs `one` and `three`, which may stand below it

Nothing is read here but the Dockerfile. What the ONBUILD triggers of a base image take is known
only when that image is.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from wherry import errdefs
from wherry.build.dockerfile import (
    Copy,
    Dockerfile,
    DockerfileError,
    From,
    Instruction,
    Run,
    Stage,
    expand,
    suggestion,
)

SCRATCH: Final = "scratch"
_DIGITS: Final = 18
"""Of a stage's number; Python refuses to read very long ones."""
IMAGE: Final = "docker-image://"
"""Begins what a further context is that is an image."""


@dataclass(frozen=True, slots=True)
class OfNothing:
    """`FROM scratch`."""


@dataclass(frozen=True, slots=True)
class OfStage:
    """What the stage of that index has come to."""

    index: int


@dataclass(frozen=True, slots=True)
class OfContext:
    """The build's context, "", or a further one by its name."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class OfImage:
    name: str


Origin: TypeAlias = OfNothing | OfStage | OfContext | OfImage


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage. `from_` is its FROM, the variables replaced; `needs` are the stages that it waits
    for."""

    stage: Stage
    from_: From
    base: Origin
    needs: frozenset[int]

    @property
    def title(self) -> str:
        """What BuildKit calls the stage in its progress."""
        return self.stage.name or f"stage-{self.stage.index}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All stages, the indexes of those that are needed, in order, and of the one that is wanted."""

    stages: tuple[StagePlan, ...]
    needed: tuple[int, ...]
    target: int


class Names:
    """What a name in FROM or `--from` means: a context, a stage, or an image, in this order."""

    def __init__(self, stages: Sequence[Stage], contexts: Mapping[str, str]) -> None:
        """`contexts` are what the further contexts are, by their names."""
        self._stages = stages
        self._contexts = {name.lower(): _further(name, contexts[name]) for name in contexts}
        self._indexes: dict[str, list[int]] = {}
        for stage in stages:
            if stage.name:
                self._indexes.setdefault(stage.name, []).append(stage.index)

    def base(self, from_: From, index: int) -> Origin:
        """What the stage `index` stands on: of stages only an earlier one."""
        name = from_.image
        if name.lower() in self._contexts:
            return self._contexts[name.lower()]
        named = self._indexes.get(name.lower(), [])
        if before := bisect.bisect_left(named, index):
            return OfStage(named[before - 1])
        return OfNothing() if name == SCRATCH else OfImage(name)

    def origin(self, name: str) -> Origin:
        """Where `COPY --from` and a mount's `from` take files: any stage, by its name or number.

        Raises InvalidArgument for a number that no stage has.
        """
        if name.lower() in self._contexts:
            return self._contexts[name.lower()]
        if name.lower() in self._indexes:
            return OfStage(self._indexes[name.lower()][-1])
        if name.isascii() and name.isdigit():
            if len(name) <= _DIGITS and int(name) < len(self._stages):
                return OfStage(int(name))
            raise errdefs.invalid(
                f"invalid from flag value {name}: there is no stage of that number, the last one "
                f"is {len(self._stages) - 1}"
            )
        return OfImage(name)


def _further(name: str, source: str) -> OfContext | OfImage:
    return OfImage(source.removeprefix(IMAGE)) if source.startswith(IMAGE) else OfContext(name)


def plan(
    dockerfile: Dockerfile, meta: Mapping[str, str], target: str, contexts: Mapping[str, str]
) -> Plan:
    """The stages for the stage `target`, "" for the last.

    `meta` are the ARGs before the first FROM, and those that are always there. Raises
    DockerfileError for a base without a name and for stages that go in a circle, InvalidArgument
    for a target that is none.
    """
    names = Names(dockerfile.stages, contexts)
    plans = [_planned(stage, dockerfile, meta, names) for stage in dockerfile.stages]
    wanted = _target(dockerfile.stages, target)
    return Plan(tuple(plans), tuple(sorted(_needed(plans, wanted))), wanted)


def froms_of(instruction: Instruction) -> Iterator[str]:
    """The names of stages and images that an instruction takes files from."""
    if isinstance(instruction, Copy) and instruction.from_:
        yield instruction.from_
    elif isinstance(instruction, Run):
        yield from (mount.from_ for mount in instruction.mounts if mount.from_)


def _planned(
    stage: Stage, dockerfile: Dockerfile, meta: Mapping[str, str], names: Names
) -> StagePlan:
    from_ = expand(stage.from_, meta, dockerfile.escape)
    if not from_.image:
        raise DockerfileError(
            f"base name ({stage.from_.image}) should not be blank", stage.location
        )
    base = names.base(from_, stage.index)
    origins = [base]
    for instruction in stage.instructions:
        for name in froms_of(instruction):
            try:
                origins.append(names.origin(name))
            except errdefs.EngineError as error:
                raise DockerfileError(error.message, instruction.location.of(name)) from error
    needs = frozenset(origin.index for origin in origins if isinstance(origin, OfStage))
    return StagePlan(stage, from_, base, needs)


def _target(stages: Sequence[Stage], target: str) -> int:
    if not target:
        return len(stages) - 1
    for stage in reversed(stages):
        if stage.name == target.lower():
            return stage.index
    names = [stage.name for stage in stages if stage.name]
    hint = suggestion(target, names) or (f" (there are: {', '.join(names)})" if names else "")
    raise errdefs.invalid(f'target stage "{target}" could not be found{hint}')


def _needed(plans: Sequence[StagePlan], target: int) -> set[int]:
    """The stages below `target`, itself included. Raises DockerfileError for a circle."""
    done: set[int] = set()
    way = {target: None}  # in order
    todo = [(target, iter(sorted(plans[target].needs)))]
    while todo:
        index, needs = todo[-1]
        following = next((one for one in needs if one not in done), None)
        if following is None:
            todo.pop()
            way.popitem()
            done.add(index)
            continue
        if following in way:
            indexes = list(way)
            indexes = [*indexes[indexes.index(following) :], following]
            circle = [plans[one].title for one in indexes]
            raise DockerfileError(
                f"circular dependency detected on stage: {circle[0]} ({' needs '.join(circle)})",
                plans[following].stage.location,
            )
        way[following] = None
        todo.append((following, iter(sorted(plans[following].needs))))
    return done
