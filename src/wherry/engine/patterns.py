"""Filters' patterns, matched in a bounded time: it is the daemon's loop that matches.

Docker's are Go's regular expressions, whose time grows with the text's length. Python's may take
for ever, so patterns that can are refused before they are tried.
"""

import re
from typing import Final

from wherry import errdefs

_MAX_PATTERN: Final = 256
# Alternatives of all groups, each with each; what repeats counts as eight. Three repeats are a
# tenth of a second at most, and each more is one more power of the text's length.
_MAX_WAYS: Final = 2048
_REPEAT: Final = 8
_MAX_TEXT: Final = 128

_TOKEN: Final = re.compile(
    r"""\\. | \[\^?\]?[^\]]*\] | (?P<repeat>[*+?]|\{\d*,?\d*\}) | (?P<group>[()|]) | .""",
    re.VERBOSE | re.DOTALL,
)


def judge(pattern: str) -> None:
    """Raises InvalidArgument for a pattern that might take long to match."""
    if len(pattern) > _MAX_PATTERN:
        return  # plain text, see `matches`
    varies = [False]  # for each open group, whether it matches in more ways than one
    alternatives = [1]
    closed = False  # whether a group that does has ended just now
    ways = 1
    for token in _TOKEN.finditer(pattern):
        if token["repeat"]:
            if closed:
                raise _refusal(pattern, "what it repeats can itself be matched in several ways")
            varies[-1] = True
            ways *= _REPEAT
        elif token["group"] == "(":
            varies.append(False)
            alternatives.append(1)
        elif token["group"] == "|":
            varies[-1] = True
            alternatives[-1] += 1
        closed = False
        if token["group"] == ")" and len(varies) > 1:
            closed = varies.pop()
            varies[-1] |= closed
            ways *= alternatives.pop()
    if ways > _MAX_WAYS:
        raise _refusal(pattern, "it has too many repeats and alternatives")


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern that passed `judge` is found in the text.

    One that isn't valid, or has over 256 characters, is plain text; so is any for a text of over
    128.
    """
    if pattern == text:
        return True
    try:
        if len(pattern) <= _MAX_PATTERN and len(text) <= _MAX_TEXT:
            return re.search(pattern, text) is not None
    except (re.error, OverflowError, RecursionError):
        pass  # `a{9999999999}`, a thousand parentheses
    return pattern in text


def _refusal(pattern: str, why: str) -> errdefs.EngineError:
    shown = pattern if len(pattern) <= 60 else f"{pattern[:60]}..."
    return errdefs.invalid(
        f"the filter's pattern {shown!r} might take too long to match: {why} (use a simpler one)"
    )
