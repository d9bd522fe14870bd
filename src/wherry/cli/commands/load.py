"""`wherry load`: images out of an archive."""

from __future__ import annotations

from wherry.cli.command import Command, Context
from wherry.cli.errors import CliError
from wherry.cli.flags import Flag, Parsed
from wherry.cli.progress import show_messages
from wherry.cli.terminal import is_terminal
from wherry.cli.upload import open_input, pieces


def _run(context: Context, parsed: Parsed) -> int:
    path = parsed.text("input")
    # A file or a pipe gets the names of the images, and not every stage of every layer.
    quiet = parsed.switch("quiet") or not is_terminal(1)
    if not path and is_terminal(0):
        raise CliError("requested load from stdin, but stdin is empty (-i FILE reads a file)")
    fd = open_input(path)
    show_messages(context.client.load(pieces(fd, path), quiet))
    return 0


LOAD = Command(
    "wherry load [OPTIONS]",
    "Load images from a tar archive or standard input",
    _run,
    flags=(
        Flag("input", "i", "Read from this file instead of STDIN", "string"),
        Flag("platform", "", "", "string", refused="images here have one platform"),
        Flag("quiet", "q", "Suppress the load output"),
    ),
    examples=(
        ("wherry load -i busybox.tar", "from a file"),
        ("docker save busybox | wherry load", "from another engine"),
    ),
)
