"""The globs of the `reference` filter: Go's `path.Match` over familiar names.

`*` and `?` do not match a slash; `[a-z]` and `[^a-z]` are classes; a backslash takes the next
character as it is. A pattern fits a reference if it fits its familiar form with the tag or
without it.
"""

import re

from wherry import errdefs
from wherry.reference.name import Reference

_STAR = "[^/]*"


class Pattern:
    """A compiled glob. Raises InvalidArgument on a malformed one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._expression = re.compile(_expression(text), re.DOTALL)

    def matches(self, reference: Reference) -> bool:
        match = self._expression.match
        return bool(match(reference.familiar()) or match(reference.familiar_name()))


def _expression(glob: str) -> str:
    """The glob as a regular expression that takes linear time per star.

    What follows a star is taken at its leftmost place and never tried elsewhere (an atomic
    group), as Go does: the next star reaches everything that another place would. Only what
    follows the last star is bound to the end.
    """
    first, *rest = _chunks(glob)
    if not rest:
        return first + r"\Z"
    middle = "".join(f"(?>{_STAR}?{chunk})" for chunk in rest[:-1])
    return rf"{first}{middle}{_STAR}{rest[-1]}\Z"


def _chunks(glob: str) -> list[str]:
    """The expressions before, between and after the stars."""
    chunks = [""]
    at = 0
    while at < len(glob):
        char = glob[at]
        if char == "*":
            chunks.append("")
        elif char == "?":
            chunks[-1] += "[^/]"
        elif char == "[":
            expression, at = _character_class(glob, at)
            chunks[-1] += expression
        else:
            literal, at = _literal(glob, at)
            chunks[-1] += re.escape(literal)
        at += 1
    return chunks


def _literal(glob: str, at: int) -> tuple[str, int]:
    """The character at `at`, a backslash taken off, and where it ends."""
    if glob[at] != "\\":
        return glob[at], at
    if at + 1 == len(glob):
        raise _malformed(glob)
    return glob[at + 1], at + 1


def _character_class(glob: str, start: int) -> tuple[str, int]:
    """The class that opens at `start`, as a regular expression, and where its bracket closes."""
    at = start + 1
    negated = glob.startswith("^", at)
    at += negated
    ranges: list[str] = []
    while not (glob.startswith("]", at) and ranges):
        low, at = _class_member(glob, at)
        high = low
        if glob.startswith("-", at):
            high, at = _class_member(glob, at + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            # Go matches nothing in a range that runs backwards, where `re` refuses it.
            ranges.append("")
    members = "".join(ranges)
    if not members:
        return ("." if negated else "(?!)"), at
    return f"[{'^' if negated else ''}{members}]", at


def _class_member(glob: str, at: int) -> tuple[str, int]:
    if at >= len(glob) or glob[at] in "-]":
        raise _malformed(glob)
    literal, at = _literal(glob, at)
    return literal, at + 1


def _malformed(glob: str) -> errdefs.EngineError:
    return errdefs.invalid(f"invalid reference filter {glob!r}: syntax error in pattern")
