"""The words of an instruction: quotes, escapes and variables, as Docker's build takes them.

It is like a shell, and is none: single quotes keep everything, double quotes keep blanks, `$NAME`
and `${NAME}` stand for values, `${NAME:-word}`, `${NAME:+word}` and `${NAME:?word}` (and without
the colon, by which an empty value counts as set) for what they stand for in sh(1). What is not set
is empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, NoReturn

from wherry import errdefs
from wherry.errdefs import EngineError

_NAME: Final = re.compile(r"[0-9]+|[@*#?$!-]|[^\W\d]\w*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DEPTH_MAX: Final = 50


def split(text: str, escape: str) -> list[str]:
    """The words of a text, with their quotes and escapes still in them."""
    words: list[str] = []
    word, quote, at = "", "", 0
    while at < len(text):
        char = text[at]
        if char.isspace() and not quote:
            if word:
                words.append(word)
            word = ""
            at += 1
            continue
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif char == escape and quote != "'":
            if at + 1 == len(text):
                break  # it escapes nothing
            at += 1
            char += text[at]
        word += char
        at += 1
    return [*words, word] if word else words


def expand(text: str, env: Mapping[str, str], escape: str) -> str:
    """The text without quotes and escapes, and with the values of its variables.

    Raises InvalidArgument for quotes and braces that do not end, and as `${NAME:?word}` asks.
    """
    try:
        return _Expansion(text, env, escape).all()
    except EngineError as error:
        raise errdefs.invalid(f"failed to process {quoted(text)}: {error.message}") from error


def quoted(text: str) -> str:
    """A text in an error, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def json_words(text: str) -> list[str] | None:
    """The strings of the JSON array that a text begins with; None if it begins with none.

    Raises InvalidArgument for an array of other things.
    """
    text = text.lstrip()
    if not text.startswith("["):
        return None
    try:
        # What follows the array is passed over, as Docker does.
        array, _ = _decoder.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in array):
        raise errdefs.invalid(
            "when using JSON array syntax, arrays must be comprised of strings only"
        )
    # Half a character, which only JSON's escapes can write, has no UTF-8.
    return [_SURROGATE.sub("\ufffd", item) for item in array]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)


class _Expansion:
    """One text being read from left to right."""

    def __init__(self, text: str, env: Mapping[str, str], escape: str) -> None:
        self._text = text
        self._env = env
        self._escape = escape
        self._at = 0
        self._depth = 0

    def all(self) -> str:
        return self._until("")

    def _next(self) -> str:
        """The next character, "" at the end."""
        char = self._text[self._at : self._at + 1]
        self._at += 1
        return char

    def _until(self, stop: str) -> str:
        """What comes before `stop`, which is taken too; "" is the text's end."""
        found: list[str] = []
        while (char := self._next()) != stop:
            if char == "":
                raise errdefs.invalid(f"syntax error: missing '{stop}'")
            if char == "'":
                found.append(self._single_quoted())
            elif char == '"':
                found.append(self._double_quoted())
            elif char == "$":
                found.append(self._variable())
            elif char == self._escape:
                found.append(self._next())
            else:
                found.append(char)
        return "".join(found)

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise _endless("single")
        quoted, self._at = self._text[self._at : end], end + 1
        return quoted

    def _double_quoted(self) -> str:
        found: list[str] = []
        while (char := self._next()) != '"':
            if char == "":
                raise _endless("double")
            if char == "$":
                char = self._variable()
            elif char == self._escape:
                following = self._next()
                # It escapes what means something here, and is itself before all else.
                char = following if following in ('"', "$", self._escape, "") else char + following
            found.append(char)
        return "".join(found)

    def _variable(self) -> str:
        """The value of what stands behind a `$`."""
        if not self._text.startswith("{", self._at):
            name = self._name()
            return self._env.get(name, "") if name else "$"
        self._at += 1
        name = self._name()
        if not name:
            raise errdefs.invalid("syntax error: bad substitution")
        mark = self._next()
        if mark == "}":
            return self._env.get(name, "")
        with_colon = mark == ":"
        if with_colon:
            mark = self._next()
        if mark == "":
            raise errdefs.invalid("syntax error: missing '}'")
        if mark not in "-+?":
            raise errdefs.invalid(f"unsupported modifier ({mark}) in substitution")
        return self._alternative(name, mark, with_colon)

    def _alternative(self, name: str, mark: str, with_colon: bool) -> str:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise errdefs.invalid("the substitutions are nested too deeply")
        word = self._until("}")
        self._depth -= 1
        value = self._env.get(name)
        is_set = bool(value) if with_colon else value is not None
        if mark == "+":
            return word if is_set else ""
        if is_set:
            return value or ""
        if mark == "?":
            raise errdefs.invalid(f"{name}: {word or 'is not allowed to be unset'}")
        return word

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]


def _endless(quote: str) -> EngineError:
    return errdefs.invalid(f"unexpected end of statement while looking for matching {quote}-quote")
