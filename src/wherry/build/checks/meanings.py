"""Checks of what a Dockerfile means: variables, bases, and what comes twice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wherry import errdefs
from wherry.build.checks import rules
from wherry.build.checks.finding import Finding, found
from wherry.build.dockerfile import (
    Add,
    Arg,
    Cmd,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    From,
    Healthcheck,
    Instruction,
    Shell,
    Stage,
    Workdir,
    environment,
    expand_noting,
    global_arguments,
    resolve,
    suggestion,
)
from wherry.reference import parse as parse_reference

_ONCE = (Cmd, Entrypoint, Healthcheck)
_PATH = "PATH"


@dataclass(frozen=True)
class Surroundings:
    """What the checks need to know beside the Dockerfile.

    `needed` are the stages that are looked at: those of the build. `always` are arguments that need
    no ARG, `given` the client's. `image_environment` answers the ENV of an image, or None where
    nobody knows it; `is_ignored` whether .dockerignore takes a path of the context.
    """

    needed: Collection[int]
    always: Mapping[str, str]
    given: Mapping[str, str]
    image_environment: Callable[[str], Sequence[str] | None] = lambda name: None
    is_ignored: Callable[[str], bool] = lambda path: False


def check_meanings(dockerfile: Dockerfile, around: Surroundings) -> Iterator[Finding]:
    """All of them, stage by stage. Raises DockerfileError for what cannot be expanded."""
    escape = dockerfile.escape
    meta = global_arguments(dockerfile.meta_args, around.always, around.given, escape)
    defaults = global_arguments(dockerfile.meta_args, around.always, {}, escape)
    declared = [one.name for arg in dockerfile.meta_args for one in arg.arguments]
    stages: dict[str, _Known] = {}
    for stage in dockerfile.stages:
        yield from _from(stage.from_, meta, defaults, [*declared, *around.always], escape)
        known = _base(stage, meta, escape, stages, around)
        for finding in _Stage(stage, known, meta, around, escape).check():
            if stage.index in around.needed:
                yield finding
        if stage.name:
            stages[stage.name] = known


def _from(
    from_: From,
    meta: Mapping[str, str],
    defaults: Mapping[str, str],
    declared: Sequence[str],
    escape: str,
) -> Iterator[Finding]:
    unmatched = sorted(expand_noting(from_, meta, escape).unmatched - {*declared})
    for name in unmatched:
        hint = suggestion(name, declared)
        yield _hinted(found(rules.UNDEFINED_ARG_IN_FROM, from_.location, name), hint)
    if "$" not in from_.image or unmatched:
        return
    try:
        image = expand_noting(from_, defaults, escape).instruction
        assert isinstance(image, From)
        parse_reference(image.image)
    except errdefs.EngineError:
        yield found(rules.INVALID_DEFAULT_ARG_IN_FROM, from_.location, from_.image)


def _hinted(finding: Finding, hint: str) -> Finding:
    return Finding(finding.rule, finding.message + hint, finding.location)


@dataclass
class _Known:
    """What is known in a stage at some point: the environment, None if that is not known."""

    environment: dict[str, str] | None = field(default_factory=dict)
    has_workdir: bool = False
    has_shell: bool = False


def _base(
    stage: Stage,
    meta: Mapping[str, str],
    escape: str,
    stages: Mapping[str, _Known],
    around: Surroundings,
) -> _Known:
    from_ = expand_noting(stage.from_, meta, escape).instruction
    assert isinstance(from_, From)
    below = stages.get(from_.image.lower())
    if below is not None:
        env = None if below.environment is None else dict(below.environment)
        return _Known(env, below.has_workdir, below.has_shell)
    if from_.image == "scratch":
        return _Known({_PATH: ""})
    entries = around.image_environment(from_.image)
    return _Known(None if entries is None else {_PATH: "", **environment(entries)})


class _Stage:
    """One stage being looked at; `known` goes on with it."""

    def __init__(
        self,
        stage: Stage,
        known: _Known,
        meta: Mapping[str, str],
        around: Surroundings,
        escape: str,
    ) -> None:
        self._stage = stage
        self._known = known
        self._meta = meta
        self._around = around
        self._escape = escape
        self._args: dict[str, str] = {}
        self._declared: set[str] = set()
        self._last: dict[type[Instruction], Instruction] = {}

    def check(self) -> Iterator[Finding]:
        for instruction in self._stage.instructions:
            env = {**self._args, **(self._known.environment or {})}
            expanded = expand_noting(instruction, env, self._escape)
            yield from self._variables(instruction, expanded.unmatched)
            yield from self._once(instruction)
            yield from self._one(expanded.instruction)
            self._learn(instruction, expanded.instruction, env)

    def _variables(self, instruction: Instruction, unmatched: frozenset[str]) -> Iterator[Finding]:
        if self._known.environment is None:
            return
        known = [*self._args, *self._known.environment]
        for name in sorted(unmatched - self._declared):
            hint = suggestion(name, known)
            finding = found(rules.UNDEFINED_VAR, instruction.location, name)
            yield _hinted(finding, hint.replace("mean ", "mean $"))

    def _once(self, instruction: Instruction) -> Iterator[Finding]:
        if isinstance(instruction, _ONCE):
            kind = type(instruction)
            if kind in self._last:
                # The earlier one is what has no effect.
                yield found(
                    rules.MULTIPLE_INSTRUCTIONS_DISALLOWED,
                    self._last[kind].location,
                    instruction.kind,
                )
            self._last[kind] = instruction

    def _one(self, instruction: Instruction) -> Iterator[Finding]:
        match instruction:
            case Cmd() | Entrypoint():
                command = instruction.command
                if command.text and not command.is_exec and not self._known.has_shell:
                    yield found(rules.JSON_ARGS_RECOMMENDED, instruction.location, instruction.kind)
            case Workdir():
                if not instruction.path.startswith("/") and not self._known.has_workdir:
                    yield found(rules.WORKDIR_RELATIVE_PATH, instruction.location, instruction.path)
            case Copy(from_="") | Add():
                for source in instruction.sources:
                    path = source.strip("/")
                    if path not in ("", ".") and self._around.is_ignored(path):
                        yield found(
                            rules.COPY_IGNORED_FILE,
                            instruction.location,
                            instruction.kind.capitalize(),
                            source,
                        )

    def _learn(
        self, written: Instruction, instruction: Instruction, env: Mapping[str, str]
    ) -> None:
        match instruction:
            case Arg():
                resolved = resolve(_arg(written), env, self._meta, self._around.given, self._escape)
                for argument in resolved.arguments:
                    self._declared.add(argument.name)
                    if argument.value is not None:
                        self._args[argument.name] = argument.value
            case Env():
                if self._known.environment is not None:
                    self._known.environment.update(instruction.pairs)
                self._declared.update(name for name, _ in instruction.pairs)
            case Workdir():
                self._known.has_workdir = True
            case Shell():
                self._known.has_shell = True


def _arg(instruction: Instruction) -> Arg:
    assert isinstance(instruction, Arg)
    return instruction
