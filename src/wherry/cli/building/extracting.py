"""A tar of files into a folder of this user's: `--output type=local`.

The files come from an image, whose author may not be friendly. So no symlink is followed below the
folder, neither one of the archive's nor one that was there: a path is walked name by name, through
descriptors. Everything belongs to who runs this; setuid bits and device nodes are left out.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile

from wherry.cli.errors import CliError
from wherry.cli.output import err_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MODE = 0o1777
_LONG_AGO = 1 << 40  # seconds
_PIECE = 256 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def extract(archive: Iterable[bytes], folder: str) -> None:
    """Put the archive's files into `folder`, which is made if it is not there. Files of the same
    names are replaced, others stay. Raises CliError.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise CliError(f"write {folder}: {(error.strerror or '').lower()}") from error
    try:
        with tarfile.open(fileobj=_Pieces(iter(archive)), mode="r|") as tar:
            _Extraction(root, folder).run(tar)
    except tarfile.TarError as error:
        raise _broken(str(error)) from error
    finally:
        os.close(root)


class _Pieces(io.RawIOBase):
    """Pieces as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


class _Extraction:
    """One archive on its way into a folder."""

    def __init__(self, root: int, folder: str) -> None:
        self._root = root
        self._folder = folder
        self._folders: list[tuple[str, int, float]] = []
        self._left_out = 0

    def run(self, tar: tarfile.TarFile) -> None:
        for member in tar:
            name = member.name
            try:
                self._put(tar, member)
            except ValueError as error:  # a zero byte in a name
                raise _broken(f"{name!r}: {error}") from error
            except OSError as error:
                raise CliError(
                    f"write {self._folder}/{name}: {(error.strerror or '').lower()}"
                ) from error
        # A folder gets its mode when nothing more has to be written into it.
        for name, mode, mtime in reversed(self._folders):
            self._settle(name, mode, mtime)
        if self._left_out:
            err_line(f"WARNING: {self._left_out} device nodes are not extracted")

    def _put(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = _parts(member.name)
        if not parts:
            return
        if member.isdir():
            os.close(self._enter(parts))
            self._folders.append((member.name, member.mode & _MODE, _time(member)))
            return
        if member.ischr() or member.isblk():
            self._left_out += 1
            return
        parent = self._enter(parts[:-1])
        try:
            self._put_file(tar, member, parent, parts[-1])
        finally:
            os.close(parent)

    def _put_file(
        self, tar: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str
    ) -> None:
        _clear(parent, name)
        if member.issparse():
            # It would be written as the zeros that it stands for; a daemon sends none.
            raise _broken(f"{member.name} has holes")
        if member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.islnk():
            target = _parts(member.linkname)
            if not target:
                raise _broken(f"{member.name} is a hardlink to nothing")
            self._link(target, parent, name)
        elif member.isfifo():
            os.mkfifo(name, member.mode & _MODE, dir_fd=parent)
        else:
            fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
            with open(fd, "wb") as file:
                content = tar.extractfile(member)
                while content is not None and (data := content.read(_PIECE)):
                    file.write(data)
                file.flush()
                os.fchmod(fd, member.mode & _MODE)
                os.utime(fd, (_time(member), _time(member)))

    def _link(self, target: list[str], parent: int, name: str) -> None:
        there = self._enter(target[:-1])
        try:
            os.link(target[-1], name, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(there)

    def _settle(self, name: str, mode: int, mtime: float) -> None:
        fd = self._enter(_parts(name))
        try:
            os.fchmod(fd, mode)
            os.utime(fd, (mtime, mtime))
        finally:
            os.close(fd)

    def _enter(self, parts: list[str]) -> int:
        """The descriptor of a folder, which is made with all above it, in the place of whatever
        is no folder there.
        """
        fd = os.dup(self._root)
        for part in parts:
            try:
                below = _enter_one(fd, part)
            finally:
                os.close(fd)
            fd = below
        return fd


def _enter_one(parent: int, name: str) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        pass
    except OSError:
        _clear(parent, name)  # a symlink or a file
    os.mkdir(name, 0o755, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)


def _clear(parent: int, name: str) -> None:
    """Take away what has the name, if it is no folder."""
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            return
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _broken(f"{name} leads out of it")
    return parts


def _time(member: tarfile.TarInfo) -> float:
    """0 for what no file can have, and for what is no number."""
    return member.mtime if -_LONG_AGO <= member.mtime <= _LONG_AGO else 0


def _broken(how: str) -> CliError:
    return CliError(f"the daemon's archive of files is broken: {how}")
