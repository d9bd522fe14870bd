"""What mounts need that no path of the host can name: layers, and contents that are on no disk.

Two types of mount that are not the OCI's; `given` in them is a number::

    {"type": "layers",  "given": 0, "source": "src/app", ...}    a part of a stack of layers
    {"type": "content", "given": 0, "options": ["mode=400", "uid=0", "gid=0", ...], ...}

The one is a root mount of which a directory or a file is shown. The other is a file whose bytes
came by a descriptor: it is made in a ramfs, which the kernel never swaps out.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from wherry import errdefs
from wherry.libcontainer.inroot import Root
from wherry.linux import mounts
from wherry.linux import syscalls as sc
from wherry.linux.mounts import RootMount
from wherry.spec.runtime import Mount

TYPES = ("layers", "content")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Given:
    """What came along with a specification: `contents` are descriptors of files in memory."""

    layers: tuple[RootMount, ...] = ()
    contents: tuple[int, ...] = ()


class Source:
    """Makes detached mounts of what was given.

    `table` is a directory that is covered until `close`, in the caller's mount namespace: kernels
    before 6.15 copy a part of a mount only while that is attached.
    """

    def __init__(self, given: Given, table: str) -> None:
        self._given = given
        self._table = table
        self._memory = -1

    def open(self, mount: Mount, data: Sequence[str]) -> int:
        """A detached mount of the directory or file that `mount` wants; `data` are the options that
        are no mount's. Raises OSError, or InvalidArgument if nothing was given for it."""
        number = mount.get("given", -1)
        try:
            if mount["type"] == "layers":
                return self._open_layers(self._given.layers[number], mount.get("source", ""))
            return self._open_content(self._given.contents[number], data)
        except IndexError:
            raise errdefs.invalid(
                f"{mount['destination']}: {mount['type']} {number} was not given"
            ) from None

    def _open_layers(self, root: RootMount, path: str) -> int:
        whole = root.open()
        if path in ("", "/"):
            return whole
        try:
            self._lay(whole)
            try:
                return _part(whole, path)
            finally:
                self._take_up()
        finally:
            os.close(whole)

    def _open_content(self, source: int, data: Sequence[str]) -> int:
        if self._memory < 0:
            self._memory = mounts.open_filesystem("ramfs", "ramfs", ["mode=700"])
            self._lay(self._memory)
        name = str(source)
        settings = dict(option.split("=", 1) for option in data)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=self._memory)
        try:
            _copy(source, fd)
            os.fchown(fd, int(settings.get("uid", "0")), int(settings.get("gid", "0")))
            os.fchmod(fd, int(settings.get("mode", "444"), 8))
        finally:
            os.close(fd)
        return _part(self._memory, name)

    def _lay(self, mount: int) -> None:
        """Attach it upon the table, and upon what lies there."""
        table = os.open(self._table, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sc.move_mount(mount, table, what=self._table)
        finally:
            os.close(table)

    def _take_up(self) -> None:
        """Detach what lies on top. It can't be attached again."""
        sc.umount(self._table, sc.MNT_DETACH)

    def close(self) -> None:
        """Let go of all; what was mounted stays, and the table is empty."""
        if self._memory >= 0:
            self._take_up()
            os.close(self._memory)
            self._memory = -1


def _part(whole: int, path: str) -> int:
    """A detached mount of what is at `path` in an attached one: through no symlink out of it."""
    place = Root(whole).open_place(path)
    try:
        return sc.open_tree("", sc.OPEN_TREE_CLONE | sc.AT_EMPTY_PATH, place)
    finally:
        os.close(place)


def _copy(source: int, target: int) -> None:
    offset = 0
    while data := os.pread(source, _CHUNK, offset):
        offset += len(data)
        while data:
            data = data[os.write(target, data) :]
