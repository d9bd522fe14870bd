"""`wherry daemon`: becomes `wherryd`."""

from __future__ import annotations

import os
import sys

from wherry.cli.command import ANY_NUMBER, Command, Context
from wherry.cli.errors import CLI_FAILED, CliError
from wherry.cli.flags import Parsed


def _run(context: Context, parsed: Parsed) -> int:
    program = os.path.join(os.path.dirname(sys.executable), "wherryd")
    host = ["-H", context.host] if context.host else []
    try:
        os.execv(program, [program, *host, *parsed.arguments])
    except OSError as error:
        raise CliError(f"can't execute {program}: {error.strerror}", CLI_FAILED) from error


DAEMON = Command(
    "wherry daemon [OPTIONS OF WHERRYD]",
    "Run the daemon, as wherryd does",
    _run,
    maximum=ANY_NUMBER,
    interspersed=False,
    passed_on=True,
    examples=(
        ("wherry daemon", "in the foreground, with its defaults"),
        ("wherry daemon --data-root /srv/wherry", "with its data elsewhere"),
    ),
)
