"""Whether an unpacked layer still is what its archive says.

The archive is read again, into a layer file of EROFS (layers/erofs/): that is the tree that every
driver makes of it, and our own reader says what must be in it.
"""

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.layers.attributes import is_content
from wherry.layers.erofs import Image, Inode, LayerInfo, LayerWriter
from wherry.layers.pipeline import Digesting, ReadAhead
from wherry.snapshots.extractor.feed import WhiteoutForm
from wherry.snapshots.extractor.report import path_of
from wherry.snapshots.tree import walk
from wherry.spec.digest import Digest

_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPAQUE: Final = "trusted.overlay.opaque"
_SIGNS: Final = "trusted.overlay."
_CHUNK: Final = 1 << 20
_REMOVED: Final = (0, 0)
# Times that ext4 with inodes of 256 bytes can hold.
_EARLIEST_NS: Final = -(1 << 31) * 10**9
_LATEST_NS: Final = ((1 << 34) - (1 << 31)) * 10**9

Seen = Callable[[int], None]


@contextmanager
def rewritten(tar: BinaryIO, diff_id: Digest, scratch: Path) -> Iterator[tuple[int, LayerInfo]]:
    """The open layer file of `tar` in the directory `scratch`, gone with the `with`.

    Raises DataLoss if the tar is not that of `diff_id`.
    """
    fd = os.open(scratch, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    try:
        writer = LayerWriter(fd)
        with ReadAhead(tar) as ahead, Digesting(ahead) as stream:
            writer.copy(stream)
            found = stream.digest
        if found != diff_id:
            raise errdefs.data_loss(f"the tar that is stored for it has the digest {found}")
        yield fd, writer.finish(diff_id)
    finally:
        os.close(fd)


class Comparison:
    """An unpacked tree beside the layer file of its archive.

    `whiteouts` is the form that the tree has them in; `hides` is the file that has those which are
    not in the tree. `seen` is told how many bytes of files were compared.
    """

    def __init__(
        self, fd: int, root: int, whiteouts: WhiteoutForm, hides: Path, seen: Seen
    ) -> None:
        self._fd = fd
        self._root = root
        self._whiteouts = whiteouts
        self._hides = hides
        self._seen = seen
        self._inodes: dict[int, int] = {}

    def check(self) -> None:
        """Raises DataLoss naming the first file that is not as it should be."""
        image = Image(self._fd)
        paths = set()
        removed: set[bytes] = set()
        opaque: set[bytes] = set()
        for path, inode in image.walk():
            if inode.xattrs.get(_OPAQUE.encode()) == b"y":
                opaque.add(path)
            if self._whiteouts == "report" and _is_whiteout(inode):
                removed.add(path)
                continue
            paths.add(path)
            try:
                self._compare(image, path, inode)
            except FileNotFoundError:
                raise _damaged(path, "is missing") from None
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                raise _damaged(path, "is another kind of file") from error
        for item in walk(self._root):
            if item.path not in paths:
                raise _damaged(item.path, "does not belong there")
        if self._whiteouts == "report":
            self._compare_hidden(removed, opaque)

    def _compare_hidden(self, removed: set[bytes], opaque: set[bytes]) -> None:
        try:
            text = self._hides.read_text()
            hides = json.loads(text)
            found = set(map(path_of, hides["whiteouts"])), set(map(path_of, hides["opaque"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise errdefs.data_loss(f"its file {self._hides.name} is damaged") from error
        if found != (removed, opaque) or json.dumps(hides) != text:
            raise errdefs.data_loss(f"its file {self._hides.name} hides other names than it should")

    def _compare(self, image: Image, path: bytes, inode: Inode) -> None:
        status = os.stat(path or b".", dir_fd=self._root, follow_symlinks=False)
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(inode.mode):
            raise _damaged(path, "is another kind of file")
        if _is_whiteout(inode):
            if status.st_rdev:
                raise _damaged(path, "does not remove what it should")
            return
        self._compare_attributes(path, inode, status)
        if stat.S_ISLNK(status.st_mode):
            if os.readlink(path, dir_fd=self._root) != image.read(inode):
                raise _damaged(path, "is a link to something else")
        elif stat.S_ISREG(status.st_mode):
            self._compare_content(image, path, inode, status.st_size)

    def _compare_attributes(self, path: bytes, inode: Inode, status: os.stat_result) -> None:
        if (status.st_mode, status.st_uid, status.st_gid) != (inode.mode, inode.uid, inode.gid):
            raise _damaged(path, "has another mode or owner")
        if _EARLIEST_NS <= inode.mtime_ns < _LATEST_NS and status.st_mtime_ns != inode.mtime_ns:
            raise _damaged(path, "has another time")
        if (os.major(status.st_rdev), os.minor(status.st_rdev)) != inode.device:
            raise _damaged(path, "is another device")
        if not inode.is_directory:
            self._compare_links(path, inode, status)
        if self._xattrs(path) != self._expected_xattrs(inode):
            raise _damaged(path, "has other extended attributes")

    def _compare_links(self, path: bytes, inode: Inode, status: os.stat_result) -> None:
        same = self._inodes.setdefault(inode.nid, status.st_ino) == status.st_ino
        if status.st_nlink != inode.nlink or not same:
            raise _damaged(path, "has other hardlinks")

    def _expected_xattrs(self, inode: Inode) -> dict[str, bytes]:
        wanted = {os.fsdecode(name): value for name, value in inode.xattrs.items()}
        return {name: value for name, value in wanted.items() if self._counts(name)}

    def _xattrs(self, path: bytes) -> dict[str, bytes]:
        where = b"/proc/self/fd/%d/%b" % (self._root, path or b".")
        try:
            names = os.listxattr(where, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return {}
        return {
            name: os.getxattr(where, name, follow_symlinks=False)
            for name in names
            if self._counts(name)
        }

    def _counts(self, name: str) -> bool:
        return is_content(name) or (self._whiteouts == "devices" and name.startswith(_SIGNS))

    def _compare_content(self, image: Image, path: bytes, inode: Inode, size: int) -> None:
        if size != inode.size:
            raise _damaged(path, f"has {size} bytes, not {inode.size}")
        file = os.open(path, _OPEN, dir_fd=self._root)
        try:
            at = 0
            for offset, length in image.extents(inode):
                if not self._same(file, at, offset, length):
                    raise _damaged(path, "has other content")
                at += length
        finally:
            os.close(file)

    def _same(self, file: int, at: int, offset: int | None, length: int) -> bool:
        """Whether the file has at `at` what the layer file has at `offset`; None is zeros."""
        if offset is None:
            return _is_hole(file, at, length)
        while length:
            count = min(length, _CHUNK)
            if os.pread(file, count, at) != os.pread(self._fd, count, offset):
                return False
            self._seen(count)
            at, offset, length = at + count, offset + count, length - count
        return True


def _is_hole(file: int, at: int, length: int) -> bool:
    """Whether this part is zeros; what the file system has no data for is not read."""
    end = at + length
    while at < end:
        try:
            at = os.lseek(file, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return True
            raise
        if at < end and os.pread(file, min(end - at, _CHUNK), at).strip(b"\0"):
            return False
        at += _CHUNK
    return True


def _is_whiteout(inode: Inode) -> bool:
    return stat.S_ISCHR(inode.mode) and inode.device == _REMOVED


def _damaged(path: bytes, what: str) -> errdefs.EngineError:
    shown = repr(path)[1:] if path else "its root"
    return errdefs.data_loss(f"{shown} {what}")
