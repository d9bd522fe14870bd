"""`wherry system check`, `migrate-storage` and `install-units`: become programs of `wherryd`.

They work without a daemon, so there is no API to ask.
"""

from __future__ import annotations

import os
import sys

from wherry.cli.command import Command, Context
from wherry.cli.errors import CLI_FAILED, CliError
from wherry.cli.flags import Flag, Parsed

_USAGE_ERROR = 2  # 1 says that something is wrong with the data root
_DATA_ROOT = Flag("data-root", "", "Whose (default: as for wherryd)", "path")


def _become(context: Context, program: str, words: list[str]) -> int:
    if context.host:
        raise CliError("-H does not go with this: it works without a daemon", _USAGE_ERROR)
    path = os.path.join(os.path.dirname(sys.executable), "wherryd")
    try:
        os.execv(path, [path, program, *words])
    except OSError as error:
        raise CliError(f"can't execute {path}: {error.strerror}", CLI_FAILED) from error


def _data_root(parsed: Parsed) -> list[str]:
    path = parsed.text("data-root")
    return [f"--data-root={os.path.abspath(path)}"] if path else []


def _check(context: Context, parsed: Parsed) -> int:
    words = _data_root(parsed)
    if parsed.switch("repair"):
        words.append("--repair")
    if parsed.given("format"):
        words.append(f"--format={parsed.text('format')}")
    return _become(context, "check", words)


def _migrate(context: Context, parsed: Parsed) -> int:
    return _become(context, "migrate-storage", [*parsed.arguments, *_data_root(parsed)])


def _install(context: Context, parsed: Parsed) -> int:
    return _become(context, "install-units", parsed.arguments)


CHECK = Command(
    "wherry system check [OPTIONS]",
    "Verify what a data root keeps, and repair it",
    _check,
    usage_code=_USAGE_ERROR,
    flags=(
        _DATA_ROOT,
        Flag("repair", "", "Make anew what can be, and set aside what can't"),
        Flag("format", "", "Only json", "string"),
    ),
    examples=(
        ("wherry system check", "say what is wrong; the exit code is 1 if anything is"),
        ("wherry system check --repair", "mend it; nothing is deleted, see DATA-ROOT/set-aside"),
    ),
)
MIGRATE = Command(
    "wherry system migrate-storage [OPTIONS] erofs|overlay|native",
    "Move a data root to another storage driver",
    _migrate,
    usage_code=_USAGE_ERROR,
    flags=(_DATA_ROOT,),
    minimum=1,
    maximum=1,
    examples=(
        ("wherry system migrate-storage erofs", "if it is interrupted, run it again"),
        ("wherry system migrate-storage --data-root /srv/wherry overlay", "of another data root"),
    ),
)
INSTALL = Command(
    "wherry system install-units [FOLDER]",
    "Write units for systemd, so that it starts the daemon",
    _install,
    usage_code=_USAGE_ERROR,
    maximum=1,
    examples=(
        ("wherry system install-units", "to /etc/systemd/system; it says how to go on"),
        ("wherry system install-units /tmp", "elsewhere, to look at them first"),
    ),
)
