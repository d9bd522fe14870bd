"""How a command ends when it can't do what was asked."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.command import Command
    from wherry.failure import EngineError

# Exit codes of `docker run`, which scripts rely on.
FAILED = 1
CLI_FAILED = 125
CANNOT_EXECUTE = 126
NOT_FOUND = 127


class CliError(Exception):
    """A sentence for standard error, and the exit code. An empty sentence was said already."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class UsageError(CliError):
    """The command line itself is wrong: the command's usage line is shown too."""

    def __init__(self, message: str, code: int = CLI_FAILED) -> None:
        super().__init__(message, code)
        self.command: Command | None = None


def engine_error() -> type[EngineError]:
    """The class to catch, for `except engine_error() as error`.

    Python evaluates that expression only when something was raised, so that a command that goes
    well does not pay for the import.
    """
    from wherry.failure import EngineError

    return EngineError


def told(error: EngineError) -> str:
    """The error's words: those of the daemon are said to be its, as Docker does."""
    from wherry.cli.colours import RED, painted
    from wherry.client.refusals import DaemonError

    if isinstance(error, DaemonError):
        return f"{painted('Error response from daemon:', RED, 2)} {error.message}"
    return f"{painted('wherry:', RED, 2)} {error.message}"


def status_of(error: EngineError) -> int:
    """The status that the daemon answered with, or 0 if this is no answer."""
    from wherry.client.refusals import DaemonError

    return error.status if isinstance(error, DaemonError) else 0


def exit_code_of(message: str) -> int:
    """The code of a `run` that the daemon refused, told by its words, as Docker's CLI does."""
    if "executable file not found" in message or "no such file or directory" in message:
        return NOT_FOUND
    if "system cannot find the file" in message:
        return NOT_FOUND
    if "permission denied" in message or "is a directory" in message:
        return CANNOT_EXECUTE
    return CLI_FAILED
