"""Which mount points a start has made in the root file system, for who wants them away again.

A mount needs a place. Where the image has none, it is made, and so becomes a change of the
container's, as are the times of the directory that it was made in. For a build step's layer that
is noise. So a start can note what it makes::

    {"made": ["/run", "/run/secrets", ...],                  in the order of the making
     "above": {"/": [mode, uid, gid, mtime, mtime, ctime]}}  directories that were there before:
                                                             attributes before; times after

Paths are those inside the root, without symlinks. What lies in other mounts is not noted.
"""

import json
import os
from typing import TypedDict

from wherry.libcontainer.inroot import Root

NOTES = "mountpoints"
"""The file's name, in the shim's folder."""

# The kernel's file systems have their places in every image; who has none keeps what was made, as
# with every other engine.
_KEPT = ("/dev/", "/proc/", "/sys/")


class Notes(TypedDict):
    """The content of the file."""

    made: list[str]
    above: dict[str, list[int]]


Attributes = tuple[int, int, int, int]
"""Mode, uid, gid, and the time of the last change in nanoseconds."""


class MakingRoot(Root):
    """A root that notes what is made in it."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._mount = _mount_id(fd)
        self._top = _path_of(fd)
        self.made: list[str] = []
        self.above: dict[str, Attributes] = {}

    def making(self, parent: int, name: str) -> None:
        if _mount_id(parent) != self._mount:
            return
        above = _path_of(parent)[len(self._top) :] or "/"
        path = f"{above.rstrip('/')}/{name}"
        if f"{path}/".startswith(_KEPT):
            return
        while above not in self.above and above not in self.made:
            before = self._look(above)
            self.above[above] = before.st_mode, before.st_uid, before.st_gid, before.st_mtime_ns
            above = above.rpartition("/")[0] or "/"
        self.made.append(path)

    def _look(self, path: str) -> os.stat_result:
        """By the root's descriptor: the way that leads to it may be covered just now."""
        return os.stat(path.strip("/") or ".", dir_fd=self.fd, follow_symlinks=False)

    def write_notes(self, path: str) -> None:
        """Write down what was made. No file is written if it is nothing. Raises OSError."""
        if not self.made:
            return
        above: dict[str, list[int]] = {}
        for directory, before in self.above.items():
            now = self._look(directory)
            above[directory] = [*before, now.st_mtime_ns, now.st_ctime_ns]
        notes: Notes = {"made": self.made, "above": above}
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
        try:
            os.write(fd, json.dumps(notes).encode())
        finally:
            os.close(fd)


def read_notes(path: str) -> Notes | None:
    """None if nothing was noted. Raises OSError, or ValueError for what is no such file."""
    try:
        with open(path, "rb") as file:
            notes: Notes = json.load(file)
    except FileNotFoundError:
        return None
    return notes


def _path_of(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


def _mount_id(fd: int) -> str:
    """proc_pid_fdinfo(5)."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        for line in file:
            if line.startswith("mnt_id:"):
                return line.split()[1]
    return ""
