"""Paths inside a root that somebody hostile has filled.

Each walk is one openat2(2) with RESOLVE_IN_ROOT: the kernel treats the root's directory as `/`,
so neither `..` nor a symlink, swapped in at any moment, leads out (CVE-2021-30465 was a check
and a later use of a path string).
"""

import errno
import os
import stat

from wherry.linux import syscalls

_MAX_LINKS = 40  # as many as the kernel follows


def _dangling(parent: int, name: str) -> str | None:
    """Where `name` leads to, which is a symlink if it is there at all."""
    try:
        return os.readlink(name, dir_fd=parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:  # something else has just been put there
            return None
        raise


def _led_to(link: str, target: str, links: int) -> str:
    """The path inside the root that the symlink at `link` leads to: for another walk of it.

    Whatever it says, that walk stays in the root. Raises OSError after too many.
    """
    if links <= 1:
        raise OSError(errno.ELOOP, "too many symlinks", link)
    return target if target.startswith("/") else f"{link.rstrip('/').rpartition('/')[0]}/{target}"


class Root:
    """A directory as root, held by descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def open(self, path: str, flags: int, follow: bool = True) -> int:
        """Open `path` inside the root. Raises OSError; with `follow=False` ELOOP on a symlink."""
        resolve = syscalls.RESOLVE_IN_ROOT
        if not follow:
            resolve |= syscalls.RESOLVE_NO_SYMLINKS
        return syscalls.openat2(self.fd, path or "/", flags, 0, resolve)

    def open_place(self, path: str, follow: bool = True) -> int:
        """An O_PATH descriptor of `path`: a place to mount upon or to look at."""
        return self.open(path, os.O_PATH, follow)

    def make_directory(self, path: str, mode: int = 0o755, follow: bool = True) -> int:
        """Make `path` and what is missing above it; its O_PATH descriptor.

        A symlink that leads to nothing is followed, and what it leads to is made. Raises
        NotADirectoryError where something else stands in the way.
        """
        return self._make_directory(path, mode, follow, _MAX_LINKS)

    def _make_directory(self, path: str, mode: int, follow: bool, links: int) -> int:
        missing: list[str] = []  # the deepest first; not a recursion, since a path is 4 KB long
        above = path
        while True:
            try:
                found = self.open(above, os.O_PATH | os.O_DIRECTORY, follow)
                break
            except FileNotFoundError:
                if above == "/":
                    raise
                missing.append(above)
                above = above.rstrip("/").rpartition("/")[0] or "/"
        for each in reversed(missing):
            name = each.rstrip("/").rpartition("/")[2]
            if name == "..":
                os.close(found)
                found = self.open(each, os.O_PATH | os.O_DIRECTORY, follow)
            elif name != ".":
                found = self._make_one(found, name, each, mode, follow, links)
        return found

    def making(self, parent: int, name: str) -> None:
        """Is told before something is made."""

    def _make_one(
        self, parent: int, name: str, path: str, mode: int, follow: bool, links: int
    ) -> int:
        """Make `path`, which is `name` in `parent`; closes `parent`."""
        try:
            target = _dangling(parent, name) if follow else None
            if target is None:
                self.making(parent, name)
                os.mkdir(name, mode, dir_fd=parent)
        finally:
            os.close(parent)
        if target is not None:
            return self._make_directory(_led_to(path, target, links), mode, follow, links - 1)
        return self.open(path, os.O_PATH | os.O_DIRECTORY, follow)

    def make_file(self, path: str) -> int:
        """Make an empty file at `path` if nothing is there; its O_PATH descriptor.

        A symlink that leads to nothing is followed, and what it leads to is made.
        """
        for links in range(_MAX_LINKS, 0, -1):
            try:
                return self.open_place(path)
            except FileNotFoundError:
                target = self._make_empty(path)
            if target is not None:
                path = _led_to(path, target, links)
        return self.open_place(path)

    def _make_empty(self, path: str) -> str | None:
        """Make the file, or answer where the symlink in its place leads to."""
        directory, _, name = path.rstrip("/").rpartition("/")
        parent = self.make_directory(directory or "/")
        try:
            target = _dangling(parent, name)
            if target is None:
                self.making(parent, name)
                flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open(name, flags, 0o644, dir_fd=parent))
            return target
        finally:
            os.close(parent)

    def read(self, path: str, limit: int) -> bytes | None:
        """A regular file's content, or None if there is none.

        Raises OSError with EFBIG over `limit` bytes: an image chooses this file's size. A FIFO or
        a device in its place is not waited for and not read; nor is a file of size 0, as those of
        procfs are: to read /proc/kmsg takes the lines from the host's log.
        """
        try:
            fd = self.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return None
            if status.st_size > limit:
                raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
            return os.read(fd, status.st_size)
        finally:
            os.close(fd)
