"""Dockerfile text to lines: each instruction with what continues it.

Docker's Dockerfile reference, "Format", "Parser directives", "Here-documents". A pure function of
the text: what the instructions mean is another's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from wherry.build.dockerfile.errors import DockerfileError, Location, RefusalError, Source
from wherry.build.dockerfile.heredocs import announced
from wherry.build.dockerfile.instructions import Directive, Directives, Heredoc
from wherry.build.dockerfile.words import BLANKS, SPACE, json_words

SIZE_MAX: Final = 4 << 20
"""Bytes of a Dockerfile: what BuildKit's messages carry."""

_DirectiveName = Literal["syntax", "escape", "check"]
_NAMES: Final[tuple[_DirectiveName, ...]] = get_args(_DirectiveName)
_DIRECTIVE: Final = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*\Z")
_ESCAPES: Final = ("\\", "`")
_WITH_HEREDOCS: Final = ("RUN", "COPY", "ADD")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction's text, its continued lines put together, without its heredocs.

    `continued_to` is the last line before the heredocs, `gap` whether an empty one is among them.
    """

    text: str
    location: Location
    comments: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    continued_to: int
    gap: bool


@dataclass(frozen=True, slots=True)
class Text:
    """A text's lines, and what its directives say."""

    source: Source
    directives: Directives
    lines: tuple[Line, ...]


def decode(data: bytes, name: str) -> Source:
    """The text's lines. Refused: too many bytes, a zero byte."""
    nowhere = Location(1, 1, 1, Source(name, ()))
    if len(data) > SIZE_MAX:
        raise DockerfileError(
            f"the Dockerfile has {len(data)} bytes, which is more than the {SIZE_MAX} that one may "
            "have; files that an image needs are for COPY",
            nowhere,
        )
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    lines = text.split("\n")
    if not lines[-1]:
        del lines[-1]
    source = Source(name, tuple(lines))
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            at = Location(number, number, line.index("\0") + 1, source)
            raise DockerfileError(
                "a Dockerfile's text holds no zero byte, but this one does", at, parsing=True
            )
    return source


def read(source: Source) -> Text:
    """The instructions' lines. Raises DockerfileError, in Docker's words."""
    directives = _directives(source)
    reader = _Reader(source, directives)
    return Text(source, directives, tuple(reader.all()))


def _directives(source: Source) -> Directives:
    found: dict[_DirectiveName, Directive] = {}
    for number, line in enumerate(source.lines, 1):
        match = _DIRECTIVE.match(line.strip(SPACE))
        name = _directive_name(match[1]) if match else None
        if match is None or name is None:
            break
        location = Location(number, number, line.index("#") + 1, source)
        if name in found:
            raise DockerfileError(
                f"only one {name} parser directive can be used", location, parsing=True
            )
        if name == "escape" and match[2] not in _ESCAPES:
            raise DockerfileError(
                f"invalid escape token '{_printable(match[2])}' does not match ` or \\",
                location,
                parsing=True,
            )
        found[name] = Directive(name, _printable(match[2]), location)
    values = {name: directive.value for name, directive in found.items()}
    return Directives(
        syntax=values.get("syntax", ""),
        escape=values.get("escape", "\\"),
        check=values.get("check", ""),
        written=tuple(found.values()),
    )


def _directive_name(written: str) -> _DirectiveName | None:
    for name in _NAMES:
        if name == written.lower():
            return name
    return None


def _printable(text: str) -> str:
    """Without bytes that are no UTF-8: in comments they are nobody's concern."""
    return _SURROGATE.sub("\ufffd", text)


class _Reader:
    """A text being read from the top."""

    def __init__(self, source: Source, directives: Directives) -> None:
        self._source = source
        self._lines = source.lines
        self._escape = directives.escape
        self._at = len(directives.written)

    def all(self) -> list[Line]:
        found: list[Line] = []
        comments: list[str] = []
        while self._at < len(self._lines):
            raw = self._lines[self._at]
            text = raw.lstrip(SPACE).rstrip("\r")
            if text.startswith("#"):
                comments.append(_printable(text[1:].strip(SPACE)))
                self._at += 1
            elif not text:
                comments.clear()
                self._at += 1
            else:
                found.append(self._line(text, tuple(comments)))
                comments.clear()
        return found

    def _line(self, text: str, comments: tuple[str, ...]) -> Line:
        first = self._at
        raw = self._lines[first]
        column = len(raw) - len(raw.lstrip(SPACE)) + 1
        whole, gap = self._continued(text)
        continued_to = self._at
        location = Location(first + 1, self._at, column, self._source)
        self._refuse_other_bytes(location)
        heredocs = self._heredocs(whole, location)
        if heredocs:
            location = Location(first + 1, self._at, column, self._source)
            self._refuse_other_bytes(location)
        return Line(whole, location, comments, heredocs, continued_to, gap)

    def _continued(self, text: str) -> tuple[str, bool]:
        """The text with the lines that continue it; comments and empty lines are none."""
        self._at += 1
        parts: list[str] = []
        gap = False
        more, text = self._continues(text)
        parts.append(text)
        while more and self._at < len(self._lines):
            following = self._lines[self._at].rstrip("\r")
            self._at += 1
            bare = following.lstrip(SPACE)
            if bare.startswith("#"):
                continue
            if not bare:
                gap = True
                continue
            more, following = self._continues(following)
            parts.append(following)
        return "".join(parts), gap

    def _continues(self, text: str) -> tuple[bool, str]:
        """Whether a line goes on in the next one, and the line without the sign of it.

        One escape at the end continues; two are an escaped escape.
        """
        bare = text.rstrip(" \t")
        if not bare.endswith(self._escape) or bare.endswith(self._escape * 2):
            return False, text
        return True, bare[:-1]

    def _heredocs(self, text: str, location: Location) -> tuple[Heredoc, ...]:
        if "<<" not in text or not _may_have_heredocs(text):
            return ()
        return tuple(self._document(heredoc, location) for heredoc in announced(text))

    def _document(self, heredoc: Heredoc, location: Location) -> Heredoc:
        first = self._at
        while self._at < len(self._lines):
            line = self._lines[self._at].rstrip("\r")
            self._at += 1
            if (line.lstrip("\t") if heredoc.chomp else line) == heredoc.name:
                lines = self._lines[first : self._at - 1]
                content = "".join(f"{line}\n" for line in lines)
                return Heredoc(heredoc.name, content, heredoc.expand, heredoc.chomp)
        raise DockerfileError(
            f"unterminated heredoc: no line is {heredoc.name} alone",
            location.of("<<"),
            parsing=True,
        )

    def _refuse_other_bytes(self, location: Location) -> None:
        for number in range(location.line, location.end_line + 1):
            line = self._lines[number - 1]
            if line.isascii() or line.lstrip(SPACE).startswith("#"):
                continue
            if match := _SURROGATE.search(line):
                at = Location(number, number, match.start() + 1, self._source)
                raise DockerfileError("this is no UTF-8", at, parsing=True)


def _may_have_heredocs(text: str) -> bool:
    """Whether it is an instruction that takes documents, and not in its JSON form."""
    keyword, rest = keyword_of(text)
    if keyword.upper() == "ONBUILD":
        keyword, rest = keyword_of(rest)
    if keyword.upper() not in _WITH_HEREDOCS:
        return False
    try:
        return json_words(flags_of(rest)[1]) is None
    except RefusalError:
        return False


def keyword_of(text: str) -> tuple[str, str]:
    """An instruction's first word, and the rest."""
    keyword, *rest = BLANKS.split(text.strip(SPACE), maxsplit=1)
    return keyword, rest[0] if rest else ""


_FLAG_PART: Final = re.compile(r"""[^\s'"\\]+""")


def flags_of(text: str) -> tuple[tuple[str, ...], str]:
    """The words with `--` at the beginning, unquoted, and the rest; a bare `--` ends them.

    The backslash escapes here, whatever the directive says.
    """
    flags: list[str] = []
    rest = text.lstrip(SPACE)
    at = len(text) - len(rest)
    while text.startswith("--", at):
        word, at = _flag(text, at)
        if word == "--":
            break
        flags.append(word)
        while at < len(text) and text[at] in SPACE:
            at += 1
    return tuple(flags), text[at:].strip(SPACE)


def _flag(text: str, at: int) -> tuple[str, int]:
    """One word from `at` on, without its quotes and backslashes, and where it ends."""
    parts: list[str] = []
    quote = ""
    while at < len(text):
        char = text[at]
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif not quote and char in SPACE:
            break
        elif char == "\\":
            at += 1
            parts.append(text[at : at + 1])
        elif match := _FLAG_PART.match(text, at):
            parts.append(match[0])
            at = match.end()
            continue
        else:
            parts.append(char)
        at += 1
    return "".join(parts), at
