"""A layer's entries become files below a root, by the rules of the tutorial (protocol.py)."""

import errno
import os
import stat
from typing import Final

from wherry import errdefs
from wherry.layers import whiteouts
from wherry.layers.attributes import is_content
from wherry.layers.tar import (
    BLOCK_DEVICE,
    CHAR_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
    TarReader,
)
from wherry.snapshots.extractor.directories import Directories, shown
from wherry.snapshots.extractor.report import Report, text_of

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL_BITS: Final = 0o7000
_NODES: Final = {CHAR_DEVICE: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK, FIFO: stat.S_IFIFO}
_WHITEOUT_DEVICE: Final = os.makedev(0, 0)
# Far more than any image has. A device takes an inode and hardly a byte of its archive.
_MAX_DEVICES: Final = 10_000

# What the kernel says when an archive asks for what no file system has.
_ARCHIVE_IS_WRONG: Final = frozenset(
    (errno.ENAMETOOLONG, errno.EMLINK, errno.EINVAL, errno.ERANGE, errno.ELOOP)
)


class Unpacker:
    """Makes the files of one layer below the open directory `root`, which must be empty.

    Works by descriptors and single names; it owns its process (current directory, umask).
    `whiteout_devices` has removed names marked in the tree, as overlayfs wants it; without, they
    are in the report only.
    """

    def __init__(self, root: int, *, whiteout_devices: bool, max_entries: int) -> None:
        self._root = root
        self._whiteout_devices = whiteout_devices
        self._max_entries = max_entries
        self._directories = Directories(root, self._implied)
        # Directories get their attributes at the end: until then files are still made in them,
        # and a set-group-ID bit or a default ACL would be inherited by what is made.
        self._attributes: dict[bytes, Entry] = {b"": Entry(b"", DIRECTORY, 0o755)}
        self._marks = whiteouts.Marks()
        self._inodes = 1
        self._devices = 0
        self._bytes = 0

    def unpack(self, reader: TarReader) -> Report:
        """Raises EngineError, naming the entry."""
        for count, entry in enumerate(reader, 1):
            try:
                if count > self._max_entries:
                    raise errdefs.exhausted(f"a layer may have {self._max_entries} entries")
                self._place(entry, reader)
            except OSError as error:
                raise _translated(entry.name, error) from error
            except errdefs.EngineError as error:
                raise errdefs.EngineError(
                    error.kind, f"entry {shown(entry.name)}: {error.message}"
                ) from error
        removed = self._hide()
        for path, entry in self._attributes.items():
            self._finish_directory(path, entry)
        self._directories.close()
        return Report(
            bytes=self._bytes,
            inodes=self._inodes,
            whiteouts=[text_of(path) for path in removed],
            opaque=[text_of(path) for path in sorted(self._marks.opaque)],
        )

    # --- one entry --------------------------------------------------------------------------------

    def _place(self, entry: Entry, reader: TarReader) -> None:
        path, _, name = entry.name.rpartition(b"/")
        if whiteouts.PREFIX in entry.name and self._marks.take(entry.name, path, name):
            return
        if entry.kind == DIRECTORY:
            self._directory(entry, path, name)
        else:
            parent = self._directories.open(path)
            if entry.kind == FILE:
                self._file(entry, parent, name, reader)
            elif entry.kind == HARDLINK:
                self._hardlink(entry, path, name)
            else:
                self._node(entry, parent, name)

    def _directory(self, entry: Entry, path: bytes, name: bytes) -> None:
        if entry.name not in self._attributes:
            parent = self._directories.open(path)
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                parent = self._clear(entry.name, parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
            self._inodes += 1
        self._attributes[entry.name] = entry

    def _implied(self, path: bytes) -> None:
        self._attributes[path] = Entry(path, DIRECTORY, 0o755)
        self._inodes += 1

    def _file(self, entry: Entry, parent: int, name: bytes, reader: TarReader) -> None:
        # Most files are root's and plain: open(2) says it all. chown(2) would clear set-ID bits and
        # a capability, so those come after it.
        plain = not (entry.uid or entry.gid or entry.mode & _SPECIAL_BITS)
        mode = entry.mode if plain else 0o600
        try:
            fd = os.open(name, _NEW_FILE, mode, dir_fd=parent)
        except FileExistsError:
            parent = self._clear(entry.name, parent, name)
            fd = os.open(name, _NEW_FILE, mode, dir_fd=parent)
        try:
            if entry.size:
                reader.copy_to(fd)
            if not plain:
                os.fchown(fd, entry.uid, entry.gid)
                os.fchmod(fd, entry.mode)
            for attribute, value in entry.xattrs.items():
                _set_xattr(fd, attribute, value)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
        self._inodes += 1
        self._bytes += entry.size

    def _hardlink(self, entry: Entry, path: bytes, name: bytes) -> None:
        if entry.link == entry.name:
            raise errdefs.invalid("it is a hardlink to itself")
        if entry.link in self._attributes:
            raise errdefs.invalid(f"it is a hardlink to the directory {shown(entry.link)}")
        try:
            self._link(entry.link, path, name)
        except FileExistsError:
            self._clear(entry.name, self._directories.open(path), name)
            self._link(entry.link, path, name)

    def _link(self, target: bytes, path: bytes, name: bytes) -> None:
        target_path, _, target_name = target.rpartition(b"/")
        try:
            # Of the two descriptors the first may be put away by the second's opening.
            source = os.dup(self._directories.find(target_path))
            try:
                os.link(
                    target_name,
                    name,
                    src_dir_fd=source,
                    dst_dir_fd=self._directories.open(path),
                    follow_symlinks=False,
                )
            finally:
                os.close(source)
        except FileNotFoundError:
            raise errdefs.invalid(
                f"it is a hardlink to {shown(target)}, which the layer has not had before it"
            ) from None

    def _node(self, entry: Entry, parent: int, name: bytes) -> None:
        if entry.kind in (CHAR_DEVICE, BLOCK_DEVICE):
            self._devices += 1
            if self._devices > _MAX_DEVICES:
                raise errdefs.exhausted(f"a layer may have {_MAX_DEVICES} devices")
        try:
            _make_node(entry, parent, name)
        except FileExistsError:
            parent = self._clear(entry.name, parent, name)
            _make_node(entry, parent, name)
        if entry.uid or entry.gid:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.mode & _SPECIAL_BITS and entry.kind != SYMLINK:
            os.chmod(name, entry.mode, dir_fd=parent)  # just made by us, and no symlink
        if entry.xattrs:
            # No call sets one by descriptor and name (before Linux 6.13).
            os.fchdir(parent)
            for attribute, value in entry.xattrs.items():
                _set_xattr(name, attribute, value)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)
        self._inodes += 1

    # --- replacing --------------------------------------------------------------------------------

    def _clear(self, path: bytes, parent: int, name: bytes) -> int:
        """Take away what an earlier entry made at `path`; the parent's descriptor from now on."""
        if path in self._attributes:
            self._clear_tree(path)
            return self._directories.find(_parent(path))
        self._uncount(os.stat(name, dir_fd=parent, follow_symlinks=False))
        os.unlink(name, dir_fd=parent)
        return parent

    def _clear_tree(self, top: bytes) -> None:
        """Not recursive: an archive may be nested deeper than Python's stack."""
        found = [top]
        for path in found:
            fd = self._directories.find(path)
            for item in os.listdir(fd):
                name = os.fsencode(item)
                child = path + b"/" + name
                if child in self._attributes:
                    found.append(child)
                else:
                    self._uncount(os.stat(name, dir_fd=fd, follow_symlinks=False))
                    os.unlink(name, dir_fd=fd)
        for path in reversed(found):
            self._directories.forget(path)
            del self._attributes[path]
            parent, _, name = path.rpartition(b"/")
            os.rmdir(name, dir_fd=self._directories.find(parent))
            self._inodes -= 1

    def _uncount(self, status: os.stat_result) -> None:
        if status.st_nlink == 1:
            self._inodes -= 1
            if stat.S_ISREG(status.st_mode):
                self._bytes -= status.st_size

    # --- the end ----------------------------------------------------------------------------------

    def _hide(self) -> list[bytes]:
        """Carry out the whiteouts; the names that the layer removes and does not have itself."""
        for path in self._marks.opaque:
            self._in_directory(path)
        for path in self._marks.hidden:
            self._in_directory(_parent(path))
        removed = []
        for path in sorted(self._marks.hidden):
            if path in self._attributes:
                self._marks.opaque.add(path)
            elif not self._exists(path):
                removed.append(path)
        if self._whiteout_devices:
            for path in removed:
                parent, _, name = path.rpartition(b"/")
                fd = self._in_directory(parent)
                os.mknod(name, stat.S_IFCHR, _WHITEOUT_DEVICE, dir_fd=fd)
        return removed

    def _in_directory(self, path: bytes) -> int:
        try:
            return self._directories.open(path)
        except OSError as error:
            raise _translated(path, error) from error
        except errdefs.EngineError as error:
            raise errdefs.EngineError(
                error.kind, f"whiteout in {shown(path)}: {error.message}"
            ) from error

    def _exists(self, path: bytes) -> bool:
        parent, _, name = path.rpartition(b"/")
        try:
            os.stat(name, dir_fd=self._directories.open(parent), follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _finish_directory(self, path: bytes, entry: Entry) -> None:
        parent, _, name = path.rpartition(b"/")
        try:
            fd = os.open(name or b".", _OPEN_DIRECTORY, dir_fd=self._directories.find(parent))
            try:
                if entry.uid or entry.gid:
                    os.fchown(fd, entry.uid, entry.gid)
                os.fchmod(fd, entry.mode)
                for attribute, value in entry.xattrs.items():
                    _set_xattr(fd, attribute, value)
                os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
            finally:
                os.close(fd)
        except OSError as error:
            raise _translated(path, error) from error


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _make_node(entry: Entry, parent: int, name: bytes) -> None:
    if entry.kind == SYMLINK:
        os.symlink(entry.link, name, dir_fd=parent)
        return
    device = os.makedev(entry.major, entry.minor)
    if entry.kind == CHAR_DEVICE and device == _WHITEOUT_DEVICE:
        raise errdefs.invalid("character device 0/0 is overlayfs's own sign for a removed file")
    os.mknod(name, _NODES[entry.kind] | (entry.mode & 0o777), device, dir_fd=parent)


def _set_xattr(where: int | bytes, name: bytes, value: bytes) -> None:
    attribute = os.fsdecode(name)
    if not is_content(attribute):
        return
    try:
        os.setxattr(where, attribute, value, follow_symlinks=isinstance(where, int))
    except PermissionError:
        raise errdefs.invalid(f"this kind of file cannot have the xattr {attribute!r}") from None
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise errdefs.unavailable(
                f"the file system under the data root does not keep the xattr {attribute!r}"
            ) from None
        raise


def _translated(path: bytes, error: OSError) -> errdefs.EngineError:
    if error.errno in _ARCHIVE_IS_WRONG:
        said = (error.strerror or str(error)).lower()
        return errdefs.invalid(f"entry {shown(path)}: {said}")
    bare = OSError(error.errno, error.strerror)
    return errdefs.from_os_error(f"entry {shown(path)}", bare)
