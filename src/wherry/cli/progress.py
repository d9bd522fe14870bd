"""The daemon's messages about its progress, for people and for files."""

from __future__ import annotations

from wherry.cli.errors import CliError
from wherry.cli.output import encode, err_bytes, out_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.client.documents import ProgressMessage


def show_messages(
    messages: Iterable[ProgressMessage], *, to_stderr: bool = False, quiet: bool = False
) -> None:
    """Print each message on a line; of a thing's progress only that it changed its stage.

    Raises CliError for a message that is an error.
    """
    write = err_bytes if to_stderr else out_bytes
    stages: dict[str, str] = {}
    for message in messages:
        detail = message.get("errorDetail")
        problem = message.get("error") or (detail["message"] if detail else "")
        if problem:
            raise CliError(problem)
        text = _text(message, stages)
        if text and not quiet:
            write(encode(text))


def _text(message: ProgressMessage, stages: dict[str, str]) -> str:
    if "stream" in message:
        return message["stream"]
    status = message.get("status", "")
    name = message.get("id", "")
    if not status or (message.get("progressDetail") and stages.get(name) == status):
        return ""
    stages[name] = status
    return f"{name}: {status}\n" if name else f"{status}\n"
