"""Layers in plain directories (`overlay`, `native`), and the changes of an active snapshot.

A container may be changing what is read here. Each directory is opened by one name in the one above
it, never through a symlink, and a file is one name in an open directory: there is no path on which
it could lead out of its tree.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator, Mapping, Set
from typing import BinaryIO, Final, Protocol

from wherry import errdefs
from wherry.layers.files import Kind, Node
from wherry.layers.tar.names import quoted
from wherry.snapshots.browsing.layer import Descriptor, FileKind
from wherry.snapshots.changes import read_xattrs
from wherry.snapshots.tree import is_whiteout

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: what was a file a moment ago may be a fifo now, and would hold us for ever.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS: Final[dict[int, Kind]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}
_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_SMALL: Final = 1 << 16
_BUFFER: Final = 1 << 18
_HERE: Final = b"."


class Signs(Protocol):
    """How a layer says what it hides."""

    def is_opaque(self, directory: int, path: bytes) -> bool:
        """Whether the open directory, `path` in the layer, hides all below it."""

    def removed(self, path: bytes) -> Set[bytes]:
        """The names that are removed from the directory `path` and are no files there."""

    def is_whiteout(self, status: os.stat_result) -> bool: ...


class OverlaySigns:
    """overlayfs's own: devices and an attribute."""

    def is_opaque(self, directory: int, path: bytes) -> bool:
        try:
            return os.getxattr(directory, "trusted.overlay.opaque") == b"y"
        except OSError:
            return False

    def removed(self, path: bytes) -> Set[bytes]:
        return frozenset()

    def is_whiteout(self, status: os.stat_result) -> bool:
        return is_whiteout(status)


class ListedSigns:
    """Paths that are written down beside the tree."""

    def __init__(
        self, whiteouts: Set[bytes] = frozenset(), opaque: Set[bytes] = frozenset()
    ) -> None:
        self._opaque = opaque
        self._removed: dict[bytes, set[bytes]] = {}
        for path in whiteouts:
            parent, _, name = path.rpartition(b"/")
            self._removed.setdefault(parent, set()).add(name)

    def is_opaque(self, directory: int, path: bytes) -> bool:
        return path in self._opaque

    def removed(self, path: bytes) -> Set[bytes]:
        return self._removed.get(path, frozenset())

    def is_whiteout(self, status: os.stat_result) -> bool:
        return False


def open_root(tree: Descriptor, signs: Signs, number: int) -> UnpackedFile:
    """The root of the layer that is unpacked below the open directory `tree`.

    `number` is the layer's own in its stack.
    """
    return UnpackedFile(UnpackedDirectory(tree, b"", signs, number), _HERE, "dir")


class UnpackedDirectory:
    __slots__ = ("_descriptor", "number", "opaque", "path", "signs")

    def __init__(self, descriptor: Descriptor, path: bytes, signs: Signs, number: int) -> None:
        self._descriptor = descriptor
        self.path = path
        self.signs = signs
        self.number = number
        self.opaque = signs.is_opaque(descriptor.fd, path)

    @property
    def fd(self) -> int:
        return self._descriptor.fd

    def path_of(self, name: bytes) -> bytes:
        if name == _HERE:
            return self.path
        return self.path + b"/" + name if self.path else name

    def find(self, name: bytes) -> UnpackedFile | None:
        if name in self.signs.removed(self.path):
            return UnpackedFile(self, name, "whiteout")
        try:
            return UnpackedFile(self, name, self._kind(name))
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise self._failed(name, error) from error

    def entries(self) -> Iterator[tuple[bytes, UnpackedFile]]:
        for name in self.signs.removed(self.path):
            yield name, UnpackedFile(self, name, "whiteout")
        try:
            # Opened anew: who lists by one description of an open file shares its position.
            listed = os.open(_HERE, _DIRECTORY, dir_fd=self.fd)
            try:
                with os.scandir(listed) as entries:
                    for entry in entries:
                        name = os.fsencode(entry.name)
                        kind = self._kind_of(entry, name)
                        if kind:
                            yield name, UnpackedFile(self, name, kind)
            finally:
                os.close(listed)
        except OSError as error:
            raise self._failed(_HERE, error) from error

    def _kind_of(self, entry: os.DirEntry[str], name: bytes) -> FileKind | None:
        """By what the directory says, if that is enough; None if it is gone meanwhile."""
        if entry.is_file(follow_symlinks=False):
            return "file"
        if entry.is_dir(follow_symlinks=False):
            return "dir"
        if entry.is_symlink():
            return "symlink"
        try:
            return self._kind(name)
        except FileNotFoundError:
            return None

    def _kind(self, name: bytes) -> FileKind:
        status = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        if self.signs.is_whiteout(status):
            return "whiteout"
        return _KINDS.get(stat.S_IFMT(status.st_mode), "whiteout")  # a socket

    def _failed(self, name: bytes, error: OSError) -> errdefs.EngineError:
        return errdefs.from_os_error(f"reading {quoted(self.path_of(name))} of a layer", error)


class UnpackedFile:
    """A name in a directory."""

    __slots__ = ("_name", "_parent", "kind")

    def __init__(self, parent: UnpackedDirectory, name: bytes, kind: FileKind) -> None:
        self._parent = parent
        self._name = name
        self.kind = kind

    def node(self) -> Node | None:
        name, directory = self._name, self._parent.fd
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            kind = _KINDS.get(stat.S_IFMT(status.st_mode))
            if kind is None:
                return None
            link = os.readlink(name, dir_fd=directory) if kind == "symlink" else b""
            xattrs = read_xattrs(directory, name)
        except OSError as error:
            if error.errno in (*_ABSENT, errno.EINVAL):  # EINVAL: no symlink any more
                return None
            raise self._failed(error) from error
        return _node(kind, status, link, xattrs, self._parent.number)

    def directory(self) -> UnpackedDirectory:
        parent = self._parent
        try:
            opened = Descriptor(os.open(self._name, _DIRECTORY, dir_fd=parent.fd))
        except OSError as error:
            raise self._failed(error) from error
        path = parent.path_of(self._name)
        return UnpackedDirectory(opened, path, parent.signs, parent.number)

    def open(self) -> BinaryIO:
        try:
            fd = os.open(self._name, _READ, dir_fd=self._parent.fd)
        except OSError as error:
            raise self._failed(error) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise errdefs.not_found(f"{self._quoted} is no regular file")
            if status.st_size > _SMALL:
                file = open(fd, "rb", _BUFFER)  # noqa: SIM115 - the caller's
                fd = -1
                return file
            return io.BytesIO(os.read(fd, status.st_size))
        except OSError as error:
            raise self._failed(error) from error
        finally:
            if fd >= 0:
                os.close(fd)

    @property
    def _quoted(self) -> str:
        return quoted(self._parent.path_of(self._name))

    def _failed(self, error: OSError) -> errdefs.EngineError:
        if error.errno in _ABSENT:
            return errdefs.not_found(f"no such file: {self._quoted}")
        return errdefs.from_os_error(f"reading {self._quoted} of a layer", error)


def _node(
    kind: Kind, status: os.stat_result, link: bytes, xattrs: Mapping[bytes, bytes], number: int
) -> Node:
    device = kind in ("char", "block")
    return Node(
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        status.st_size if kind == "file" else 0,
        link,
        os.major(status.st_rdev) if device else 0,
        os.minor(status.st_rdev) if device else 0,
        xattrs,
        number << 64 | status.st_ino if status.st_nlink > 1 and kind != "dir" else None,
    )
