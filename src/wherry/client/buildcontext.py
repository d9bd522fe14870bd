"""A folder as the context of a build: what is sent of it, and the Dockerfile wherever it lies."""

from __future__ import annotations

import os
import stat

from wherry.client.packing import END, PackError, pack, pack_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wherry.ignore import Patterns

DOCKERFILE = "Dockerfile"
IGNORE = ".dockerignore"
_UPLOADED = ".wherry-context-"


class ContextError(Exception):
    """A whole sentence about what is missing, or cannot be read."""


class FolderContext:
    """A folder of ours, and where its Dockerfile is.

    `dockerfile` is that file's name in the archive, `contexts` what a build is to be told of the
    further `folders`, which are in the same archive.
    """

    def __init__(
        self,
        root: str,
        dockerfile: str = "",
        *,
        text: bytes | None = None,
        folders: Mapping[str, str] | None = None,
    ) -> None:
        """`dockerfile` is a path here, by default of the folder's own; `text` is its contents, for
        one that is no file at all. Raises ContextError, EngineError for a .dockerignore that makes
        no sense.
        """
        self._root = root
        self._added: list[tuple[str, bytes]] = []
        self._folders = dict(folders or {})
        self._kept = {IGNORE}
        self._patterns: Patterns | None = None
        self.dockerfile = self._find(dockerfile) if text is None else self._add(text, b"")
        self.contexts = {
            name: f"upload:{_UPLOADED}{number}" for number, name in enumerate(self._folders)
        }

    def packed(self) -> Iterator[bytes]:
        """The archive, made while it is read. Raises ContextError for what cannot be read."""
        try:
            yield from pack(self._root, self._patterns, self._kept)
            for number, folder in enumerate(self._folders.values()):
                own = _ignored(folder, "")
                yield from pack(folder, own, (), f"{_UPLOADED}{number}/")
        except PackError as error:
            raise ContextError(f"unable to send the build context: {error}") from error
        yield b"".join(pack_file(name, data) for name, data in self._added) + END

    def _find(self, file: str) -> str:
        """Its name in the archive, to which it is added if it is not below the folder."""
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
        raise ContextError(
            f"unable to read the Dockerfile: {path}: no such file (-f names another)"
        ) from error
    except OSError as error:
        raise ContextError(f"unable to read {path}: {(error.strerror or '').lower()}") from error


def _ignored(root: str, own: str) -> Patterns | None:
    """The patterns of the Dockerfile's own ignore file, or else of the folder's."""
    for path in (own, os.path.join(root, IGNORE)):
        if path and os.path.isfile(path):
            return _parse(_read(path), path)
    return None


def _parse(text: bytes, path: str) -> Patterns | None:
    if not text.strip():
        return None
    from wherry.ignore import Patterns

    return Patterns.parse(text, path)
