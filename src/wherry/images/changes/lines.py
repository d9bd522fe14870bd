"""Dockerfile text to instructions (Docker's Dockerfile reference, "Format", "Parser directives").

A pure function of the text: what the instructions mean is another's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wherry import errdefs

_BLANKS: Final = re.compile(r"[\t\v\f\r ]+")
_DIRECTIVE: Final = re.compile(r"#[ \t]*([a-zA-Z][a-zA-Z0-9]*)[ \t]*=[ \t]*(.+?)[ \t]*\Z")
_ESCAPES: Final = ("\\", "`")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. `name` is in capitals; `flags` are the words with `--` before `rest`.

    `line` is what was written, its continued lines put together.
    """

    name: str
    flags: tuple[str, ...]
    rest: str
    line: str


@dataclass(frozen=True, slots=True)
class Text:
    """A text's instructions, and the character that escapes in them."""

    instructions: tuple[Instruction, ...]
    escape: str


def read(text: str) -> Text:
    """The instructions of a text. Raises InvalidArgument, in Docker's words."""
    if "\0" in text:
        raise errdefs.invalid("a Dockerfile's text holds no zero byte, but this one does")
    lines = text.removeprefix("\ufeff").split("\n")
    escape = _escape(lines)
    found = tuple(_instruction(line) for line in _whole_lines(lines, escape))
    if not found:
        raise errdefs.invalid("file with no instructions")
    return Text(found, escape)


def instruction_of(line: str) -> Instruction:
    """One line's instruction: for those that hold another, such as ONBUILD."""
    return _instruction(line)


def _escape(lines: list[str]) -> str:
    """What the directive `# escape=` at the text's beginning says; else the backslash."""
    for line in lines:
        match = _DIRECTIVE.match(line.strip())
        if match is None:
            break
        if match[1].lower() == "escape":
            if match[2] not in _ESCAPES:
                raise errdefs.invalid(f"invalid ESCAPE '{match[2]}'. Must be ` or \\")
            return match[2]
    return "\\"


def _whole_lines(lines: list[str], escape: str) -> Iterator[str]:
    """Lines with those that continue them; comments and empty lines are none, in between too."""
    # One escape before the end continues; two are an escaped escape.
    mark = re.escape(escape)
    continued = re.compile(rf"(?:^|(?<=[^{mark}])){mark}[ \t]*\Z")
    rest = iter(lines)
    for raw in rest:
        first = raw.lstrip().removesuffix("\r")
        if not first or first.startswith("#"):
            continue
        line, more = continued.subn("", first)
        while more and (following := next(rest, None)) is not None:
            following = following.removesuffix("\r")
            if not following.strip() or following.lstrip().startswith("#"):
                continue
            following, more = continued.subn("", following)
            line += following
        if line:
            yield line


def _instruction(line: str) -> Instruction:
    name, _, rest = _BLANKS.sub(" ", line.strip(), count=1).partition(" ")
    flags, rest = _flags(rest)
    return Instruction(name.upper(), flags, rest.strip(), line)


def _flags(text: str) -> tuple[tuple[str, ...], str]:
    """The words with `--` at the beginning, unquoted, and the rest; a bare `--` ends them."""
    flags: list[str] = []
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith("--", at):
            return tuple(flags), text[at:]
        word, at = _flag(text, at)
        if word == "--":
            return tuple(flags), text[at:]
        flags.append(word)


def _flag(text: str, at: int) -> tuple[str, int]:
    """One word from `at` on, without its quotes and backslashes, and where it ends."""
    word, quote = "", ""
    while at < len(text):
        char = text[at]
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif not quote and char.isspace():
            break
        elif char == "\\":
            at += 1
            word += text[at : at + 1]
        else:
            word += char
        at += 1
    return word, at
