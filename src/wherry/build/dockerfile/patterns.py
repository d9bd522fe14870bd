"""Shell patterns on values: `*` and `?`, with `\\` before what is meant as it is.

Neither matches a line's end. There are no brackets. Matching takes time that grows with the
value's length, however many stars there are.
"""

from __future__ import annotations

import re
from typing import Final

from wherry.build.dockerfile.errors import RefusalError

_PATTERN_MAX: Final = 256
_STAR: Final = None
_ANY: Final = ""
_Token = str | None
"""A character; or `_STAR`, or `_ANY`, any one character."""


def without_beginning(value: str, pattern: str, *, longest: bool) -> str:
    """The value without the shortest or longest beginning that the pattern matches."""
    end = _match(_segments(_tokens(pattern)), value, longest=longest)
    return value if end is None else value[end:]


def without_end(value: str, pattern: str, *, longest: bool) -> str:
    """The value without the shortest or longest end that the pattern matches."""
    tokens = _tokens(pattern)
    end = _match(_segments(tokens[::-1]), value[::-1], longest=longest)
    return value if end is None else value[: len(value) - end]


def replaced(value: str, pattern: str, by: str, *, every: bool) -> str:
    """The value with the first, or every, longest match replaced."""
    segments = _segments(_tokens(pattern))
    found: list[str] = []
    kept = at = 0
    after = -1
    while (span := _search(segments, value, at)) is not None:
        start, end = span
        if start == end == after:
            # Nothing right behind a match is no match of its own.
            at = end + 1
            after = -1
            continue
        found += [value[kept:start], by]
        kept = after = end
        at = end if end > start else end + 1
        if not every or at > len(value):
            break
    return "".join([*found, value[kept:]])


def _tokens(pattern: str) -> list[_Token]:
    if len(pattern) > _PATTERN_MAX:
        raise RefusalError(f"the pattern has more than {_PATTERN_MAX} characters")
    tokens: list[_Token] = []
    chars = iter(pattern)
    for char in chars:
        if char == "\\":
            escaped = next(chars, "")
            # A brace and a slash are escaped from the substitution, not from the pattern.
            if not escaped or escaped not in "*?\\}/":
                raise RefusalError(
                    f"invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'"
                )
            tokens.append(escaped)
        elif char == "*":
            tokens.append(_STAR)
        else:
            tokens.append(_ANY if char == "?" else char)
    return tokens


def _segments(tokens: list[_Token]) -> list[re.Pattern[str]]:
    """What stands between the stars, in a form that matches a fixed number of characters."""
    texts = [""]
    for token in tokens:
        if token is _STAR:
            texts.append("")
        else:
            texts[-1] += "." if token == _ANY else re.escape(token)
    # Two stars are one.
    kept = [text for at, text in enumerate(texts) if text or at in (0, len(texts) - 1)]
    return [re.compile(text) for text in kept]


def _match(
    segments: list[re.Pattern[str]], value: str, start: int = 0, *, longest: bool
) -> int | None:
    """Where a match that begins at `start` ends.

    Each star takes as little as it can, for what comes earliest leaves most to the rest; only the
    last one decides on the length.
    """
    first = segments[0].match(value, start)
    if first is None:
        return None
    end = first.end()
    for segment in segments[1:-1]:
        found = _ahead(segment, value, end)
        if found is None:
            return None
        end = found
    if len(segments) == 1:
        return end
    return _last(segments[-1], value, end) if longest else _ahead(segments[-1], value, end)


def _line_end(value: str, start: int) -> int:
    end = value.find("\n", start)
    return len(value) if end < 0 else end


def _ahead(segment: re.Pattern[str], value: str, start: int) -> int | None:
    """The end of the first occurrence that begins on this line."""
    line_end = _line_end(value, start)
    found = segment.search(value, start, line_end + _PATTERN_MAX)
    return None if found is None or found.start() > line_end else found.end()


def _last(segment: re.Pattern[str], value: str, start: int) -> int | None:
    """The end of the last occurrence that begins on this line."""
    for at in range(_line_end(value, start), start - 1, -1):
        if found := segment.match(value, at):
            return found.end()
    return None


def _search(segments: list[re.Pattern[str]], value: str, start: int) -> tuple[int, int] | None:
    """The first match from `start` on, the longest there."""
    at = start
    while at <= len(value) and (first := segments[0].search(value, at)) is not None:
        end = _match(segments, value, first.start(), longest=True)
        if end is not None:
            return first.start(), end
        # What a star did not find behind this place, it does not find behind a later one of the
        # same line.
        line_end = _line_end(value, first.end())
        at = max(first.start() + 1, line_end + 1 - (first.end() - first.start()))
    return None
