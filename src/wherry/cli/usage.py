"""The help texts, made from the commands' declarations."""

from __future__ import annotations

from wherry.cli.colours import BOLD, painted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wherry.cli.command import Command
    from wherry.cli.flags import Flag

    Commands = Mapping[str, tuple[str, str, str]]

WIDTH = 80
_COMMON = ("run", "ps", "build", "images", "logs", "stop", "rm", "load", "version", "info")
GROUP_SUMMARIES = {
    "builder": "Manage builds",
    "container": "Manage containers",
    "daemon": "Run the daemon, and manage the one that runs",
    "image": "Manage images",
    "system": "Manage Wherry",
}


def program_usage(
    commands: Commands,
    groups: Mapping[str, object],
    flags: Sequence[Flag],
    not_yet: Iterable[str],
) -> str:
    lines = [_title("Usage:  ") + "wherry [OPTIONS] COMMAND", "", "Containers, in Python"]
    summaries = {name: summary for name, (_, _, summary) in commands.items() if " " not in name}
    common = {name: summaries.pop(name) for name in _COMMON}
    # A command that is a group too, as `daemon`, is told once.
    summaries = {name: summary for name, summary in summaries.items() if name not in groups}
    managing = {name: GROUP_SUMMARIES.get(name, f"Manage {name}s") for name in sorted(groups)}
    for title, members in (
        ("Common Commands:", common),
        ("Management Commands:", managing),
        ("Commands:", dict(sorted(summaries.items()))),
    ):
        lines += ["", _title(title), *_table(members)]
    lines += ["", _title("Global Options:"), *_options(flags)]
    missing = _wrap(", ".join(sorted(not_yet)), WIDTH - 2)
    lines += ["", _title("Docker's, and not supported yet:"), *(f"  {line}" for line in missing)]
    lines += ["", "Run 'wherry COMMAND --help' for more information on a command."]
    return "\n".join(lines)


def group_usage(group: str, members: Mapping[str, str], commands: Commands) -> str:
    lines = [_title("Usage:  ") + f"wherry {group} COMMAND"]
    lines += ["", GROUP_SUMMARIES.get(group, f"Manage {group}s"), "", _title("Commands:")]
    lines += _table(member_summaries(members, commands))
    lines += ["", f"Run 'wherry {group} COMMAND --help' for more information on a command."]
    return "\n".join(lines)


def member_summaries(members: Mapping[str, str], commands: Commands) -> dict[str, str]:
    """A group's commands, of several names for one the shortest; that one's help has them all."""
    shortest: dict[str, str] = {}
    for name, target in members.items():
        if target not in shortest or (len(name), name) < (len(shortest[target]), shortest[target]):
            shortest[target] = name
    return {name: commands[target][2] for target, name in sorted(shortest.items(), key=_name)}


def _name(pair: tuple[str, str]) -> str:
    return pair[1]


def command_usage(command: Command, names: Sequence[str] = ()) -> str:
    """`names` are all that it has."""
    lines = [_title("Usage:  ") + command.usage, "", command.summary]
    if len(names) > 1:
        shown = _wrap(", ".join(f"wherry {name}" for name in names), WIDTH - 2)
        lines += ["", _title("Aliases:"), *(f"  {line}" for line in shown)]
    options = _options(command.flags)
    if options:
        lines += ["", _title("Options:"), *options]
    refused = _options(command.flags, refused=True)
    if refused:
        lines += ["", _title("Docker's, and not supported yet:"), *refused]
    if command.examples:
        lines += ["", _title("Examples:")]
        for line, remark in command.examples:
            lines += [f"  # {remark}", f"  {line}"]
    return "\n".join(lines)


def _title(text: str) -> str:
    return painted(text, BOLD, 1)


def _table(members: Mapping[str, str]) -> list[str]:
    width = max(10, *map(len, members))
    return [f"  {name:<{width}}  {summary}" for name, summary in members.items()]


def _options(flags: Sequence[Flag], *, refused: bool = False) -> list[str]:
    shown = sorted(
        (flag for flag in flags if not flag.hidden and bool(flag.refused) is refused),
        key=lambda flag: flag.name,
    )
    heads = [_head(flag) for flag in shown]
    column = max(map(len, heads), default=0) + 3
    lines: list[str] = []
    for flag, head in zip(shown, heads, strict=True):
        wrapped = _wrap(_explanation(flag), max(WIDTH - column, 30))
        lines.append((head.ljust(column) + wrapped[0]).rstrip())
        lines += [" " * column + line for line in wrapped[1:]]
    return lines


def _head(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    metavar = f" {flag.metavar}" if flag.metavar else ""
    return f"  {short}--{flag.name}{metavar}"


def _explanation(flag: Flag) -> str:
    if flag.refused:
        return flag.refused if isinstance(flag.refused, str) else ""
    text = flag.help
    if flag.later:
        text += " (not yet)"
    if flag.default is True or (isinstance(flag.default, str) and flag.default):
        shown = str(flag.default).lower() if flag.default is True else f'"{flag.default}"'
        text += f" (default {shown})"
    return text


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
