"""The command line's options, with pflag's semantics, which Docker's users have in their fingers.

`--name value`, `--name=value`, `-n value`, `-nvalue`, `-n=value`, `-it` for `-i -t`, `--rm=false`;
`--` ends the options, and so does the first argument of a command that isn't interspersed. Of a
repeated option the last value counts, except for lists, which keep all.

`argparse` can't tell `-e=A` from `-e A`, guesses abbreviations, and costs 12 ms.
"""

from __future__ import annotations

from wherry.cli.errors import CLI_FAILED, CliError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Value = str | int | bool
    Convert = Callable[[str], Value]

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class Flag:
    """One option.

    `metavar` is the word for its value in the help; "" makes it a switch. `many` collects a list.
    `convert` raises ValueError with what is wrong. `refused` says that Docker has it and Wherry
    does not, and what to do instead; `later` that daemons refuse it so far. A `hidden` one works
    without being in the help.
    """

    __slots__ = ("convert", "default", "help", "hidden", "later", "many", "metavar", "name",
                 "refused", "short", "target")  # fmt: skip

    def __init__(
        self,
        name: str,
        short: str = "",
        help: str = "",  # noqa: A002  what it is everywhere else
        metavar: str = "",
        *,
        convert: Convert | None = None,
        many: bool = False,
        default: Value | None = None,
        refused: bool | str = False,
        later: bool = False,
        hidden: bool = False,
        target: str = "",
    ) -> None:
        self.name = name
        self.short = short
        self.help = help
        self.metavar = metavar
        self.convert = convert
        self.many = many
        self.default = default
        self.refused = refused
        self.later = later
        self.hidden = hidden
        self.target = target or name

    def shown(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class Parsed:
    """The options and arguments of one command line."""

    def __init__(self, flags: Iterable[Flag]) -> None:
        self.arguments: list[str] = []
        self._values: dict[str, Value] = {}
        self._lists: dict[str, list[str]] = {}
        self._defaults = {flag.target: flag.default for flag in flags if not flag.hidden}

    def put(self, flag: Flag, value: Value) -> None:
        if flag.many:
            self._lists.setdefault(flag.target, []).append(str(value))
        else:
            self._values[flag.target] = value

    def given(self, name: str) -> bool:
        """Whether the user said it at all."""
        return name in self._values or name in self._lists

    def text(self, name: str) -> str:
        value = self._values.get(name, self._defaults.get(name))
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        return self._lists.get(name, [])

    def number(self, name: str) -> int | None:
        """None if it was not given and has no default."""
        value = self._values.get(name, self._defaults.get(name))
        return value if isinstance(value, int) else None

    def switch(self, name: str) -> bool:
        return bool(self._values.get(name, self._defaults.get(name)))


def parse(flags: Sequence[Flag], argv: Sequence[str], *, interspersed: bool = True) -> Parsed:
    """Read `argv`. Raises UsageError for what it can't mean, CliError for a refused option.

    `--help`, and `-h` where that means nothing else, are the switch `help` whatever follows.
    """
    return _Reader(flags, argv, interspersed).read()


class _Reader:
    def __init__(self, flags: Sequence[Flag], argv: Sequence[str], interspersed: bool) -> None:
        self._long = {flag.name: flag for flag in flags}
        self._short = {flag.short: flag for flag in flags if flag.short}
        helping = Flag("help", help="Print usage")
        self._long.setdefault("help", helping)
        self._short.setdefault("h", helping)
        self._argv = argv
        self._at = 0
        self._interspersed = interspersed
        self._parsed = Parsed(flags)

    def read(self) -> Parsed:
        while self._at < len(self._argv):
            word = self._argv[self._at]
            self._at += 1
            if word == "--":
                self._take_rest()
            elif word.startswith("--"):
                self._read_long(word)
            elif word.startswith("-") and word != "-":
                self._read_shorts(word)
            else:
                self._parsed.arguments.append(word)
                if not self._interspersed:
                    self._take_rest()
        return self._parsed

    def _take_rest(self) -> None:
        self._parsed.arguments += self._argv[self._at :]
        self._at = len(self._argv)

    def _read_long(self, word: str) -> None:
        name, equals, value = word[2:].partition("=")
        flag = self._long.get(name)
        if flag is None:
            raise UsageError(f"unknown flag: --{name}")
        if not equals:
            value = "true" if not flag.metavar else self._next(flag, f"--{name}")
        self._put(flag, value)

    def _read_shorts(self, word: str) -> None:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self._short.get(letter)
            if flag is None:
                raise UsageError(f"unknown shorthand flag: {letter!r} in {word}")
            if letters.startswith("="):
                value, letters = letters[1:], ""
            elif not flag.metavar:
                value = "true"
            elif letters:
                value, letters = letters, ""
            else:
                value = self._next(flag, f"{letter!r} in {word}")
            self._put(flag, value)

    def _next(self, flag: Flag, shown: str) -> str:
        if self._at == len(self._argv):
            if flag.refused:
                raise _refusal(flag)
            raise UsageError(f"flag needs an argument: {shown}")
        self._at += 1
        return self._argv[self._at - 1]

    def _put(self, flag: Flag, text: str) -> None:
        try:
            value = _convert(flag, text)
        except ValueError as error:
            raise UsageError(
                f'invalid argument "{text}" for "{flag.shown()}" flag: {error}'
            ) from error
        if flag.refused and value is not False:
            raise _refusal(flag)
        self._parsed.put(flag, value)


def _refusal(flag: Flag) -> CliError:
    hint = f" ({flag.refused})" if isinstance(flag.refused, str) else ""
    return CliError(f"--{flag.name} is not supported yet{hint}", CLI_FAILED)


def _convert(flag: Flag, text: str) -> Value:
    if not flag.metavar:
        return boolean(text)
    return flag.convert(text) if flag.convert else text


def boolean(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("must be true or false")


def integer(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return int(text)  # `int(text, 0)` refuses leading zeros
    except ValueError:
        raise ValueError("must be a whole number") from None


def filter_pair(text: str) -> str:
    """`name=value`, as `--filter` wants it."""
    if "=" not in text:
        raise ValueError("bad format of filter (expected name=value)")
    return text


def filters_of(pairs: Iterable[str]) -> dict[str, list[str]]:
    """The API's form of `--filter` options."""
    filters: dict[str, list[str]] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        filters.setdefault(name.strip().lower(), []).append(value.strip())
    return filters


FILTER = Flag(
    "filter", "f", "Filter output based on conditions provided", "filter",
    many=True, convert=filter_pair,
)  # fmt: skip
FORMAT_HELP = (
    "Format output: 'table', 'table TEMPLATE', 'json', or a template in Go's syntax "
    "such as '{{.ID}}'"
)
