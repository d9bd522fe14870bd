"""The changes of an active snapshot as a layer's tar, made while it is read."""

import contextlib
import os
import stat
from collections.abc import Generator, Iterable, Iterator
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.layers import whiteouts
from wherry.layers.attributes import is_content
from wherry.layers.pieces import CHUNK, open_pieces
from wherry.layers.tar import (
    BLOCK_DEVICE,
    CHAR_DEVICE,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
    Kind,
    encode,
)
from wherry.snapshots.tree import Item, is_whiteout, walk

_BLOCK: Final = 512
_END: Final = bytes(2 * _BLOCK)
_KINDS: Final[dict[int, Kind]] = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHAR_DEVICE,
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFIFO: FIFO,
}


def open_changes(root: int, pieces: Generator[bytes, None, None]) -> BinaryIO:
    """A file of the layer's tar that `pieces` makes; it owns the descriptor `root`."""
    return open_pieces(pieces, lambda: os.close(root))


def layer_of_items(items: Iterable[Item]) -> Iterator[bytes]:
    """The pieces of a tar of what a walk met, but for its end.

    overlayfs's signs become a layer's: a 0/0 device a whiteout, an opaque directory its marker.
    """
    linked: dict[int, bytes] = {}
    for item in items:
        try:
            yield from _pieces_of(item, linked)
        except FileNotFoundError:
            continue  # gone since it was met: as if it had never been
        except OSError as error:
            raise errdefs.from_os_error(f"reading {item.path!r} of a snapshot", error) from error


def layer_of_upper(root: int) -> Generator[bytes, None, None]:
    """The tar of an overlay's upper directory."""
    with contextlib.closing(walk(root)) as items:
        yield from layer_of_items(items)
    yield _END


def layer_of_changes(
    root: int, changed: frozenset[bytes], removed: Iterable[bytes]
) -> Generator[bytes, None, None]:
    """The tar of the named files below `root`, and of whiteouts for those that are gone."""
    with contextlib.closing(walk(root)) as items:
        yield from layer_of_items(item for item in items if item.path in changed)
    for path in sorted(removed):
        yield encode(Entry(whiteouts.whiteout_for(path)))
    yield _END


def read_xattrs(directory: int, name: bytes) -> dict[bytes, bytes]:
    """The extended attributes that are content, of the file itself and not of a symlink's target.

    Raises FileNotFoundError.
    """
    path = b"/proc/self/fd/%d/%b" % (directory, name)
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        return {}  # a file system without any
    found = {}
    for attribute in sorted(filter(is_content, names)):
        with contextlib.suppress(OSError):  # removed meanwhile
            value = os.getxattr(path, attribute, follow_symlinks=False)
            found[os.fsencode(attribute)] = value
    return found


def _pieces_of(item: Item, linked: dict[int, bytes]) -> Iterator[bytes]:
    status = item.status
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return  # a socket
    if is_whiteout(status):
        yield encode(Entry(whiteouts.whiteout_for(item.path)))
        return
    if whiteouts.is_whiteout(item.name):
        raise errdefs.invalid(
            f"{item.path!r} cannot be kept in a layer: there its name says that a file is removed"
        )
    entry = _entry(item, kind)
    if kind != DIRECTORY and status.st_nlink > 1:
        first = linked.setdefault(status.st_ino, item.path)
        if first != item.path:
            yield encode(Entry(item.path, HARDLINK, entry.mode, entry.uid, entry.gid, link=first))
            return
    if kind == FILE:
        yield from _file(item, entry)
    elif item.path or not _is_implied(entry):
        yield encode(entry)
    if kind == DIRECTORY and _is_opaque(item):
        yield encode(Entry(whiteouts.opaque_for(item.path)))


def _entry(item: Item, kind: Kind) -> Entry:
    status = item.status
    entry = Entry(
        item.path,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        xattrs=read_xattrs(item.parent, item.name),
    )
    if kind == SYMLINK:
        entry.link = os.readlink(item.name, dir_fd=item.parent)
    elif kind in (CHAR_DEVICE, BLOCK_DEVICE):
        entry.major, entry.minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return entry


def _file(item: Item, entry: Entry) -> Iterator[bytes]:
    # O_NONBLOCK: what was a file a moment ago may be a fifo now, and would hold us for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(item.name, flags, dir_fd=item.parent)
    try:
        status = os.fstat(fd)
        if status.st_ino != item.status.st_ino or not stat.S_ISREG(status.st_mode):
            raise _restless(item)
        left = entry.size = status.st_size
        yield encode(entry)
        while left:
            chunk = os.read(fd, min(left, CHUNK))
            if not chunk:
                raise _restless(item)
            left -= len(chunk)
            yield chunk
        yield bytes(-entry.size % _BLOCK)
    finally:
        os.close(fd)


def _restless(item: Item) -> errdefs.EngineError:
    return errdefs.conflict(
        f"{item.path!r} changes while it is read; pause or stop the container first"
    )


def _is_implied(entry: Entry) -> bool:
    """Whether the root is as any layer's that does not speak of it. Its time is nobody's change."""
    return (entry.mode, entry.uid, entry.gid, entry.xattrs) == (0o755, 0, 0, {})


def _is_opaque(item: Item) -> bool:
    path = b"/proc/self/fd/%d/%b" % (item.parent, item.name)
    try:
        return os.getxattr(path, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False
