"""The words of an instruction, before their variables have values."""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn

from wherry.build.dockerfile.errors import RefusalError

SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What is white in Unicode, as Go has it: `str.isspace` without four control characters."""

BLANKS: Final = re.compile(r"[\t\v\f\r ]+")
"""What separates the words of lists."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def split(text: str, escape: str) -> list[str]:
    """The words of a text, with their quotes and escapes still in them."""
    plain = re.compile(f"[^'\"{re.escape(escape)}{SPACE}]+")
    words: list[str] = []
    parts: list[str] = []
    quote, at = "", 0
    while at < len(text):
        char = text[at]
        if char in SPACE and not quote:
            if parts:
                words.append("".join(parts))
            parts = []
        elif char == quote:
            quote = ""
            parts.append(char)
        elif not quote and char in "'\"":
            quote = char
            parts.append(char)
        elif char == escape and quote != "'":
            if at + 1 == len(text):
                break  # it escapes nothing
            at += 1
            parts.append(escape + text[at])
        elif match := plain.match(text, at):
            parts.append(match[0])
            at = match.end() - 1
        else:
            parts.append(char)
        at += 1
    return [*words, "".join(parts)] if parts else words


def quoted(text: str) -> str:
    """A text in an error, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def json_words(text: str) -> list[str] | None:
    """The strings of the JSON array that a text begins with; None if it begins with none.

    Refused is an array of other things.
    """
    text = text.lstrip(SPACE)
    if not text.startswith("["):
        return None
    try:
        # What follows the array is passed over, as Docker does.
        array, _ = _decoder.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in array):
        raise RefusalError(
            "when using JSON array syntax, arrays must be comprised of strings only", text
        )
    # Half a character, which only JSON's escapes can write, has no UTF-8.
    return [_SURROGATE.sub("\ufffd", item) for item in array]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)
