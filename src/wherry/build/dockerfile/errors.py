"""Refusals of a Dockerfile: where, which line, and what was probably meant."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from wherry import failure
from wherry.errdefs import EngineError, Kind

_SHOWN_MAX: Final = 120
_UNSHOWABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST: Final = 100
"""Letters of a word that may have a near one; comparing takes the square of it."""
_NEAR: Final = 2
"""Letters in which a word may differ from the one that is proposed."""


@dataclass(frozen=True, slots=True)
class Source:
    """A Dockerfile's name and its lines, without their ends, for messages."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Location:
    """Where an instruction stands: lines and column count from 1; `end_line` is its last."""

    line: int
    end_line: int
    column: int
    source: Source = dataclasses.field(default=Source("Dockerfile", ()), compare=False, repr=False)

    def of(self, words: str) -> Location:
        """The place of these words within the lines; the beginning, if they are not found."""
        if not words:
            return self
        for line in range(self.line, self.end_line + 1):
            text = self._line(line)
            at = text.find(words, self.column - 1 if line == self.line else 0)
            if at >= 0:
                return dataclasses.replace(self, line=line, column=at + 1)
        return self

    def excerpt(self) -> str:
        """The line with a caret under the column; empty if the source is not known."""
        text = self._line(self.line)
        if not text:
            return ""
        first = max(0, self.column - 1 - _SHOWN_MAX // 2)
        shown = _UNSHOWABLE.sub(" ", text[first : first + _SHOWN_MAX])
        margin = f"{self.line:4} | "
        caret = " " * (len(margin) - 2) + "| " + " " * (self.column - 1 - first) + "^"
        return f"{margin}{shown}\n{caret}"

    def _line(self, number: int) -> str:
        lines = self.source.lines
        return lines[number - 1] if 0 < number <= len(lines) else ""


class DockerfileError(EngineError):
    """A Dockerfile that is refused.

    `reason` is one sentence; `message` has the place and the line, with a caret, below it.
    """

    def __init__(self, reason: str, location: Location, *, parsing: bool = False) -> None:
        self.reason = reason
        self.location = location
        self.parsing = parsing
        what = f"dockerfile parse error on line {location.line}: {reason}" if parsing else reason
        place = f"{location.source.name}:{location.line}:{location.column}"
        super().__init__(Kind.INVALID_ARGUMENT, f"{what}\n{place}\n{location.excerpt()}".rstrip())

    def __reduce__(self) -> tuple[type[EngineError], tuple[failure.Kind, str]]:
        return (EngineError, (self.kind, self.message))


class RefusalError(EngineError):
    """What is wrong with an instruction, told by whoever does not know where it stands.

    `near` are words of the instruction by which the place is found.
    """

    def __init__(self, reason: str, near: str = "") -> None:
        super().__init__(Kind.INVALID_ARGUMENT, reason)
        self.near = near

    def __reduce__(self) -> tuple[type[EngineError], tuple[failure.Kind, str]]:
        return (EngineError, (self.kind, self.message))


def located(error: EngineError, location: Location, *, parsing: bool = False) -> DockerfileError:
    """The refusal with its place."""
    if isinstance(error, DockerfileError):
        return error
    near = error.near if isinstance(error, RefusalError) else ""
    return DockerfileError(error.message, location.of(near), parsing=parsing)


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing if no known word is near. Case makes no difference."""
    best, least = "", _NEAR + 1
    if len(word) > _LONGEST:
        return ""
    for candidate in known:
        if abs(len(candidate) - len(word)) > _NEAR:
            continue
        distance = _distance(word.lower(), candidate.lower())
        if distance < least:
            best, least = candidate, distance
    return f" (did you mean {best}?)" if best and best != word else ""


def _distance(one: str, other: str) -> int:
    """Levenshtein's: letters to insert, delete or replace."""
    row = list(range(len(other) + 1))
    for count, letter in enumerate(one, 1):
        previous, row[0] = row[0], count
        for at, expected in enumerate(other, 1):
            previous, row[at] = (
                row[at],
                min(row[at] + 1, row[at - 1] + 1, previous + (letter != expected)),
            )
    return row[-1]
