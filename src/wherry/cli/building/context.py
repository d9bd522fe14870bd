"""What a build is sent: PATH, URL or `-`, the Dockerfile, and further contexts."""

from __future__ import annotations

import os
import stat

from wherry.cli.errors import CliError
from wherry.cli.upload import pieces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wherry.cli.flags import Parsed
    from wherry.ignore import Patterns

DOCKERFILE = "Dockerfile"
IGNORE = ".dockerignore"
_UPLOADED = ".wherry-context-"
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
        source.body = _Local(place, file, folders, source).packed()
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


class _Local:
    """A folder of ours, and where its Dockerfile is."""

    def __init__(self, root: str, file: str, folders: dict[str, str], source: Source) -> None:
        self._root = root
        self._added: list[tuple[str, bytes]] = []
        self._folders = folders
        self._kept = {IGNORE}
        name = self._dockerfile(file)
        source.query.append(("dockerfile", name))
        for number, further in enumerate(folders):
            source.contexts[further] = f"upload:{_UPLOADED}{number}"

    def packed(self) -> Iterator[bytes]:
        """The archive. Raises CliError for what cannot be read."""
        from wherry.client.packing import END, PackError, pack, pack_file

        patterns = self._patterns
        try:
            yield from pack(self._root, patterns, self._kept)
            for number, folder in enumerate(self._folders.values()):
                own = _ignored(folder, "")
                yield from pack(folder, own, (), f"{_UPLOADED}{number}/")
        except PackError as error:
            raise CliError(f"unable to send the build context: {error}") from error
        yield b"".join(pack_file(name, data) for name, data in self._added) + END

    def _dockerfile(self, file: str) -> str:
        """Its name in the archive, to which it is added if it is not below the folder."""
        self._patterns: Patterns | None = None
        if file == "-":
            return self._add(b"".join(pieces(0, "")), b"")
        path = file or os.path.join(self._root, DOCKERFILE)
        if not file and not os.path.lexists(path):
            lower = os.path.join(self._root, DOCKERFILE.lower())
            path = lower if os.path.lexists(lower) else path
        data = _read(path)
        own = f"{path}.dockerignore"
        name = self._inside(path)
        if not name:
            return self._add(data, _read(own) if os.path.isfile(own) else b"")
        self._kept |= {name, f"{name}.dockerignore"}
        self._patterns = _ignored(self._root, own)
        return name

    def _inside(self, path: str) -> str:
        """A file's path below the folder; "" if it is elsewhere, or is led elsewhere by a link."""
        root = os.path.realpath(self._root)
        real = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
        if not (real.startswith(root.rstrip("/") + "/") and stat.S_ISREG(os.lstat(real).st_mode)):
            return ""
        return os.path.relpath(real, root)

    def _add(self, data: bytes, ignore: bytes) -> str:
        """Send a Dockerfile that is no file of the context, under a name which .dockerignore takes
        out of it again, as the Docker CLI does.
        """
        name = f".dockerfile.{os.urandom(10).hex()}"
        self._added.append((name, data))
        text = _read(os.path.join(self._root, IGNORE), missing=IGNORE.encode())
        self._kept.discard(IGNORE)
        if ignore:
            self._patterns = _parse(ignore, f"{name}.dockerignore")
            text = ignore
        else:
            self._patterns = _ignored(self._root, "")
        taken = text + f"\n{name}\n{name}.dockerignore\n".encode()
        self._added.append((f"{name}.dockerignore" if ignore else IGNORE, taken))
        return name


def _read(path: str, missing: bytes | None = None) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        if missing is not None:
            return missing
        raise CliError(
            f"unable to read the Dockerfile: {path}: no such file (-f names another)"
        ) from error
    except OSError as error:
        raise CliError(f"unable to read {path}: {(error.strerror or '').lower()}") from error


def _ignored(root: str, own: str) -> Patterns | None:
    """The patterns of the Dockerfile's own ignore file, or else of the folder's."""
    for path in (own, os.path.join(root, IGNORE)):
        if path and os.path.isfile(path):
            return _parse(_read(path), path)
    return None


def _parse(text: bytes, path: str) -> Patterns | None:
    if not text.strip():
        return None
    from wherry.cli.errors import engine_error
    from wherry.ignore import Patterns

    try:
        return Patterns.parse(text, path)
    except engine_error() as error:
        raise CliError(error.message) from error
