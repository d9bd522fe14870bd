"""Go's filepath.Match: against a plain reading of its rules."""

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.build.copying.wildcards import compile_component, has_wildcards
from wherry.errdefs import EngineError

SOAK = bool(os.environ.get("WHERRY_SOAK"))


class BadPatternError(Exception):
    pass


def matches(pattern: str, name: str) -> bool:
    """By trying everything."""
    if not pattern:
        return not name
    first, rest = pattern[0], pattern[1:]
    if first == "*":
        return any(matches(rest, name[at:]) for at in range(len(name) + 1))
    if first == "?":
        return bool(name) and matches(rest, name[1:])
    if first == "[":
        members, rest = klass(rest)
        return bool(name) and members(name[0]) and matches(rest, name[1:])
    if first == "\\":
        if not rest:
            raise BadPatternError
        first, rest = rest[0], rest[1:]
    return name[:1] == first and matches(rest, name[1:])


def klass(text: str):
    negated = text.startswith("^")
    text = text[negated:]
    ranges = []
    while not (text.startswith("]") and ranges):
        low, text = member(text)
        high = low
        if text.startswith("-"):
            high, text = member(text[1:])
        ranges.append((low, high))
    return (lambda one: any(a <= one <= b for a, b in ranges) != negated), text[1:]


def member(text: str) -> tuple[str, str]:
    if not text or text[0] in "-]":
        raise BadPatternError
    if text[0] == "\\":
        text = text[1:]
    if len(text) < 2:
        raise BadPatternError
    return text[0], text[1:]


def judged(pattern: str) -> bool:
    """Whether it is a pattern, however far a name leads into it."""
    at = 0
    while at < len(pattern):
        at += 1
        if pattern[at - 1] == "[":
            try:
                at = len(pattern) - len(klass(pattern[at:])[1])
            except BadPatternError:
                return False
        elif pattern[at - 1] == "\\":
            if at == len(pattern):
                return False
            at += 1
    return True


@settings(max_examples=20_000 if SOAK else 500, deadline=None)
@given(st.text("ab*?[]^-\\\n", max_size=8), st.text("ab-]^\\\n", max_size=6))
def test_matching(pattern: str, name: str) -> None:
    if judged(pattern):
        assert bool(compile_component(pattern).fullmatch(name)) == matches(pattern, name)
    else:
        with pytest.raises(EngineError, match="syntax error in pattern"):
            compile_component(pattern)


def test_what_is_a_pattern() -> None:
    assert [has_wildcards(text) for text in ("a", "a*", "?", "[", "\\*", "\\\\*", "]", "\\")] == [
        *(False, True, True, True, False, True, False, False)
    ]


def test_bytes_that_are_no_text_are_characters() -> None:
    assert compile_component("?").fullmatch(b"\xff".decode("utf-8", "surrogateescape"))
    assert compile_component("[^a]").fullmatch("é")


def test_no_pattern_takes_long() -> None:
    begun = time.process_time()
    assert not compile_component("*a" * 100 + "b").fullmatch("a" * 255)
    assert time.process_time() - begun < 1
