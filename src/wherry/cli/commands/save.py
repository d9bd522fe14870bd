"""`wherry save`: images into an archive."""

from __future__ import annotations

import os

from wherry.cli.command import ANY_NUMBER, Command, Context
from wherry.cli.errors import CliError
from wherry.cli.flags import Flag, Parsed
from wherry.cli.meter import Meter, metered
from wherry.cli.output import out_bytes
from wherry.cli.terminal import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def _run(context: Context, parsed: Parsed) -> int:
    path = parsed.text("output")
    if not path and is_terminal(1):
        raise CliError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if path:
        _judge(path)
    archive = metered(context.client.save(parsed.arguments), Meter("Saved"))
    if not path:
        for piece in archive:
            out_bytes(piece)
    else:
        try:
            write_archive(path, archive)
        except OSError as error:
            raise CliError(f"write {path}: {(error.strerror or '').lower()}") from error
    return 0


def _judge(path: str) -> None:
    """Refuse before anything is fetched what cannot be written."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise CliError(f'invalid output path: directory "{folder}" does not exist')
    if os.path.isdir(path):
        raise CliError(f'invalid output path: "{path}" is a directory')


def write_archive(path: str, archive: Iterable[bytes]) -> None:
    """Write a file that is there whole or not at all; into a pipe or a device as it comes."""
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb", buffering=0) as output:
            _write_all(output.fileno(), archive)
        return
    path = os.path.realpath(path)
    beside = f"{path}.{os.getpid()}.part"
    # An image may hold secrets, so it is for its owner first.
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(fd, archive)
        os.rename(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    finally:
        os.close(fd)


def _write_all(fd: int, archive: Iterable[bytes]) -> None:
    for piece in archive:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(fd, rest) :]


SAVE = Command(
    "wherry save [OPTIONS] IMAGE [IMAGE...]",
    "Save images to a tar archive",
    _run,
    minimum=1,
    maximum=ANY_NUMBER,
    flags=(
        Flag("output", "o", "Write to this file instead of STDOUT", "string"),
        Flag("platform", "", "", "string", refused="images here have one platform"),
    ),
    examples=(
        ("wherry save -o tools.tar busybox:1 alpine", "two images in a file"),
        ("wherry save busybox > busybox.tar", "for another engine's load"),
    ),
)
