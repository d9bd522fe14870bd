"""Words to values: quotes, escapes and variables, as BuildKit's shell lexer takes them.

It is like a shell, and is none: single quotes keep everything, double quotes keep blanks, `$NAME`
and `${NAME}` stand for values, and so do these, of which those with a colon take an empty value
for an unset one:

    ${NAME:-word} ${NAME-word}        the word, if it is not set
    ${NAME:+word} ${NAME+word}        the word, if it is set
    ${NAME:?words} ${NAME?words}      refused with these words, if it is not set
    ${NAME#pattern} ${NAME##pattern}  without what the pattern matches at the beginning, at least
    ${NAME%pattern} ${NAME%%pattern}    and at most; the same at the end
    ${NAME/pattern/text}              the first match replaced; `//` replaces all

Everything after the sign may have quotes and variables in it. What is not set is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from wherry.build.dockerfile import patterns
from wherry.build.dockerfile.errors import RefusalError
from wherry.build.dockerfile.words import SPACE, quoted

_NAME: Final = re.compile(r"[0-9]+|[@*#?$!-]|[^\W\d]\w*")
_DEPTH_MAX: Final = 50
_VALUES_MAX: Final = 1 << 20
"""Characters that variables may bring into all texts of an instruction: `ENV A=$A$A` doubles them
each time, and `ENV B=$A C=$A` has them more than once."""


def expand_word(text: str, env: Mapping[str, str], escape: str) -> str:
    """The text without quotes and escapes, and with the values of its variables.

    Refused: quotes and braces that do not end, and what `${NAME:?words}` asks for.
    """
    return Lexer(env, escape).text(text)


class Lexer:
    """Expands texts, and notes of which names it found a value (`matched`) and of which none.

    With `raw_quotes` and `raw_escapes` these stay in the text; with `plain_quotes` a quote is a
    character like any other; with `keep_unset` a variable without a value stays as it is written.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        escape: str = "\\",
        *,
        raw_quotes: bool = False,
        raw_escapes: bool = False,
        plain_quotes: bool = False,
        keep_unset: bool = False,
    ) -> None:
        self.matched: set[str] = set()
        self.unmatched: set[str] = set()
        self._env = env
        self._escape = escape
        self._raw_quotes = raw_quotes
        self._raw_escapes = raw_escapes
        self._plain_quotes = plain_quotes
        self._keep_unset = keep_unset
        self._plain = re.compile(f"[^'\"$/}}{re.escape(escape)}]+")
        self._text = ""
        self._at = 0
        self._depth = 0
        self._grown = 0

    def text(self, text: str) -> str:
        """The expanded text."""
        return "".join(part for part, _ in self._all(text))

    def words(self, text: str) -> list[str]:
        """The words of the expanded text: a value's blanks separate, quoted ones do not."""
        words: list[str] = []
        word: list[str] = []
        for part, may_split in self._all(text):
            if not may_split:
                word.append(part)
                continue
            first = True
            for piece in _SPACES.split(part):
                if not first and any(word):
                    words.append("".join(word))
                    word = []
                word.append(piece)
                first = False
        if any(word):
            words.append("".join(word))
        return words

    def _all(self, text: str) -> list[tuple[str, bool]]:
        self._text, self._at, self._depth = text, 0, 0
        try:
            return self._until("", self._raw_escapes)
        except RefusalError as error:
            raise RefusalError(
                f"failed to process {_shown(text)}: {error.message}", text
            ) from error

    def _next(self) -> str:
        """The next character, "" at the end."""
        char = self._text[self._at : self._at + 1]
        self._at += 1
        return char

    def _until(self, stop: str, raw_escapes: bool) -> list[tuple[str, bool]]:
        """What comes before `stop`, which is taken too, in pieces, each with whether its blanks
        separate words; a `stop` of "" is the text's end."""
        before, self._raw_escapes = self._raw_escapes, raw_escapes
        found: list[tuple[str, bool]] = []
        while (char := self._next()) != stop:
            if char == "":
                raise RefusalError(f"unexpected end of statement while looking for matching {stop}")
            if char == "$":
                found.append((self._variable(), True))
            elif char == "'" and not self._plain_quotes:
                found.append((self._single_quoted(), False))
            elif char == '"' and not self._plain_quotes:
                found.append((self._double_quoted(), False))
            elif char == self._escape:
                found.append((self._escaped(), False))
            elif match := self._plain.match(self._text, self._at - 1):
                found.append((match[0], True))
                self._at = match.end()
            else:
                found.append((char, True))
        self._raw_escapes = before
        return found

    def _escaped(self) -> str:
        char = self._next()
        return self._escape + char if self._raw_escapes else char

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            self._at = len(self._text)
            raise _endless("single")
        inner, self._at = self._text[self._at : end], end + 1
        return f"'{inner}'" if self._raw_quotes else inner

    def _double_quoted(self) -> str:
        found: list[str] = []
        while (char := self._next()) != '"':
            if char == "":
                raise _endless("double")
            if char == "$":
                char = self._variable()
            elif char == self._escape:
                char = self._escaped_in_quotes()
            elif match := self._plain.match(self._text, self._at - 1):
                char = match[0]
                self._at = match.end()
            found.append(char)
        inner = "".join(found)
        return f'"{inner}"' if self._raw_quotes else inner

    def _escaped_in_quotes(self) -> str:
        """It escapes what means something here, and is itself before all else."""
        kept = self._escape if self._raw_escapes else ""
        following = self._text[self._at : self._at + 1]
        if following and following in f'"${self._escape}':
            self._at += 1
            return kept + following
        return kept if not following else kept + self._escape

    def _variable(self) -> str:
        """The value of what stands behind a `$`."""
        if not self._text.startswith("{", self._at):
            name = self._name()
            if not name:
                return "$"
            value = self._value(name)
            return f"${name}" if value is None and self._keep_unset else value or ""
        self._at += 1
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise RefusalError("the substitutions are nested too deeply")
        value = self._in_braces()
        self._depth -= 1
        return value

    def _in_braces(self) -> str:
        if self._text[self._at : self._at + 1] in ("{", "}", ":"):
            raise RefusalError("syntax error: bad substitution")
        name = self._name()
        sign = self._next()
        if sign == ":":
            sign += self._next()
        if sign in ("", ":"):
            raise RefusalError("syntax error: missing '}'")
        if sign == "}":
            value = self._value(name)
            return f"${{{name}}}" if value is None and self._keep_unset else value or ""
        if sign == "/":
            return self._replaced(name)
        if sign[-1] not in "-+?#%":
            raise RefusalError(f"unsupported modifier ({sign}) in substitution")
        return self._modified(name, sign)

    def _modified(self, name: str, sign: str) -> str:
        word = self._inner("}", raw_escapes=sign[-1] in "#%")
        value = self._value(name)
        if value is None and self._keep_unset:
            return f"${{{name}{sign}{word}}}"
        is_set = bool(value) if sign[0] == ":" else value is not None
        if sign[-1] == "-":
            return (value or "") if is_set else word
        if sign[-1] == "+":
            return word if is_set else ""
        if sign[-1] == "?":
            if is_set:
                return value or ""
            missing = "unset" if value is None else "empty"
            raise RefusalError(f"{name}: {word or f'is not allowed to be {missing}'}")
        longest = word.startswith(sign[-1])
        cut = patterns.without_beginning if sign[-1] == "#" else patterns.without_end
        return cut(value or "", word[longest:], longest=longest)

    def _replaced(self, name: str) -> str:
        every = self._text.startswith("/", self._at)
        self._at += every
        pattern = self._inner("/", raw_escapes=True)
        by = self._inner("}", raw_escapes=True)
        value = self._value(name)
        if value is None and self._keep_unset:
            return f"${{{name}/{pattern}/{by}}}"
        return patterns.replaced(value or "", pattern, by, every=every)

    def _inner(self, stop: str, *, raw_escapes: bool) -> str:
        """A text within braces. If the whole text ends in it, it is the brace that is missing."""
        try:
            return "".join(part for part, _ in self._until(stop, raw_escapes))
        except RefusalError as error:
            if self._at < len(self._text):
                raise
            missing = "'}'" if stop == "}" else "'/' in ${}"
            raise RefusalError(f"syntax error: missing {missing}") from error

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _value(self, name: str) -> str | None:
        value = self._env.get(name)
        (self.unmatched if value is None else self.matched).add(name)
        self._grown += len(value or "")
        if self._grown > _VALUES_MAX:
            raise RefusalError(f"${name} and others make more than {_VALUES_MAX} characters of it")
        return value


_SPACES: Final = re.compile(f"[{SPACE}]+")


def _endless(quote: str) -> RefusalError:
    return RefusalError(f"unexpected end of statement while looking for matching {quote}-quote")


def _shown(text: str) -> str:
    return quoted(text if len(text) <= 200 else text[:200] + "...")
