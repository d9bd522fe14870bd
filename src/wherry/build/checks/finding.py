"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass

from wherry.build.checks.rules import Rule
from wherry.build.dockerfile import Location


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that is broken, how, and where."""

    rule: Rule
    message: str
    location: Location


def found(rule: Rule, location: Location, *things: str) -> Finding:
    """The rule's message, with what it names filled in."""
    return Finding(rule, rule.message.format(*things), location)
