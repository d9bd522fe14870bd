"""`wherry import`: a root file system's tar becomes an image."""

from __future__ import annotations

from wherry.cli.command import Command, Context
from wherry.cli.errors import CliError
from wherry.cli.flags import Flag, Parsed
from wherry.cli.progress import show_messages
from wherry.cli.terminal import is_terminal
from wherry.cli.upload import open_input, pieces


def _run(context: Context, parsed: Parsed) -> int:
    source, *name = parsed.arguments
    if source.startswith(("http://", "https://")):
        raise CliError(
            f"importing from a URL is not supported yet (curl {source} | wherry import -)"
        )
    path = "" if source == "-" else source
    if not path and is_terminal(0):
        raise CliError("requested import from stdin, but stdin is a terminal (give it a FILE)")
    fd = open_input(path)
    messages = context.client.import_image(
        pieces(fd, path),
        name=name[0] if name else "",
        message=parsed.text("message"),
        changes=parsed.texts("change"),
        platform=parsed.text("platform"),
    )
    show_messages(messages)
    return 0


IMPORT = Command(
    "wherry import [OPTIONS] FILE|- [REPOSITORY[:TAG]]",
    "Make an image of a root file system's tar archive",
    _run,
    minimum=1,
    maximum=2,
    flags=(
        Flag("change", "c", "Apply a Dockerfile's instruction to the image", "list", many=True),
        Flag("message", "m", "Set the image's message", "string"),
        Flag("platform", "", "Set the image's platform", "string"),
    ),
    examples=(
        ("wherry import rootfs.tar.zst mine:1", "from a file, compressed or not"),
        ("tar -C root -c . | wherry import -c 'CMD [\"sh\"]' - mine:2", "with what it runs"),
    ),
)
