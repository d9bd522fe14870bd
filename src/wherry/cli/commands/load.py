"""`wherry load`: images out of an archive."""

from __future__ import annotations

import os

from wherry.cli.command import Command, Context
from wherry.cli.errors import CliError
from wherry.cli.flags import Flag, Parsed
from wherry.cli.progress import show_messages
from wherry.cli.terminal import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 256 * 1024


def _run(context: Context, parsed: Parsed) -> int:
    path = parsed.text("input")
    # A file or a pipe gets the names of the images, and not every stage of every layer.
    quiet = parsed.switch("quiet") or not is_terminal(1)
    if not path and is_terminal(0):
        raise CliError("requested load from stdin, but stdin is empty (-i FILE reads a file)")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else 0
    except OSError as error:
        raise CliError(f"open {path}: {(error.strerror or '').lower()}") from error
    # A file cut while it is sent would look like one that ended there: its first error counts.
    show_messages(context.client.load(_pieces(fd, path), quiet))
    return 0


def _pieces(fd: int, path: str) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(fd, PIECE)
        except OSError as error:
            raise CliError(f"read {path or 'standard input'}: {error.strerror}") from error
        if not piece:
            return
        yield piece


LOAD = Command(
    "wherry load [OPTIONS]",
    "Load images from a tar archive or standard input",
    _run,
    flags=(
        Flag("input", "i", "Read from this file instead of STDIN", "string"),
        Flag("platform", "", "", "string", refused=True),
        Flag("quiet", "q", "Suppress the load output"),
    ),
    examples=(
        ("wherry load -i busybox.tar", "from a file"),
        ("docker save busybox | wherry load", "from another engine"),
    ),
)
