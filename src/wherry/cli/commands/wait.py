"""`wherry wait`: blocks until containers have ended, and prints their exit codes."""

from __future__ import annotations

from wherry.cli.command import ANY_NUMBER, Command, Context
from wherry.cli.each import on_each
from wherry.cli.flags import Parsed
from wherry.cli.output import out_line


def _run(context: Context, parsed: Parsed) -> int:
    def wait(ref: str) -> None:
        out_line(str(context.client.wait(ref).result()["StatusCode"]))

    return on_each(parsed.arguments, wait)


WAIT = Command(
    "wherry wait CONTAINER [CONTAINER...]",
    "Wait until containers stop, then print their exit codes",
    _run,
    minimum=1,
    maximum=ANY_NUMBER,
    examples=(
        ("wherry wait job", "print the exit code of one container"),
        ("wherry wait $(wherry ps -q)", "wait for all that run"),
    ),
)
