"""The place in a Dockerfile that an error or a warning is about, as people want to see it."""

from __future__ import annotations

from wherry.build.events import Excerpt

_RULE = "--------------------"


def lines_of(excerpt: Excerpt) -> list[str]:
    """The file's name, and its lines with `>>>` before those that are meant, as buildx has it."""
    lines = [f"{excerpt.file}:{excerpt.line}", _RULE]
    for number, text in enumerate(excerpt.lines, excerpt.first):
        mark = ">>>" if excerpt.line <= number <= excerpt.end_line else "   "
        lines.append(f"{number:4} | {mark} {text}".rstrip())
    return [*lines, _RULE]
