"""Paths inside a root that somebody hostile has filled.

Each walk is one openat2(2) with RESOLVE_IN_ROOT: the kernel treats the root's directory as `/`,
so neither `..` nor a symlink, swapped in at any moment, leads out (CVE-2021-30465 was a check
and a later use of a path string).
"""

import errno
import os
import stat

from wherry.linux import syscalls


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

        Raises NotADirectoryError where something else stands in the way.
        """
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
            if name != ".":
                found = self._make_one(found, name, each, mode, follow)
        return found

    def making(self, parent: int, name: str) -> None:
        """Is told before something is made."""

    def _make_one(self, parent: int, name: str, path: str, mode: int, follow: bool) -> int:
        """Make `path`, which is `name` in `parent`; closes `parent`."""
        try:
            self.making(parent, name)
            os.mkdir(name, mode, dir_fd=parent)
        except FileExistsError:
            # A dangling symlink: there is no directory to make, and none will be guessed.
            raise FileNotFoundError(errno.ENOENT, "dangling symlink", path) from None
        finally:
            os.close(parent)
        return self.open(path, os.O_PATH | os.O_DIRECTORY, follow)

    def make_file(self, path: str) -> int:
        """Make an empty file at `path` if nothing is there; its O_PATH descriptor."""
        try:
            return self.open_place(path)
        except FileNotFoundError:
            pass
        directory, _, name = path.rstrip("/").rpartition("/")
        parent = self.make_directory(directory or "/")
        try:
            self.making(parent, name)
            flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o644, dir_fd=parent))
        except FileExistsError:
            raise FileNotFoundError(errno.ENOENT, "dangling symlink", path) from None
        finally:
            os.close(parent)
        return self.open_place(path)

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
