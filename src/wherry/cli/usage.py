"""The help texts, made from the commands' declarations."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry.cli.command import Command
    from wherry.cli.flags import Flag

WIDTH = 80


def program_usage(commands: Mapping[str, tuple[str, str, str]], flags: Sequence[Flag]) -> str:
    lines = ["Usage:  wherry [OPTIONS] COMMAND", "", "Containers, in Python", "", "Commands:"]
    width = max(map(len, commands))
    lines += [f"  {name:<{width}}  {summary}" for name, (_, _, summary) in commands.items()]
    lines += ["", "Global options:", *_options(flags), ""]
    lines += ["Run 'wherry COMMAND --help' for more information on a command."]
    return "\n".join(lines)


def group_usage(
    group: str, members: Mapping[str, str], commands: Mapping[str, tuple[str, str, str]]
) -> str:
    lines = [f"Usage:  wherry {group} COMMAND", "", "Commands:"]
    width = max(10, *map(len, members))
    lines += [
        f"  {name:<{width}}  {commands[target][2]}" for name, target in sorted(members.items())
    ]
    lines += ["", f"Run 'wherry {group} COMMAND --help' for more information on a command."]
    return "\n".join(lines)


def command_usage(command: Command) -> str:
    lines = [f"Usage:  {command.usage}", "", command.summary]
    options = _options(command.flags)
    if options:
        lines += ["", "Options:", *options]
    if command.examples:
        lines += ["", "Examples:"]
        for line, remark in command.examples:
            lines += [f"  # {remark}", f"  {line}"]
    return "\n".join(lines)


def _options(flags: Sequence[Flag]) -> list[str]:
    shown = sorted(
        (flag for flag in flags if not flag.hidden and not flag.refused), key=lambda flag: flag.name
    )
    heads = [_head(flag) for flag in shown]
    column = max(map(len, heads), default=0) + 3
    lines: list[str] = []
    for flag, head in zip(shown, heads, strict=True):
        wrapped = _wrap(flag.help, max(WIDTH - column, 30))
        lines.append(head.ljust(column) + wrapped[0])
        lines += [" " * column + line for line in wrapped[1:]]
    return lines


def _head(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    metavar = f" {flag.metavar}" if flag.metavar else ""
    return f"  {short}--{flag.name}{metavar}"


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
