"""The `wherry` command. Starting fast is one of its features, so nothing is imported for nothing.

`wherry --version` answers before any import; every other command imports its own module and what
that needs. `tests/cli/test_startup.py` counts the modules.
"""

import sys
from posix import _exit

from wherry import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main(argv: list[str]) -> int:
    """Run the command line `argv` (without the program's name); the exit code."""
    if argv in (["--version"], ["-v"]):
        print(f"Wherry version {__version__}")
        return 0
    from wherry.cli.program import run_program

    return run_program(argv)


def leave(code: int) -> "NoReturn":
    """End the process with `code`, without the interpreter's clean-up.

    It frees, object by object, what the kernel frees at once: 3 ms of every command.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = code or 1
    _exit(code)
