"""A list of patterns, of which the last one that matches decides.

The rules are those of moby/patternmatcher, which the Docker CLI, dockerd and BuildKit share, with
what it does to each line of a .dockerignore before:

- A line that begins with `#` is a comment; white space around a pattern does not count; `!` makes
  it an exception. It is cleaned like a path (`a//b/../c/` is `a/c`), and loses a `/` before it.
- What matches a directory matches all below it, unless a later exception does not.
- A pattern is only looked at where it could change the verdict, and what was not looked at for a
  directory does not hold below it. So `["d/x", "!d"]` ignores `d/x`.
"""

from __future__ import annotations

from wherry import errdefs
from wherry.ignore import linear, syntax
from wherry.ignore.syntax import PatternError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wherry.ignore.syntax import Glob

MATCHED = 1
"""The bit of a verdict (see `Patterns.judge`) that says that the path is matched."""

_MAX_LINE = 1 << 16
_MAX_PATTERNS = 10_000
_SHORT = 512
"""Up to this length a path may be matched by backtracking over two wildcards: 131,000 steps."""

# What Go's unicode.IsSpace knows; str.strip would also take four separators of ASCII.
_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000"
)


class Patterns:
    """Patterns in their order, ready to be matched with as many paths as there are.

    Matching takes time in proportion to a path's length, whatever the patterns are. Any number of
    threads may use the same.
    """

    def __init__(self, patterns: Sequence[str], where: str = "") -> None:
        """Raises InvalidArgument for what is no pattern, and for more than 10,000 of them.

        `where` begins the message: the file that they come from.
        """
        self._groups: list[_Group] = []
        self._exceptions: list[Glob] = []
        before = f"{where}: " if where else ""
        if len(patterns) > _MAX_PATTERNS:
            raise errdefs.invalid(f"{before}more than {_MAX_PATTERNS} patterns")
        collected: list[tuple[bool, list[Glob]]] = []
        for text in patterns:
            text = text.strip(_SPACE)
            if not text:
                continue
            try:
                exception, glob = _read(clean(text))
            except PatternError as error:
                raise errdefs.invalid(f"{before}the pattern {text!r} {error}") from None
            if not collected or collected[-1][0] is not exception:
                collected.append((exception, []))
            collected[-1][1].append(glob)
            if exception:
                self._exceptions.append(glob)
        self._groups = [_Group(exception, globs) for exception, globs in collected]

    @classmethod
    def parse(cls, text: bytes, where: str = ".dockerignore") -> Patterns:
        """The patterns of an ignore file. Raises InvalidArgument as the constructor does."""
        return cls(lines(text, where), where)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def matches(self, path: str) -> bool:
        """Whether `path` is matched, itself or by a directory above it.

        `path` is relative and normal. What is no UTF-8 in it is escaped as os.fsdecode does.
        """
        verdict = 0
        end = path.find("/")
        while end >= 0:
            verdict = self.judge(path[:end], verdict)
            end = path.find("/", end + 1)
        return bool(self.judge(path, verdict) & MATCHED)

    def judge(self, path: str, parent: int = 0) -> int:
        """The verdict on `path`, given that on its directory; 0 for what has none above it.

        For who walks a tree: nothing is matched twice. A verdict has the bit MATCHED or not; the
        others are for the verdicts below it.
        """
        matched = False
        verdict = 0
        bit = MATCHED
        for group in self._groups:
            bit <<= 1
            if parent & bit or (group.exception is matched and group.matches(path)):
                verdict |= bit
                matched = not group.exception
        return verdict | MATCHED if matched else verdict

    def may_spare(self, directory: str) -> bool:
        """Whether anything below a directory that is matched may not be: if not, nobody needs to
        look. False is certain, True is not."""
        below = directory + "/"
        return any(_may_match_below(glob, below) for glob in self._exceptions)


def _may_match_below(glob: Glob, below: str) -> bool:
    if glob.prefix.startswith(below):
        return True
    return glob.kind != syntax.EXACT and below.startswith(glob.prefix)


class _Group:
    """Neighbours that are all exceptions, or none of them: for these the order does not matter."""

    def __init__(self, exception: bool, globs: Sequence[Glob]) -> None:
        self.exception = exception
        self._exact = {glob.text for glob in globs if glob.kind == syntax.EXACT}
        self._prefixes = tuple(glob.text for glob in globs if glob.kind == syntax.PREFIX)
        self._suffixes = tuple(glob.text for glob in globs if glob.kind == syntax.SUFFIX)
        # `**/a` matches what ends with `/a`, and `a` itself.
        self._exact.update(suffix[1:] for suffix in self._suffixes if suffix[:1] == "/")
        wild = [glob for glob in globs if glob.kind == syntax.WILD]
        tame = [glob for glob in wild if glob.wildcards <= 2]
        # Of three wildcards each would be tried with each of the others.
        self._always = [linear.Matcher(glob) for glob in wild if glob.wildcards > 2]
        self._if_long = [linear.Matcher(glob) for glob in tame]
        self._regex = _compiled(tame) if tame else None

    def matches(self, path: str) -> bool:
        if path in self._exact or path.startswith(self._prefixes) or path.endswith(self._suffixes):
            return True
        if self._regex is not None:
            if len(path) <= _SHORT:
                if self._regex(path):
                    return True
            elif any(matcher.matches(path) for matcher in self._if_long):
                return True
        return any(matcher.matches(path) for matcher in self._always)


def _compiled(globs: Sequence[Glob]) -> Callable[[str], object]:
    import re  # 10 ms, which a list of plain names need not cost the command line

    return re.compile("|".join(glob.regex() for glob in globs)).match


def _read(text: str) -> tuple[bool, Glob]:
    """(whether it is an exception, the pattern) of a text that has been cleaned."""
    exception = text.startswith("!")
    if exception:
        text = text[1:]
        if not text:
            raise PatternError("is an exception from nothing")
    return exception, syntax.read(text)


def lines(text: bytes, where: str) -> list[str]:
    """The patterns of an ignore file, as Docker's reader (moby/patternmatcher/ignorefile) has them.

    Raises InvalidArgument for a line of 64 KiB.
    """
    patterns: list[str] = []
    for number, raw in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if len(raw) >= _MAX_LINE:
            raise errdefs.invalid(f"{where}: line {number} is over {_MAX_LINE} bytes long")
        if raw.startswith(b"#"):
            continue
        pattern = raw.decode("utf-8", "surrogateescape").strip(_SPACE)
        if not pattern:
            continue
        exception = "!" if pattern[0] == "!" else ""
        if exception:
            pattern = pattern[1:].strip(_SPACE)
        if pattern:
            pattern = clean(pattern)
            if len(pattern) > 1 and pattern[0] == "/":
                pattern = pattern[1:]
        patterns.append(exception + pattern)
    return patterns


def clean(path: str) -> str:
    """As Go's filepath.Clean: the shortest path that says the same, by its text alone."""
    rooted = path.startswith("/")
    parts: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            parts.append(part)
        elif parts and parts[-1] != "..":
            parts.pop()
        elif not rooted:
            parts.append(part)
    joined = "/".join(parts)
    return "/" + joined if rooted else joined or "."
