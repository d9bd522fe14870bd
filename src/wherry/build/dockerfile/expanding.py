"""Instructions to instructions with values: which of their words have variables.

Docker's Dockerfile reference, "Environment replacement". ENTRYPOINT, CMD, SHELL, HEALTHCHECK,
MAINTAINER and ONBUILD have none, and a RUN's command is its shell's business.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from wherry.build.dockerfile import instructions as ast
from wherry.build.dockerfile.errors import RefusalError, located
from wherry.build.dockerfile.expansion import Lexer
from wherry.build.dockerfile.mounts import mount_of
from wherry.build.dockerfile.words import quoted

I = TypeVar("I", bound=ast.Instruction)  # noqa: E741 - one letter, as type variables have


@dataclass(frozen=True, slots=True)
class Expanded:
    """An instruction with values, and the variables that had one (`matched`) or had none."""

    instruction: ast.Instruction
    matched: frozenset[str]
    unmatched: frozenset[str]


def expand(instruction: I, env: Mapping[str, str], escape: str = "\\") -> I:
    """The instruction with the values of `env` in all its words that take them, flags too.

    What is not set is empty. Raises DockerfileError.
    """
    expanded = expand_noting(instruction, env, escape).instruction
    assert isinstance(expanded, type(instruction))
    return expanded


def expand_noting(
    instruction: ast.Instruction, env: Mapping[str, str], escape: str = "\\"
) -> Expanded:
    """As `expand`, with the names of the variables. Raises DockerfileError."""
    words = _Words(env, escape)
    how = _HOW.get(type(instruction))
    if how is not None:
        try:
            instruction = how(instruction, words)
        except RefusalError as error:
            raise located(error, instruction.location) from error
    return Expanded(instruction, words.matched, words.unmatched)


class _Words:
    """Texts to values, in one environment."""

    def __init__(self, env: Mapping[str, str], escape: str) -> None:
        self._lexer = Lexer(env, escape)
        # Documents have the shell's own escape, and their quotes are text.
        self._documents = Lexer(env, plain_quotes=True)

    @property
    def matched(self) -> frozenset[str]:
        return frozenset(self._lexer.matched | self._documents.matched)

    @property
    def unmatched(self) -> frozenset[str]:
        return frozenset(self._lexer.unmatched | self._documents.unmatched)

    def text(self, text: str) -> str:
        return self._lexer.text(text)

    def texts(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(self._lexer.text, texts))

    def words(self, text: str) -> list[str]:
        return self._lexer.words(text)

    def document(self, text: str) -> str:
        return self._documents.text(text)


def _from(instruction: ast.Instruction, words: _Words) -> ast.From:
    assert isinstance(instruction, ast.From)
    image = words.text(instruction.image)
    if not image:
        raise RefusalError(
            f"base name ({instruction.image}) should not be blank", instruction.image
        )
    platform = words.text(instruction.platform)
    if instruction.platform and not platform:
        raise RefusalError(
            f"empty platform value from expression {instruction.platform}", "--platform"
        )
    return dataclasses.replace(instruction, image=image, platform=platform)


def _run(instruction: ast.Instruction, words: _Words) -> ast.Run:
    assert isinstance(instruction, ast.Run)
    mounts = tuple(mount_of(text, words.text) for text in instruction.mount_texts)
    return dataclasses.replace(instruction, mounts=mounts)


def _copy(instruction: ast.Instruction, words: _Words) -> ast.Copy:
    assert isinstance(instruction, ast.Copy)
    return _transfer(instruction, words)


def _add(instruction: ast.Instruction, words: _Words) -> ast.Add:
    assert isinstance(instruction, ast.Add)
    instruction = dataclasses.replace(instruction, checksum=words.text(instruction.checksum))
    return _transfer(instruction, words)


T = TypeVar("T", bound=ast.Transfer)


def _transfer(instruction: T, words: _Words) -> T:
    return dataclasses.replace(
        instruction,
        sources=words.texts(instruction.sources),
        destination=words.text(instruction.destination),
        files=tuple(
            dataclasses.replace(file, content=words.document(file.content)) if file.expand else file
            for file in instruction.files
        ),
        chown=words.text(instruction.chown),
        chmod=words.text(instruction.chmod),
        excludes=words.texts(instruction.excludes),
    )


def _arg(instruction: ast.Instruction, words: _Words) -> ast.Arg:
    assert isinstance(instruction, ast.Arg)
    return dataclasses.replace(
        instruction,
        arguments=tuple(
            ast.Argument(one.name, None if one.value is None else words.text(one.value))
            for one in instruction.arguments
        ),
    )


def _env(instruction: ast.Instruction, words: _Words) -> ast.Env:
    assert isinstance(instruction, ast.Env)
    return dataclasses.replace(instruction, pairs=_pairs("ENV", instruction.pairs, words))


def _label(instruction: ast.Instruction, words: _Words) -> ast.Label:
    assert isinstance(instruction, ast.Label)
    return dataclasses.replace(instruction, pairs=_pairs("LABEL", instruction.pairs, words))


def _pairs(
    kind: str, pairs: tuple[tuple[str, str], ...], words: _Words
) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for written, value in pairs:
        name = words.text(written)
        if not name:
            raise RefusalError(f"{kind} names can not be blank: {quoted(written)} is", written)
        found.append((name, words.text(value)))
    return tuple(found)


def _expose(instruction: ast.Instruction, words: _Words) -> ast.Expose:
    assert isinstance(instruction, ast.Expose)
    # One variable may hold several ports.
    ports = tuple(port for written in instruction.ports for port in words.words(written))
    return dataclasses.replace(instruction, ports=ports)


def _volume(instruction: ast.Instruction, words: _Words) -> ast.Volume:
    assert isinstance(instruction, ast.Volume)
    paths = words.texts(instruction.paths)
    if not all(paths):
        raise RefusalError("VOLUME specified can not be an empty string")
    return dataclasses.replace(instruction, paths=paths)


def _user(instruction: ast.Instruction, words: _Words) -> ast.User:
    assert isinstance(instruction, ast.User)
    return dataclasses.replace(instruction, user=words.text(instruction.user))


def _workdir(instruction: ast.Instruction, words: _Words) -> ast.Workdir:
    assert isinstance(instruction, ast.Workdir)
    path = words.text(instruction.path)
    if not path:
        raise RefusalError("cannot normalize nothing", instruction.path)
    return dataclasses.replace(instruction, path=path)


def _stopsignal(instruction: ast.Instruction, words: _Words) -> ast.Stopsignal:
    assert isinstance(instruction, ast.Stopsignal)
    return dataclasses.replace(instruction, signal=words.text(instruction.signal))


_HOW: Final[dict[type[ast.Instruction], Callable[[ast.Instruction, _Words], ast.Instruction]]] = {
    ast.Add: _add,
    ast.Arg: _arg,
    ast.Copy: _copy,
    ast.Env: _env,
    ast.Expose: _expose,
    ast.From: _from,
    ast.Label: _label,
    ast.Run: _run,
    ast.Stopsignal: _stopsignal,
    ast.User: _user,
    ast.Volume: _volume,
    ast.Workdir: _workdir,
}
