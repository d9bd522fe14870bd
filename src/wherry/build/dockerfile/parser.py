"""A Dockerfile's bytes to its stages."""

from __future__ import annotations

import dataclasses
from typing import Final

from wherry.build.dockerfile.errors import DockerfileError, Location, RefusalError, Source, located
from wherry.build.dockerfile.instructions import (
    Arg,
    Dockerfile,
    From,
    Instruction,
    Onbuild,
    Stage,
)
from wherry.build.dockerfile.lines import Line, Text, decode, read
from wherry.build.dockerfile.reading import instruction_of

_NEVER_ON_BUILD: Final = (From, Onbuild)
INSTRUCTIONS_MAX: Final = 10_000
"""Each is an entry of the image's history, and a name to be told; and no image has so many."""


def parse(data: bytes, name: str = "Dockerfile") -> Dockerfile:
    """The Dockerfile in `data`; `name` stands in errors.

    Raises DockerfileError, in Docker's words, with the place.
    """
    source = decode(data, name)
    if not data.strip():
        raise DockerfileError("the Dockerfile cannot be empty", Location(1, 1, 1, source))
    text = read(source)
    meta_args: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    _judge_count(text)
    for line in text.lines:
        instruction = _instruction(line, text.directives.escape)
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            meta_args.append(instruction)
        else:
            raise DockerfileError(
                "no build stage in current context: only ARG may stand before the first FROM",
                instruction.location,
            )
    _need_stages(text, has_stages=bool(stages))
    return Dockerfile(
        source,
        text.directives,
        tuple(meta_args),
        tuple(
            Stage(from_, tuple(instructions), index)
            for index, (from_, instructions) in enumerate(stages)
        ),
        tuple(_gap(line) for line in text.lines if line.gap),
    )


def parse_instructions(data: bytes, name: str) -> tuple[tuple[Instruction, ...], str]:
    """The instructions of a text without stages, and its escape. Raises DockerfileError."""
    text = read(decode(data, name))
    _need_stages(text, has_stages=True)
    escape = text.directives.escape
    return tuple(_instruction(line, escape) for line in text.lines), escape


def parse_trigger(expression: str, location: Location) -> Instruction:
    """The instruction of an image's `OnBuild`, as if it stood at `location`: that of the FROM.

    Raises DockerfileError: not one instruction, or one that is no trigger.
    """
    try:
        data = expression.encode("utf-8", "surrogateescape")
        found, _ = parse_instructions(data, "ONBUILD")
    except DockerfileError as error:
        raise DockerfileError(f"ONBUILD {expression}: {error.reason}", location) from error
    except UnicodeEncodeError as error:
        raise DockerfileError(f"ONBUILD {expression}: no UTF-8", location) from error
    if len(found) != 1 or isinstance(found[0], _NEVER_ON_BUILD):
        raise DockerfileError(
            f"onbuild trigger should be a single expression: {expression}", location
        )
    return dataclasses.replace(found[0], location=location)


def _judge_count(text: Text) -> None:
    if len(text.lines) > INSTRUCTIONS_MAX:
        raise DockerfileError(
            f"it has {len(text.lines)} instructions, and {INSTRUCTIONS_MAX} are most",
            text.lines[INSTRUCTIONS_MAX].location,
        )


def _instruction(line: Line, escape: str) -> Instruction:
    try:
        return instruction_of(line, escape)
    except RefusalError as error:
        raise located(error, line.location, parsing=True) from error


def _need_stages(text: Text, *, has_stages: bool) -> None:
    end = max(len(text.source.lines), 1)
    if not text.lines:
        raise DockerfileError("file with no instructions", _end(text.source, end))
    if not has_stages:
        raise DockerfileError("dockerfile contains no stages to build", _end(text.source, end))


def _end(source: Source, line: int) -> Location:
    return Location(line, line, 1, source)


def _gap(line: Line) -> Location:
    return dataclasses.replace(line.location, line=line.continued_to, end_line=line.continued_to)
