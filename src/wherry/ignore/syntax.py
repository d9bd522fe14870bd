"""What one pattern means: read in two steps, as moby/patternmatcher does it.

First it becomes the text of a regular expression of Go's, by rules that know nothing of character
classes: `[?]` becomes `[[^/]]`, which matches `[]`, `^]` and `/]`. Who has such patterns has them
tested with Docker, so that text is what is read here: into elements, of which `Glob.regex` makes
an expression of Python's, and `linear` a matcher that never goes back.

Not taken over are what only escapes and braces could ask for, of regular expressions of which no
pattern was meant to be one: alternatives, repetitions, assertions, Unicode's classes. Such patterns
are refused.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXACT, PREFIX, SUFFIX, WILD = "exact", "prefix", "suffix", "wild"

ONE, MANY, DEEP, START = "one", "many", "deep", "start"

_ESCAPED = frozenset(".+()$")  # moby means to escape `|{}` as well, and does not
_NOT_SLASH = "[^/]"
_NAMED: dict[str, Sequence[tuple[int, int]]] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": ((48, 57),),
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
_LETTERS = {
    "d": _NAMED["digit"],
    "s": ((9, 10), (12, 13), (32, 32)),
    "w": _NAMED["word"],
}
_CONTROLS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_LAST = 0x10FFFF


class PatternError(ValueError):
    """What is wrong with a pattern, as the end of a sentence that begins with it."""


class Ranges:
    """A set of characters, as ascending ranges of their numbers, or all but these."""

    __slots__ = ("_key", "negated", "ranges")

    def __init__(self, ranges: Sequence[tuple[int, int]], negated: bool = False) -> None:
        self.ranges = tuple(ranges)
        self.negated = negated
        self._key = (self.ranges, negated)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __contains__(self, number: int) -> bool:
        return any(low <= number <= high for low, high in self.ranges) is not self.negated

    @property
    def literal(self) -> str:
        """The one character that this is, or nothing."""
        if self.negated or len(self.ranges) != 1 or self.ranges[0][0] != self.ranges[0][1]:
            return ""
        return chr(self.ranges[0][0])

    def regex(self) -> str:
        if literal := self.literal:
            return literal if literal.isalnum() else "\\" + literal
        inside = "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in self.ranges)
        return f"[{'^' if self.negated else ''}{inside}]"


NOT_SLASH = Ranges(((47, 47),), negated=True)
NOT_NEWLINE = Ranges(((10, 10),), negated=True)

Element = tuple[str, Ranges]
"""ONE of the characters; MANY of them, or none; DEEP: nothing, or whatever ends with a slash on one
line; START: nothing, at the path's beginning."""


class Glob:
    """A pattern that was understood.

    By its kind it matches the path that is `text`, or one that begins with it, or ends, or that
    all `elements` match. Whatever matches begins with `prefix`.
    """

    __slots__ = ("elements", "kind", "prefix", "text")

    def __init__(self, kind: str, text: str, elements: Sequence[Element] = ()) -> None:
        self.kind = kind
        self.text = text
        self.elements = elements
        self.prefix = text if kind in (EXACT, PREFIX) else _literal_prefix(elements)

    @property
    def wildcards(self) -> int:
        """How many of the elements match more or less, as it takes."""
        return sum(what in (MANY, DEEP) for what, _ in self.elements)

    def regex(self) -> str:
        """For re.match; a whole path matches, or none of it."""
        return "".join(_regex_of(element) for element in self.elements) + r"\Z"


def _literal_prefix(elements: Sequence[Element]) -> str:
    prefix: list[str] = []
    for what, ranges in elements:
        if what != ONE or not ranges.literal:
            break
        prefix.append(ranges.literal)
    return "".join(prefix)


def _regex_of(element: Element) -> str:
    what, ranges = element
    if what == DEEP:
        return "(?:.*/)?"
    if what == START:
        return r"\A"
    return ranges.regex() + ("*" if what == MANY else "")


def read(text: str) -> Glob:
    """What a pattern means that has been cleaned. Raises PatternError."""
    _check(text)
    kind, expression = _expression(text)
    if kind == PREFIX:
        return Glob(kind, text[:-2])
    if kind == SUFFIX:
        return Glob(kind, text[2:])
    if kind == EXACT:
        return Glob(kind, text)
    return Glob(kind, text, _simplified(_Reader(expression).elements()))


def _check(text: str) -> None:
    """Raises PatternError where Go's filepath.Match calls a pattern bad that it compares with `.`.

    It does so up to the first star behind what is no `.`; what is wrong further on comes out when
    the regular expression is read, by other rules: `a*[x-]` is good, and `a[x-]` is bad.
    """
    at = len(text) - len(text.lstrip("*"))
    end = _check_until_star(text, at)
    if text[at:end] in (".", "?", "\\."):
        _check_until_star(text, end + len(text[end:]) - len(text[end:].lstrip("*")))


def _check_until_star(text: str, at: int) -> int:
    while at < len(text) and text[at] != "*":
        if text[at] == "\\":
            at += 2
            if at > len(text):
                raise PatternError("ends with a backslash that escapes nothing")
        elif text[at] == "[":
            at = _end_of_class(text, at + 1)
        else:
            at += 1
    return at


def _end_of_class(text: str, at: int) -> int:
    if text[at : at + 1] == "^":
        at += 1
    first = True
    while first or text[at : at + 1] != "]":
        at = _end_of_class_character(text, at)
        if text[at] == "-":
            at = _end_of_class_character(text, at + 1)
        first = False
    return at + 1


def _end_of_class_character(text: str, at: int) -> int:
    character = text[at : at + 1]
    if character in ("", "-", "]"):
        raise PatternError("has a `[` without what belongs to it")
    at += 2 if character == "\\" else 1
    if at >= len(text):
        raise PatternError("has a `[` without its `]`")
    return at


def _expression(text: str) -> tuple[str, str]:
    """(kind, regular expression) that moby makes of a pattern."""
    kind = EXACT
    pieces: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if text.startswith("**", at - 1):
            first = at == 1
            at += 1
            at += text.startswith("/", at)
            if at < len(text):
                pieces.append("(.*/)?")
                kind = WILD
            elif kind == EXACT:
                kind = PREFIX
            else:
                pieces.append(".*")
                kind = WILD
            if first:
                kind = SUFFIX
        elif character in "*?[]":
            pieces.append({"*": "[^/]*", "?": _NOT_SLASH}.get(character, character))
            kind = WILD
        elif character == "\\":
            pieces.append(text[at - 1 : at + 1])
            at += 1
            kind = WILD
        else:
            pieces.append("\\" + character if character in _ESCAPED else character)
    return kind, "".join(pieces)


def _simplified(elements: list[Element]) -> list[Element]:
    """The same with fewer wildcards: two of a kind in a row are as good as one."""
    found: list[Element] = []
    for element in elements:
        if not (found and element[0] in (MANY, DEEP, START) and found[-1] == element):
            found.append(element)
    return found


class _Reader:
    """Reads the regular expressions that `_expression` writes, by Go's grammar (regexp/syntax)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def elements(self) -> list[Element]:
        found: list[Element] = []
        while self._at < len(self._text):
            found.append(self._element())
        return found

    def _takes(self, text: str) -> bool:
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _element(self) -> Element:
        if self._takes("(.*/)?"):
            return DEEP, NOT_NEWLINE
        if self._takes(".*"):
            return MANY, NOT_NEWLINE
        if self._takes("^"):
            return START, NOT_NEWLINE
        ranges = self._class() if self._takes("[") else self._character()
        return (MANY, ranges) if self._takes("*") else (ONE, ranges)

    def _character(self) -> Ranges:
        character = self._text[self._at]
        if character in "|{":
            self._judge_special(character)
        found = self._range_of_letters()
        if found is not None:
            return found
        number = self._number()
        return Ranges(((number, number),))

    def _judge_special(self, character: str) -> None:
        """A brace that repeats nothing is a brace."""
        inside, closed, _ = self._text[self._at + 1 :].partition("}")
        if character == "|" or (
            closed and inside.replace(",", "", 1).isdigit() and inside[0] != ","
        ):
            raise PatternError(
                f"has a `{character}`, which Docker takes for part of a regular expression:"
                f" write `\\{character}`"
            )

    def _range_of_letters(self) -> Ranges | None:
        r"""`\d` and its like."""
        letter = self._text[self._at + 1 : self._at + 2]
        if self._text[self._at] != "\\" or letter.lower() not in _LETTERS:
            return None
        self._at += 2
        return Ranges(_LETTERS[letter.lower()], negated=letter.isupper())

    def _number(self) -> int:
        character = self._text[self._at]
        self._at += 1
        if character != "\\":
            return ord(character)
        character = self._text[self._at : self._at + 1]
        self._at += 1
        if not character:
            raise PatternError("ends with a backslash that escapes nothing")
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character.isascii() and not character.isalnum():
            return ord(character)
        raise PatternError(f"escapes {character!r}, which needs no escape: write it as it is")

    def _class(self) -> Ranges:
        negated = self._takes("^")
        found: list[tuple[int, int]] = []
        start = self._at
        while self._at == start or not self._takes("]"):
            if self._at >= len(self._text):
                raise PatternError("has a `[` without its `]`")
            found += self._class_item()
        return Ranges(_merged(found), negated)

    def _class_item(self) -> Sequence[tuple[int, int]]:
        text = self._text
        if text.startswith("[:", self._at) and (end := text.find(":]", self._at + 2)) >= 0:
            return self._named(text[self._at + 2 : end], end + 2)
        letters = self._range_of_letters()
        if letters is not None:
            return _inverted(letters.ranges) if letters.negated else letters.ranges
        low = high = self._number()
        if text.startswith("-", self._at) and not text.startswith("-]", self._at):
            self._at += 1
            if self._at >= len(text):
                raise PatternError("has a `[` without its `]`")
            high = self._number()
            if high < low:
                raise PatternError(f"has a range from {chr(low)!r} back to {chr(high)!r}")
        return ((low, high),)

    def _named(self, name: str, end: int) -> Sequence[tuple[int, int]]:
        inverted = name.startswith("^")
        ranges = _NAMED.get(name[1:] if inverted else name)
        if ranges is None:
            raise PatternError(f"has the class [:{name}:], which does not exist")
        self._at = end
        return _inverted(ranges) if inverted else ranges


def _merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def _inverted(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    after = 0
    for low, high in _merged(ranges):
        if low > after:
            found.append((after, low - 1))
        after = high + 1
    return [*found, (after, _LAST)]
