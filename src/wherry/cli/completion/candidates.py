"""What the word at the end of a command line is, and so what it may become."""

from __future__ import annotations

from wherry.cli.completion.values import ARGUMENTS, FILTERS, OPTIONS, OWN_OPTIONS, expand
from wherry.cli.flags import parse
from wherry.cli.program import COMMANDS, GLOBAL_FLAGS, GROUPS, find_command
from wherry.cli.usage import GROUP_SUMMARIES, member_summaries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wherry.cli.command import Context
    from wherry.cli.flags import Flag


def candidates(context: Context, words: Sequence[str]) -> list[str]:
    """What the last of `words` may be; each begins with it, or names a kind such as `:files`.

    Explanations follow a tab. `context` is bound to the daemon that the words before it name.
    """
    *before, current = words or [""]
    line = _Line(GLOBAL_FLAGS, before, interspersed=False)
    if line.wanting is not None:
        return []
    if line.values:
        context.options = parse(GLOBAL_FLAGS, before, interspersed=False)
    if not line.arguments:
        if current.startswith("-"):
            return _beginning(current, _flags(GLOBAL_FLAGS))
        return _beginning(current, _names())
    name, rest = _command(line.arguments)
    if not name:
        return _beginning(current, _names())
    if name in GROUPS and not rest:
        return _beginning(current, _told(member_summaries(GROUPS[name], COMMANDS)))
    if name not in COMMANDS:
        return []
    return _of_command(context, name, rest, current)


def _names() -> list[str]:
    plain = {name: summary for name, (_, _, summary) in COMMANDS.items() if " " not in name}
    groups = {name: GROUP_SUMMARIES.get(name, f"Manage {name}s") for name in GROUPS}
    return _told({**plain, **groups, "help": "Help about any command"})


def _told(summaries: dict[str, str]) -> list[str]:
    return [f"{name}\t{summaries[name]}" for name in sorted(summaries)]


def _command(arguments: list[str]) -> tuple[str, list[str]]:
    """The command, or the group without one, and what follows; `help` is looked through.

    The command is empty where nothing but `help` was said, and ` ` where there is none.
    """
    first, *rest = arguments
    if first == "help":
        return _command(rest) if rest else ("", [])
    if first in GROUPS and rest:
        return GROUPS[first].get(rest[0], " "), rest[1:]
    return first, rest


class _Line:
    """What was typed before: options with their values, arguments, and an option that waits."""

    def __init__(self, flags: Sequence[Flag], words: Sequence[str], *, interspersed: bool) -> None:
        self.arguments: list[str] = []
        self.values: dict[str, str] = {}
        self.ended = False
        self._long = {flag.name: flag for flag in flags}
        self._short = {flag.short: flag for flag in flags if flag.short}
        wanting: Flag | None = None
        for word in words:
            if wanting is not None:
                self.values[wanting.name] = word
                wanting = None
            elif self.ended or not word.startswith("-") or word == "-":
                self.arguments.append(word)
                self.ended = self.ended or not interspersed
            elif word == "--":
                self.ended = True
            else:
                wanting = self._take(word)
        self.wanting = wanting

    def _take(self, word: str) -> Flag | None:
        """Note an option; the flag that still waits for its value."""
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            flag = self._long.get(name)
            if flag is not None and equals:
                self.values[name] = value
        else:
            # Of letters together the first that takes a value has the rest as its value.
            flag, value, equals = None, "", ""
            for at, letter in enumerate(word[1:], 2):
                flag = self._short.get(letter)
                if flag is not None and flag.metavar:
                    value = word[at:].removeprefix("=")
                    self.values[flag.name] = value
                    break
            equals = value
        return flag if flag is not None and flag.metavar and not equals else None


def _of_command(context: Context, name: str, before: Sequence[str], current: str) -> list[str]:
    command = find_command(name)
    line = _Line(command.flags, before, interspersed=command.interspersed)
    if line.wanting is not None:
        return _values(context, name, line.wanting, current)
    if current.startswith("-") and not line.ended:
        option, equals, value = current.partition("=")
        flag = next((one for one in command.flags if f"--{one.name}" == option), None)
        if equals and flag is not None:
            found = _values(context, name, flag, value)
            return [one if one.startswith(":") else f"{option}={one}" for one in found]
        return _beginning(current, _flags(command.flags))
    kinds = ARGUMENTS.get(name, ())
    if not kinds:
        return []
    at = min(len(line.arguments), len(kinds) - 1)
    found = expand(context, kinds[at])
    taken = set(line.arguments)
    return _beginning(current, [one for one in found if one.partition("\t")[0] not in taken])


def _values(context: Context, name: str, flag: Flag, current: str) -> list[str]:
    if flag.name == "filter":
        return _filters(context, FILTERS.get(name, {}), current)
    kinds = OWN_OPTIONS.get((name, flag.name), OPTIONS.get(flag.name, ()))
    return _beginning(current, expand(context, kinds))


def _filters(context: Context, known: dict[str, tuple[str, ...]], current: str) -> list[str]:
    key, equals, value = current.partition("=")
    if not equals:
        return _beginning(current, [f"{name}=" for name in known])
    return [f"{key}={one}" for one in _beginning(value, expand(context, known.get(key, ())))]


def _flags(flags: Iterable[Flag]) -> list[str]:
    shown = {flag.name: flag.help for flag in flags if not flag.hidden and not flag.refused}
    shown.setdefault("help", "Print usage")
    return _told({f"--{name}": shown[name] for name in shown})


def _beginning(current: str, found: Iterable[str]) -> list[str]:
    return [one for one in found if one.startswith((":", current))]
