"""Removal in two steps: one rename makes a tree vanish, a thread deletes its files later."""

import logging
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wherry import errdefs

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_log = logging.getLogger(__name__)


class Trash:
    """A directory of trees to be deleted, on the file system that they come from.

    What is left in it by a crash is deleted by the next `empty_later`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle = threading.Condition()
        self._wanted = False
        self._working = False

    def put(self, tree: Path) -> bool:
        """Make `tree` vanish; False if there is none. Raises OSError."""
        try:
            tree.rename(self._path / secrets.token_hex(8))
        except FileNotFoundError:
            return False
        self.empty_later()
        return True

    def empty_later(self) -> None:
        """Have everything deleted that is in the trash, by a thread that ends when it is done."""
        with self._idle:
            self._wanted = True
            if not self._working:
                self._working = True
                # A daemon thread: an exit does not wait for it, the next start goes on.
                threading.Thread(target=self._work, name="trash", daemon=True).start()

    def wait_until_empty(self, timeout: float | None = None) -> bool:
        """Wait for the deleting thread; False if it works on after `timeout` seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._working, timeout)

    def _work(self) -> None:
        while True:
            with self._idle:
                if not self._wanted:
                    self._working = False
                    self._idle.notify_all()
                    return
                self._wanted = False
            try:
                self._empty()
            except OSError as error:
                _log.warning("the trash cannot be emptied: %s", error)

    def _empty(self) -> None:
        trash = os.open(self._path, _DIRECTORY)
        try:
            waiting = os.listdir(trash)
            # What comes back with the power, because its leaving was lost, has to be whole.
            os.fsync(trash)
            while waiting:
                tree = waiting.pop()
                try:
                    waiting.extend(_delete(trash, tree))
                except OSError as error:
                    # An immutable file of a privileged container, say. Tried again at each start.
                    _log.warning("%s cannot be deleted: %s", self._path / tree, error)
        finally:
            os.close(trash)


def _delete(trash: int, tree: str) -> Iterator[str]:
    """Delete `tree` but for its directories, which become trees of the trash and are yielded.

    So a container may nest directories as deep as it likes: no path grows, nothing recurs, and
    two descriptors are open at a time.
    """
    try:
        fd = os.open(tree, _DIRECTORY, dir_fd=trash)
    except NotADirectoryError:
        os.unlink(tree, dir_fd=trash)
        return
    try:
        with os.scandir(fd) as scan:
            items = list(scan)
        for item in items:
            if not item.is_dir(follow_symlinks=False):
                os.unlink(item.name, dir_fd=fd)
                continue
            try:
                os.rmdir(item.name, dir_fd=fd)
            except OSError:
                other = secrets.token_hex(8)
                os.rename(item.name, other, src_dir_fd=fd, dst_dir_fd=trash)
                yield other
    finally:
        os.close(fd)
    os.rmdir(tree, dir_fd=trash)


def put_aside(trash: Trash, tree: Path, what: str) -> bool:
    """`Trash.put` for a room's edge: raises EngineError."""
    try:
        return trash.put(tree)
    except OSError as error:
        raise errdefs.from_os_error(f"removing {what}", error) from error
