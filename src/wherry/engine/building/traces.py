"""Taking out of a snapshot what a step's mounts have left in it.

`libcontainer.mountpoints` has noted what was made in the root so that something could be mounted
there, and the directories in which. Everything here happens in the snapshot's own directory, where
overlayfs has put these changes, when nothing runs in it any more. A program may have put anything
there meanwhile: no symlink is followed, and nothing is removed that is more than an empty place.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from wherry import errdefs
from wherry.linux.mounts import BindRoot
from wherry.linux.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

if TYPE_CHECKING:
    from wherry.linux.mounts import RootMount
    from wherry.shim.runtime import Notes

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def remove_mountpoints(notes: Notes, root: RootMount) -> None:
    """Remove what is noted from the snapshot whose mount is `root`; blocks. Raises EngineError if
    the disk can't be read."""
    own = not isinstance(root, BindRoot)
    try:
        tree = os.open(root.source if isinstance(root, BindRoot) else root.upper, _DIRECTORY)
        try:
            _remove(tree, notes, own)
        finally:
            os.close(tree)
    except OSError as error:
        raise errdefs.from_os_error("removing mount points from a step's layer", error) from error


def _remove(tree: int, notes: Notes, own: bool) -> None:
    """`own`: the tree has nothing but the step's changes."""
    untouched = {
        path: attributes
        for path, attributes in notes["above"].items()
        if _is_untouched(tree, path, attributes)
    }
    for path in reversed(notes["made"]):
        _remove_place(tree, path)
    # The deepest first: a directory that was only copied up goes, and its parent then may, too.
    for path in sorted(untouched, key=len, reverse=True):
        if own and path != "/" and _remove_copy(tree, path):
            continue
        with _opened(tree, path) as directory:
            before = untouched[path][3]
            status = os.fstat(directory)
            os.utime(directory, ns=(status.st_atime_ns, before))


def _is_untouched(tree: int, path: str, attributes: list[int]) -> bool:
    """Whether nothing has changed in and about the directory since the mounts were made."""
    mode, uid, gid, _, changed, changed_at_all = attributes
    try:
        with _opened(tree, path) as directory:
            now = os.fstat(directory)
    except OSError:
        return False
    return (now.st_mode, now.st_uid, now.st_gid) == (mode, uid, gid) and (
        (now.st_mtime_ns, now.st_ctime_ns) == (changed, changed_at_all)
    )


def _remove_place(tree: int, path: str) -> None:
    """Remove an empty directory, or an empty file; whatever else it has become, it stays."""
    above, _, name = path.rpartition("/")
    with contextlib.suppress(OSError), _opened(tree, above) as directory:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=directory)
        elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
            os.unlink(name, dir_fd=directory)


def _remove_copy(tree: int, path: str) -> bool:
    """Remove a directory that overlayfs has copied, if nothing is in it."""
    above, _, name = path.rpartition("/")
    try:
        with _opened(tree, above) as directory:
            os.rmdir(name, dir_fd=directory)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _opened(tree: int, path: str) -> Iterator[int]:
    """The directory at an absolute path inside, through no symlink. Raises OSError."""
    beneath = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
    fd = openat2(tree, path.strip("/") or ".", _DIRECTORY, resolve=beneath)
    try:
        yield fd
    finally:
        os.close(fd)
