"""Checks of how a Dockerfile is written, whatever its variables are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from wherry.build.checks import rules
from wherry.build.checks.finding import Finding, found
from wherry.build.dockerfile import (
    Arg,
    Dockerfile,
    Env,
    Expose,
    From,
    Instruction,
    Label,
    Maintainer,
)

_RESERVED: Final = ("context", "scratch")
_SECRET: Final = re.compile(
    r"(?i)(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)"
)
_PUBLIC: Final = re.compile(r"(?i)(?:_|^)public(?:_|$)")
_VARIABLE: Final = re.compile(r"\$")
_TARGET_PLATFORM: Final = ("$TARGETPLATFORM", "${TARGETPLATFORM}")


def check_forms(dockerfile: Dockerfile) -> Iterator[Finding]:
    """All of them, in the order of the rules."""
    yield from _stages(dockerfile)
    for location in dockerfile.empty_continuations:
        yield found(rules.NO_EMPTY_CONTINUATION, location)
    yield from _casing(dockerfile)
    for instruction in dockerfile.instructions():
        yield from _instruction(instruction)
        yield from _description(instruction)


def _stages(dockerfile: Dockerfile) -> Iterator[Finding]:
    seen: set[str] = set()
    for stage in dockerfile.stages:
        from_ = stage.from_
        if from_.written != from_.written.lower():
            yield found(rules.STAGE_NAME_CASING, from_.location, from_.written)
        if from_.as_keyword and _case(from_.keyword) not in ("", _case(from_.as_keyword)):
            yield found(rules.FROM_AS_CASING, from_.location, from_.as_keyword, from_.keyword)
        if from_.name in _RESERVED:
            yield found(rules.RESERVED_STAGE_NAME, from_.location, from_.name)
        if from_.name and from_.name in seen:
            yield found(rules.DUPLICATE_STAGE_NAME, from_.location, from_.name)
        seen.add(from_.name)


def _case(word: str) -> str:
    """`lower` or `upper`; "" for a word of both."""
    return "lower" if word.islower() else "upper" if word.isupper() else ""


def _casing(dockerfile: Dockerfile) -> Iterator[Finding]:
    instructions = list(dockerfile.instructions())
    counts = Counter(one.keyword.islower() for one in instructions)
    lower = counts[True] > counts[False]
    majority = "lowercase" if lower else "uppercase"
    for one in instructions:
        if one.keyword != (one.keyword.lower() if lower else one.keyword.upper()):
            yield found(rules.CONSISTENT_INSTRUCTION_CASING, one.location, one.keyword, majority)


def _instruction(instruction: Instruction) -> Iterator[Finding]:
    match instruction:
        case From():
            yield from _platform(instruction)
        case Maintainer():
            yield found(rules.MAINTAINER_DEPRECATED, instruction.location)
        case Arg():
            for argument in instruction.arguments:
                yield from _secret(instruction, argument.name)
        case Env() | Label():
            if instruction.legacy:
                kind = instruction.kind
                yield found(rules.LEGACY_KEY_VALUE_FORMAT, instruction.location, kind, kind)
            if isinstance(instruction, Env):
                for name, _ in instruction.pairs:
                    yield from _secret(instruction, name)
        case Expose():
            for port in instruction.ports:
                yield from _port(instruction, port)


def _platform(from_: From) -> Iterator[Finding]:
    if from_.platform in _TARGET_PLATFORM:
        yield found(rules.REDUNDANT_TARGET_PLATFORM, from_.location, from_.platform)
    elif from_.platform and not _VARIABLE.search(from_.platform):
        yield found(rules.FROM_PLATFORM_FLAG_CONST_DISALLOWED, from_.location, from_.platform)


def _secret(instruction: Instruction, name: str) -> Iterator[Finding]:
    if _SECRET.search(name) and not _PUBLIC.search(name):
        yield found(rules.SECRETS_USED_IN_ARG_OR_ENV, instruction.location, instruction.kind, name)


def _port(instruction: Expose, port: str) -> Iterator[Finding]:
    if _VARIABLE.search(port):
        return
    if ":" in port:
        yield found(rules.EXPOSE_INVALID_FORMAT, instruction.location, port)
    _, _, protocol = port.partition("/")
    if protocol != protocol.lower():
        yield found(rules.EXPOSE_PROTO_CASING, instruction.location, port)


def _description(instruction: Instruction) -> Iterator[Finding]:
    """The comment right above an ARG or a stage begins with its name."""
    if not instruction.comments:
        return
    if isinstance(instruction, Arg):
        names = [argument.name for argument in instruction.arguments]
    elif isinstance(instruction, From) and instruction.written:
        names = [instruction.written]
    else:
        return
    words = {comment.split(maxsplit=1)[0] for comment in instruction.comments if comment.split()}
    for name in names:
        if name not in words:
            yield found(
                rules.INVALID_DEFINITION_DESCRIPTION, instruction.location, instruction.kind, name
            )
