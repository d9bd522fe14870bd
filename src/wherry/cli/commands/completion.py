"""`wherry completion`, and what the shells ask when they have it."""

from __future__ import annotations

from wherry.cli.command import ANY_NUMBER, Command, Context
from wherry.cli.errors import CliError
from wherry.cli.flags import Parsed
from wherry.cli.output import out, out_line


def _run(context: Context, parsed: Parsed) -> int:
    from wherry.cli.completion.scripts import SCRIPTS

    shell = parsed.arguments[0]
    if shell not in SCRIPTS:
        raise CliError(f"no completion for {shell!r} (there is bash, fish and zsh)")
    out(SCRIPTS[shell])
    return 0


def _complete(context: Context, parsed: Parsed) -> int:
    from wherry.cli.completion.candidates import candidates

    context.may_start_daemon = False
    for candidate in candidates(context, parsed.arguments):
        out_line(candidate)
    return 0


COMPLETION = Command(
    "wherry completion bash|fish|zsh",
    "Make a shell complete this program's commands",
    _run,
    minimum=1,
    maximum=1,
    examples=(
        ('eval "$(wherry completion bash)"', "in ~/.bashrc; for zsh the same in ~/.zshrc"),
        ("wherry completion fish > ~/.config/fish/completions/wherry.fish", "for fish"),
    ),
)
COMPLETE = Command(
    "wherry __complete WORD...",
    "Say what could stand at a command line's end",
    _complete,
    maximum=ANY_NUMBER,
    passed_on=True,
)
