"""What a build is sent: PATH, URL or `-`, the Dockerfile, and further contexts."""

from __future__ import annotations

import os

from wherry.cli.errors import CliError
from wherry.cli.upload import pieces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wherry.cli.flags import Parsed
    from wherry.client.buildcontext import FolderContext

_URLS = ("http://", "https://", "git://", "ssh://", "git@", "github.com/")


class Source:
    """`query` and `contexts` say what the daemon is to use; `body` is the archive that it is sent,
    or `dockerfile` that alone, for a context which is elsewhere.
    """

    def __init__(self) -> None:
        self.query: list[tuple[str, str]] = []
        self.contexts: dict[str, object] = {}
        self.body: Iterable[bytes] | None = None
        self.dockerfile: bytes | None = None


def read_source(parsed: Parsed) -> Source:
    """What the command line says to send. Raises CliError for what is not there."""
    place = parsed.arguments[0]
    file = parsed.text("file")
    further = _further(parsed)
    source = Source()
    folders = {name: path for name, path in further.items() if not _is_remote(path)}
    source.contexts = {name: path for name, path in further.items() if name not in folders}
    if place == "-":
        _read_stdin(source, file, folders)
    elif os.path.isdir(place):
        _read_folder(source, place, file, folders)
    elif place.startswith(_URLS):
        _read_remote(source, place, file, folders)
    elif os.path.exists(place):
        raise CliError(f"unable to prepare context: {place} is not a directory")
    else:
        raise CliError(f'unable to prepare context: path "{place}" not found')
    return source


def _further(parsed: Parsed) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in parsed.texts("build-context"):
        name, _, path = text.partition("=")
        if not _is_remote(path) and not os.path.isdir(path):
            raise CliError(f"--build-context {text}: there is no directory {path}")
        found[name] = path
    return found


def _is_remote(path: str) -> bool:
    return path.startswith((*_URLS, "docker-image://", "oci-layout://", "target:"))


def _read_folder(source: Source, place: str, file: str, folders: dict[str, str]) -> None:
    from wherry.cli.errors import engine_error
    from wherry.client.buildcontext import ContextError, FolderContext

    text = b"".join(pieces(0, "")) if file == "-" else None
    try:
        context = FolderContext(place, file, text=text, folders=folders)
    except ContextError as error:
        raise CliError(str(error)) from error
    except engine_error() as error:
        raise CliError(error.message) from error
    source.query.append(("dockerfile", context.dockerfile))
    source.contexts |= context.contexts
    source.body = _packed(context)


def _packed(context: FolderContext) -> Iterator[bytes]:
    from wherry.cli.errors import engine_error
    from wherry.client.buildcontext import ContextError

    try:
        yield from context.packed()
    except ContextError as error:
        raise CliError(str(error)) from error
    except engine_error() as error:  # of a further folder's .dockerignore
        raise CliError(error.message) from error


def _read_stdin(source: Source, file: str, folders: dict[str, str]) -> None:
    if file == "-":
        raise CliError("can't use stdin for both the build context and the Dockerfile")
    if folders:
        raise CliError(
            "directories as --build-context need a directory as the context, not standard input"
        )
    if file:
        source.query.append(("dockerfile", file))
    source.body = pieces(0, "")


def _read_remote(source: Source, place: str, file: str, folders: dict[str, str]) -> None:
    if folders:
        raise CliError("directories as --build-context need a directory as the context, not a URL")
    source.query.append(("remote", place))
    if file == "-":
        source.dockerfile = b"".join(pieces(0, ""))
    elif file:
        source.query.append(("dockerfile", file))
