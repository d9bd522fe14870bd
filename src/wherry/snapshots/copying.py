"""Copying the files of a stack into one directory, with all that a layer keeps of them."""

import errno
import os
import stat
from collections.abc import Iterable
from typing import Final

from wherry.snapshots.changes import read_xattrs
from wherry.snapshots.stack import Member

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK: Final = 1 << 30


def copy_members(members: Iterable[Member], target: int) -> None:
    """Make a copy of each member below the empty directory `target`. Raises OSError.

    Members are what nobody changes (unpacked layers), directories before what is in them. Files
    that are hardlinks of each other in their layer are so in the copy.
    """
    directories = []
    linked: dict[tuple[int, int], bytes] = {}
    for member in members:
        if member.is_directory:
            directories.append(member)
            if member.path:
                os.mkdir(member.path, 0o700, dir_fd=target)
            continue
        if member.status.st_nlink > 1:
            identity = (member.layer.tree, member.status.st_ino)
            first = linked.setdefault(identity, member.path)
            if first != member.path:
                os.link(
                    first,
                    member.path,
                    src_dir_fd=target,
                    dst_dir_fd=target,
                    follow_symlinks=False,
                )
                continue
        _copy(member, target)
    # Last, so that nothing is inherited from a directory and no time changes any more.
    for member in directories:
        _copy_attributes(member, target)


def _copy(member: Member, target: int) -> None:
    mode = member.status.st_mode
    if stat.S_ISREG(mode):
        source = os.open(member.path, _READ, dir_fd=member.layer.tree)
        try:
            copy = os.open(member.path, _NEW, 0o600, dir_fd=target)
            try:
                _copy_content(source, copy, member.status.st_size)
            finally:
                os.close(copy)
        finally:
            os.close(source)
    elif stat.S_ISLNK(mode):
        os.symlink(os.readlink(member.path, dir_fd=member.layer.tree), member.path, dir_fd=target)
    else:
        os.mknod(member.path, mode, member.status.st_rdev, dir_fd=target)
    _copy_attributes(member, target)


def _copy_attributes(member: Member, target: int) -> None:
    status = member.status
    path = member.path or b"."
    os.chown(path, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(path, stat.S_IMODE(status.st_mode), dir_fd=target)
    for name, value in read_xattrs(member.layer.tree, path).items():
        where = b"/proc/self/fd/%d/%b" % (target, path)
        os.setxattr(where, name, value, follow_symlinks=False)
    times = (status.st_mtime_ns, status.st_mtime_ns)
    os.utime(path, ns=times, dir_fd=target, follow_symlinks=False)


def _copy_content(source: int, target: int, size: int) -> None:
    """The data, shared with the source where the file system can (XFS, btrfs); holes stay holes."""
    os.ftruncate(target, size)
    end = 0
    while end < size:
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            raise
        end = os.lseek(source, start, os.SEEK_HOLE)
        _copy_range(source, target, start, end)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    try:
        while start < end:
            count = min(_CHUNK, end - start)
            start += os.copy_file_range(source, target, count, start, start) or end
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV):
            raise
        os.lseek(target, start, os.SEEK_SET)
        while start < end:
            start += os.sendfile(target, source, start, end - start) or end
