"""Patterns of sources: Go's filepath.Match, one component of a path at a time.

    *        any number of characters
    ?        one character
    [a-z]    one of these, [^a-z] none of them
    \\x       x itself, within a pattern

A character is one of UTF-8, or a byte that is none.
"""

from __future__ import annotations

import re
from typing import Final

from wherry import errdefs

_SPECIAL: Final = frozenset("*?[")


def has_wildcards(component: str) -> bool:
    """Whether it is a pattern. A backslash hides what follows it, and does not make one."""
    characters = iter(component)
    for character in characters:
        if character == "\\":
            next(characters, None)
        elif character in _SPECIAL:
            return True
    return False


def compile_component(pattern: str) -> re.Pattern[str]:
    """For `fullmatch` upon a name, decoded with "surrogateescape".

    Raises InvalidArgument for what Go calls a syntax error in a pattern. Matching takes time that
    is linear in the name for each `*`: a part between two of them is found leftmost, and stays.
    """
    parts: list[list[str]] = [[]]
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            parts.append([])
        elif character == "?":
            parts[-1].append(".")
        elif character == "[":
            expression, at = _class(pattern, at)
            parts[-1].append(expression)
        else:
            if character == "\\":
                if at == len(pattern):
                    raise _refusal(pattern)
                character = pattern[at]
                at += 1
            parts[-1].append(re.escape(character))
    first, *rest = ("".join(part) for part in parts)
    if not rest:
        return re.compile(first, re.DOTALL)
    *middle, last = rest
    found = "".join(f"(?>.*?{part})" for part in middle if part)
    return re.compile(f"{first}{found}.*{last}", re.DOTALL)


def _class(pattern: str, at: int) -> tuple[str, int]:
    """The expression for what begins after a `[`, and where the pattern goes on."""
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges: list[str] = []
    while not (pattern[at : at + 1] == "]" and ranges):
        low, at = _member(pattern, at)
        high = low
        if pattern[at : at + 1] == "-":
            high, at = _member(pattern, at + 1)
        # A range that is the wrong way round holds nothing.
        ranges.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")
    inside = "".join(ranges)
    if not inside:
        return ("." if negated else r"[^\s\S]"), at + 1
    return f"[{'^' if negated else ''}{inside}]", at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    character = pattern[at : at + 1]
    if character in ("", "-", "]"):
        raise _refusal(pattern)
    if character == "\\":
        at += 1
        character = pattern[at : at + 1]
    if not character or at + 1 >= len(pattern):
        raise _refusal(pattern)
    return character, at + 1


def _refusal(pattern: str) -> errdefs.EngineError:
    return errdefs.invalid(
        f"syntax error in pattern {pattern!r}: a '[' has no ']' that ends it, or a backslash hides"
        " nothing; a '[' that is part of a name is written '[[]'"
    )
