"""`wherry rename`: another name for a container."""

from __future__ import annotations

from wherry.cli.command import Command, Context
from wherry.cli.errors import CliError, engine_error, told
from wherry.cli.flags import Parsed
from wherry.cli.output import err_line


def _run(context: Context, parsed: Parsed) -> int:
    old, new = (name.strip() for name in parsed.arguments)
    if not old or not new:
        raise CliError("neither old nor new names may be empty")
    try:
        context.client.rename(old, new)
    except engine_error() as error:
        err_line(told(error))
        raise CliError(f"failed to rename container named {old}") from error
    return 0


RENAME = Command(
    "wherry rename CONTAINER NEW_NAME",
    "Give a container another name",
    _run,
    minimum=2,
    maximum=2,
    examples=(
        ("wherry rename web web-old", "also while it runs"),
        ("wherry rename 8dfafdbc3a40 web", "by its ID"),
    ),
)
