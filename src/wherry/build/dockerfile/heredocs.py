"""Which words announce here-documents: `<<EOF`, `<<-EOF`, `3<<"EOF"`."""

from __future__ import annotations

import re
from typing import Final

from wherry.build.dockerfile.errors import RefusalError
from wherry.build.dockerfile.expansion import Lexer
from wherry.build.dockerfile.instructions import Heredoc

_HEREDOC: Final = re.compile(r"[0-9]*<<(-?)([^<]+)\Z")


def announced(line: str) -> list[Heredoc]:
    """The documents that a line announces, without their content yet."""
    try:
        words = Lexer({}, raw_quotes=True, raw_escapes=True, keep_unset=True).words(line)
    except RefusalError:
        return []  # quotes that do not end are the shell's to refuse
    return [heredoc for word in words if (heredoc := heredoc_of(word)) is not None]


def heredoc_of(word: str) -> Heredoc | None:
    """The document that a word announces; None if it announces none."""
    match = _HEREDOC.match(word)
    if match is None:
        return None
    try:
        names = Lexer({}, keep_unset=True).words(match[2])
        raw = Lexer({}, raw_quotes=True, keep_unset=True).words(match[2])
    except RefusalError:
        return None
    if len(names) != 1 or len(raw) != 1:
        return None
    return Heredoc(names[0], "", _quotes(names[0]) == _quotes(raw[0]), match[1] == "-")


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')
