"""Mounts as values: made and described without root, carried out with it.

A root mount is what a snapshotter answers and what the runtime attaches inside a container's own
mount namespace. It travels as JSON between processes that share nothing else.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

from wherry.linux import loop, syscalls

MAX_LAYERS = 500
"""Lower directories of one overlay: OVL_MAX_STACK in the kernel's fs/overlayfs/params.h."""


class RootMountDocument(TypedDict, total=False):
    """A root mount on the wire."""

    type: Literal["overlay", "bind", "images"]
    lower: list[str]
    upper: str
    work: str
    volatile: bool
    source: str
    directory: str
    images: list[str]
    by_loop: bool
    above: list[str]


@dataclass(frozen=True)
class OverlayRoot:
    """A stack of directories, and a writable one on top.

    `lower` names absolute paths, the TOP layer first; `upper` and `work` are on one file system.
    Without `upper` and `work` ("") nobody can write to it.
    `volatile` (overlayfs' word) gives up durability of the upper directory: right for what is
    deleted when it ends. `one_device` is for lower directories on file systems of their own: all
    files then have the root's device number, else `tar --one-file-system` and the like would leave
    out what is not a directory. The file system's number is in the inode's high bits ("xino").
    """

    lower: tuple[str, ...]
    upper: str
    work: str
    volatile: bool = False
    one_device: bool = False

    def describe(self) -> str:
        options = f"lowerdir={':'.join(self.lower)},upperdir={self.upper},workdir={self.work}"
        return f"overlay type overlay ({options}{',volatile' if self.volatile else ''})"

    def open(self) -> int:
        """A detached mount's descriptor; nothing appears in any mount table.

        The directories are named by descriptor (/proc/self/fd/N), since an option's value holds
        255 bytes and a path 4,096. Kernels before 6.8 do not know `lowerdir+`; there a single
        `lowerdir` takes what fits.
        """
        opened: list[int] = []
        try:
            lower = [_path_by_fd(path, opened) for path in self.lower]
            if not self.upper and len(lower) == 1:
                # Then overlayfs wants two of them.
                opened.append(open_filesystem("tmpfs", "tmpfs", ("size=0", "nr_inodes=1")))
                lower.append(f"/proc/self/fd/{opened[-1]}")
            fs = syscalls.fsopen("overlay")
            opened.append(fs)
            _set_lower(fs, lower)
            if self.upper:
                upper, work = _path_by_fd(self.upper, opened), _path_by_fd(self.work, opened)
                syscalls.fsconfig_string(fs, "upperdir", upper)
                syscalls.fsconfig_string(fs, "workdir", work)
            syscalls.fsconfig_string(fs, "source", "overlay")
            # Distributions differ in the defaults. An upper directory with redirects, or with
            # files of attributes only, cannot be read as a layer's changes.
            for option in ("redirect_dir", "metacopy", "index"):
                syscalls.fsconfig_string(fs, option, "off")
            if self.volatile:
                syscalls.fsconfig_flag(fs, "volatile")
            if self.one_device:
                syscalls.fsconfig_string(fs, "xino", "on")
            return _create(fs, "overlay")
        finally:
            for fd in opened:
                os.close(fd)

    def attach(self, target: str) -> None:
        """Attach at `target` in the current mount namespace."""
        _attach(self.open(), target)


@dataclass(frozen=True)
class BindRoot:
    """One directory that is the whole root file system."""

    source: str

    def describe(self) -> str:
        return f"{self.source} type none (bind)"

    def open(self) -> int:
        """A detached copy of the mount at `source`."""
        return syscalls.open_tree(self.source, syscalls.OPEN_TREE_CLONE)

    def attach(self, target: str) -> None:
        """Attach at `target` in the current mount namespace."""
        _attach(self.open(), target)


@dataclass(frozen=True)
class ImagesRoot:
    """A stack of file system images (EROFS), and a writable directory on top.

    `images` names files in `directory`, the TOP layer first. Each is mounted from the file itself,
    or, with `by_loop`, from a loop device. Two mounts of one file have a page cache each, so who
    makes many roots mounts each image once (`open_image`), and puts the roots `over` these.
    `above` are plain directories that lie upon the images, the TOP one first.
    """

    directory: str
    images: tuple[str, ...]
    upper: str
    work: str
    by_loop: bool = False
    above: tuple[str, ...] = ()

    def describe(self) -> str:
        how = "loop" if self.by_loop else "file"
        images = ":".join(self.images)
        return (
            f"overlay type overlay (lowerdir={self.directory}/{{{images}}} by {how},"
            f"upperdir={self.upper},workdir={self.work})"
        )

    def paths(self) -> list[str]:
        """The images' files, TOP first."""
        return [f"{self.directory}/{name}" for name in self.images]

    def over(self, lower: Sequence[str]) -> OverlayRoot:
        """The same root upon images that are mounted already, at `lower`."""
        return OverlayRoot((*self.above, *lower), self.upper, self.work, one_device=True)

    def open(self) -> int:
        """A detached mount's descriptor, on image mounts of its own."""
        mounted: list[int] = []
        try:
            mounted.extend(open_image(path, self.by_loop) for path in self.paths())
            return self.over([f"/proc/self/fd/{fd}" for fd in mounted]).open()
        finally:
            for fd in mounted:
                os.close(fd)

    def attach(self, target: str) -> None:
        """Attach at `target` in the current mount namespace."""
        _attach(self.open(), target)


RootMount = OverlayRoot | BindRoot | ImagesRoot


def shown_upon(directory: str, root: RootMount) -> RootMount:
    """`root` with a directory's content upon its layers, where it is no change of anybody's.

    As it was if it is no stack, or one so high that overlayfs takes no more.
    """
    if isinstance(root, ImagesRoot) and len(root.images) < MAX_LAYERS:
        return replace(root, above=(directory, *root.above))
    if isinstance(root, OverlayRoot) and len(root.lower) < MAX_LAYERS:
        return replace(root, lower=(directory, *root.lower))
    return root


def open_image(path: str, by_loop: bool) -> int:
    """A detached, read-only mount of the EROFS image in the file `path`.

    Raises OSError: ENOTBLK where the kernel can't mount from a file (before Linux 6.12, or on a
    file system that has no own way to read pages, as tmpfs and overlayfs).
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    source = file
    try:
        if by_loop:
            source = loop.attach(file)
        options = ("ro", f"source=/proc/self/fd/{source}")
        return open_filesystem("erofs", "", options, syscalls.MOUNT_ATTR_RDONLY)
    finally:
        if source != file:
            os.close(source)
        os.close(file)


def root_mount_to_json(mount: RootMount) -> RootMountDocument:
    if isinstance(mount, BindRoot):
        return {"type": "bind", "source": mount.source}
    if isinstance(mount, ImagesRoot):
        return {
            "type": "images",
            "directory": mount.directory,
            "images": list(mount.images),
            "upper": mount.upper,
            "work": mount.work,
            "by_loop": mount.by_loop,
            "above": list(mount.above),
        }
    return {
        "type": "overlay",
        "lower": list(mount.lower),
        "upper": mount.upper,
        "work": mount.work,
        "volatile": mount.volatile,
    }


def root_mount_from_json(document: RootMountDocument) -> RootMount:
    if document["type"] == "bind":
        return BindRoot(document["source"])
    if document["type"] == "images":
        return ImagesRoot(
            document["directory"],
            tuple(document["images"]),
            document["upper"],
            document["work"],
            document["by_loop"],
            tuple(document["above"]),
        )
    return OverlayRoot(
        tuple(document["lower"]), document["upper"], document["work"], document["volatile"]
    )


def unescaped(path: str) -> str:
    """A path out of mountinfo(5), where spaces and the like are octal escapes.

    A path may hold any bytes: read the file with "surrogateescape" to keep those.
    """
    raw = path.encode("utf-8", "surrogateescape").decode("unicode_escape").encode("latin-1")
    return raw.decode("utf-8", "surrogateescape")


def open_filesystem(
    fstype: str, source: str, options: Sequence[str] = (), attributes: int = 0
) -> int:
    """A detached mount of a new file system instance: `options` are `key=value` or flags.

    Raises OSError with what the kernel said about the option that it refused.
    """
    fs = syscalls.fsopen(fstype)
    try:
        if source:
            syscalls.fsconfig_string(fs, "source", source)
        for option in options:
            key, separator, value = option.partition("=")
            if separator:
                syscalls.fsconfig_string(fs, key, value)
            else:
                syscalls.fsconfig_flag(fs, key)
        return _create(fs, fstype, attributes)
    finally:
        os.close(fs)


def _create(fs: int, fstype: str, attributes: int = 0) -> int:
    try:
        syscalls.fsconfig_create(fs)
        return syscalls.fsmount(fs, attributes)
    except OSError as error:
        said = syscalls.fs_message(fs)
        detail = f"{error.strerror} ({said})" if said else error.strerror
        raise OSError(error.errno, detail, fstype) from error


def _set_lower(fs: int, lower: Sequence[str]) -> None:
    try:
        for path in lower:
            syscalls.fsconfig_string(fs, "lowerdir+", path)
    except OSError:
        if lower and path != lower[0]:
            raise
        syscalls.fsconfig_string(fs, "lowerdir", ":".join(lower))


def _path_by_fd(path: str, opened: list[int]) -> str:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.append(fd)
    return f"/proc/self/fd/{fd}"


def _attach(mount_fd: int, target: str) -> None:
    try:
        target_fd = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syscalls.move_mount(mount_fd, target_fd, what=target)
        finally:
            os.close(target_fd)
    finally:
        os.close(mount_fd)
