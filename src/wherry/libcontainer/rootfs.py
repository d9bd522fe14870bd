"""A container's root file system, put together inside its own mount namespace.

::

    host's tree (private copy)           the container's
      /                                    /              <- pivot_root
      `- <bundle>/rootfs  <- root mount    |- proc, dev, sys, ...  fresh mounts
                                           |- /etc/hosts, volumes  bind mounts
                                           `- masked, read-only paths

Each mount is made detached and moved upon a place that was opened inside the root
(`inroot.Root`), so that no path string is resolved twice. When init leaves, so does all of it.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Mapping, Sequence

from wherry import errdefs
from wherry.libcontainer import mountoptions
from wherry.libcontainer.given import TYPES, Given, Source
from wherry.libcontainer.inroot import Root
from wherry.libcontainer.mountoptions import MountOptions
from wherry.libcontainer.mountpoints import MakingRoot
from wherry.linux import mounts
from wherry.linux import syscalls as sc
from wherry.spec.runtime import Mount, Spec

# The file systems whose place must not be a symlink of the image: a masked path or a sysctl
# would else be looked up in a forged one (CVE-2019-19921).
_KERNEL_FILESYSTEMS = ("proc", "sysfs", "cgroup", "cgroup2", "mqueue")


class RootFilesystem:
    """The making of one container's tree, step by step, in the order of the methods.

    `staging` is an empty directory of the host that the root mount covers until the pivot.
    `trees` are detached mounts, with others below them, that stand for all that the spec says of
    the place that is their key; they are closed. `given` is what mounts of our own types show. With
    `notes`, that file tells which mount points were made (`mountpoints`). Raises EngineError that
    names the mount; the caller's namespace is then thrown away.
    """

    def __init__(
        self,
        spec: Spec,
        staging: str,
        trees: Mapping[str, int] | None = None,
        given: Given | None = None,
        notes: str = "",
    ) -> None:
        self.spec = spec
        self.staging = staging
        self.trees = trees or {}
        self.source = Source(given or Given(), os.path.dirname(staging))
        self.notes = notes
        self.devpts_fd = -1
        self.root_mount = -1
        self.root = Root(-1)
        # Taken before any mount of the container's, so that it is the host's true /dev/null. It can
        # be read and written through a read-only mount, but its mode and owner can't be changed.
        self.null = sc.open_tree("/dev/null", sc.OPEN_TREE_CLONE)
        sc.mount_setattr(self.null, sc.MOUNT_ATTR_RDONLY)

    def detach_from_host(self) -> None:
        """No mount made here reaches the host; whether the host's reach us, the spec says."""
        wanted = self.spec.get("linux", {}).get("rootfsPropagation") or "rslave"
        try:
            bits = mountoptions.propagation(wanted)
        except KeyError:
            raise errdefs.invalid(f"there is no mount propagation {wanted!r}") from None
        sc.mount(None, "/", None, bits | sc.MS_REC)
        if bits & sc.MS_SHARED:
            # Attaching our root below a shared mount would show it to the host.
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                point = mountoptions.mount_point_of(os.path.realpath(self.staging), file.read())
            sc.mount(None, point, None, sc.MS_PRIVATE)

    def attach_root(self, root_mount: int) -> None:
        """Put the root mount (a detached one's descriptor) upon the staging directory."""
        self.root_mount = root_mount
        staging = os.open(self.staging, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        sc.mount_setattr(root_mount, 0, 0, sc.MS_PRIVATE, recursive=True)
        sc.move_mount(root_mount, staging, what=self.staging)
        os.close(staging)
        self.root = MakingRoot(root_mount) if self.notes else Root(root_mount)

    def attach_mounts(self, more: Sequence[Mount]) -> None:
        """All mounts of the spec in their order; `more` replaces the one of type `cgroup`."""
        for mount in self.spec.get("mounts", []):
            if mount.get("type") == "cgroup":
                for part in more:
                    self.attach(part)
            elif mount["destination"] in self.trees:
                self._attach_tree(mount)
            elif mount.get("type") in TYPES or not self._is_in_tree(mount["destination"]):
                self.attach(mount)
        self.source.close()
        if isinstance(self.root, MakingRoot):
            self.root.write_notes(self.notes)
            self.root = Root(self.root_mount)

    def _is_in_tree(self, path: str) -> bool:
        return any(is_below(path, top) for top in self.trees)

    def _attach_tree(self, mount: Mount) -> None:
        tree = self.trees[mount["destination"]]
        try:
            self._put(mount, tree)
            if mount["destination"] == "/dev":
                with contextlib.suppress(FileNotFoundError):
                    self.devpts_fd = sc.openat2(
                        tree, "pts", os.O_PATH | os.O_DIRECTORY, 0, sc.RESOLVE_IN_ROOT
                    )
        except OSError as error:
            raise _mount_error(mount, error) from error
        os.close(tree)

    def attach(self, mount: Mount) -> None:
        """One mount. InvalidArgument, naming it, if the kernel refuses."""
        try:
            self._attach(mount)
        except OSError as error:
            raise _mount_error(mount, error) from error

    def _attach(self, mount: Mount) -> None:
        options = mountoptions.parse(mount.get("options", []))
        fstype = mount.get("type", "")
        if fstype == "symlink":
            self._link(mount.get("source", ""), mount["destination"])
            return
        if "remount" in mount.get("options", []):
            self._change(mount["destination"], options)
            return
        if options.bind or fstype in ("bind", "none", ""):
            recursive = sc.AT_RECURSIVE if options.recursive else 0
            tree = sc.open_tree(mount["source"], sc.OPEN_TREE_CLONE | recursive)
            self._bind(mount, options, tree)
            return
        if fstype in TYPES:
            self._bind(mount, options, self.source.open(mount, options.data))
            return
        fd = mounts.open_filesystem(
            fstype, mount.get("source") or fstype, options.data, options.attr_set
        )
        try:
            self._put(mount, fd)
            _propagate(fd, options.propagation)
        except BaseException:
            os.close(fd)
            raise
        if fstype == "devpts" and mount["destination"] == "/dev/pts":
            self.devpts_fd = fd
        else:
            os.close(fd)

    def _put(self, mount: Mount, fd: int) -> None:
        """Move the detached `fd` to the mount's place."""
        follow = mount.get("type") not in _KERNEL_FILESYSTEMS
        place = self.root.make_directory(mount["destination"], follow=follow)
        sc.move_mount(fd, place, what=mount["destination"])
        os.close(place)

    def _bind(self, mount: Mount, options: MountOptions, tree: int) -> None:
        """Move the detached `tree` to the mount's place, which is made as the tree is."""
        try:
            # Whether a file or a directory is made depends on the source we hold, not on its name.
            if stat.S_ISDIR(os.fstat(tree).st_mode):
                place = self.root.make_directory(mount["destination"])
            else:
                place = self.root.make_file(mount["destination"])
            if options.attr_set or options.attr_clear:
                sc.mount_setattr(tree, options.attr_set, options.attr_clear)
            if options.recursive_set or options.recursive_clear:
                sc.mount_setattr(
                    tree, options.recursive_set, options.recursive_clear, recursive=True
                )
            sc.move_mount(tree, place, what=mount["destination"])
            os.close(place)
            _propagate(tree, options.propagation or sc.MS_PRIVATE | sc.MS_REC)
        finally:
            os.close(tree)

    def _change(self, path: str, options: MountOptions) -> None:
        place = self.root.open_place(path, follow=False)
        sc.mount_setattr(place, options.attr_set, options.attr_clear)
        os.close(place)

    def _link(self, target: str, path: str) -> None:
        directory, _, name = path.rpartition("/")
        parent = self.root.make_directory(directory or "/")
        try:
            os.symlink(target, name, dir_fd=parent)
        except FileExistsError:
            return
        finally:
            os.close(parent)

    def pivot(self) -> None:
        """Make the staging directory `/`, and let go of the host's tree altogether."""
        old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fchdir(self.root_mount)
        sc.pivot_root(".", ".")
        # Both roots lie on one another now; the old one is below and must not take others along.
        os.fchdir(old)
        sc.mount(None, ".", None, sc.MS_SLAVE | sc.MS_REC)
        sc.umount(".", sc.MNT_DETACH)
        os.close(old)
        os.chdir("/")

    def finish(self) -> None:
        """Read-only root, masked and read-only paths: last, because the rest needs to write."""
        self.restrict()
        root = self.spec.get("root")
        if root and root.get("readonly"):
            sc.mount_setattr(self.root_mount, sc.MOUNT_ATTR_RDONLY)
        if "shared" in (self.spec.get("linux", {}).get("rootfsPropagation") or ""):
            sc.mount_setattr(self.root_mount, 0, 0, sc.MS_SHARED)
        self.close()

    def restrict(self) -> None:
        """Masked and read-only paths, but those in trees, which came with theirs."""
        linux = self.spec.get("linux", {})
        for path in linux.get("readonlyPaths", []):
            if not self._is_in_tree(path):
                self._make_read_only(path)
        for path in linux.get("maskedPaths", []):
            if not self._is_in_tree(path):
                self._mask(path)

    def close(self) -> None:
        """Let go of all descriptors."""
        for fd in (self.null, self.root_mount, self.devpts_fd):
            if fd >= 0:
                os.close(fd)

    def _mask(self, path: str) -> None:
        """Hide a file under /dev/null, a directory under an empty read-only tmpfs.

        Both come from us, never from the container's /dev (CVE-2025-31133).
        """
        place = self._existing(path)
        if place is None:
            return
        if stat.S_ISDIR(os.fstat(place).st_mode):
            attributes = sc.MOUNT_ATTR_RDONLY | sc.MOUNT_ATTR_NOSUID | sc.MOUNT_ATTR_NODEV
            cover = mounts.open_filesystem("tmpfs", "tmpfs", ["nr_inodes=1"], attributes)
        else:
            cover = sc.open_tree("", sc.OPEN_TREE_CLONE | sc.AT_EMPTY_PATH, self.null)
        sc.move_mount(cover, place, what=path)
        os.close(cover)
        os.close(place)

    def _make_read_only(self, path: str) -> None:
        place = self._existing(path)
        if place is None:
            return
        flags = sc.OPEN_TREE_CLONE | sc.AT_EMPTY_PATH | sc.AT_RECURSIVE
        cover = sc.open_tree("", flags, place)
        sc.mount_setattr(cover, sc.MOUNT_ATTR_RDONLY, recursive=True)
        sc.move_mount(cover, place, what=path)
        os.close(cover)
        os.close(place)

    def _existing(self, path: str) -> int | None:
        """The place at `path`, never through a symlink: a forged one would move the mask."""
        try:
            return Root(self.root_mount).open_place(path, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise errdefs.invalid(f"{path} of the image is a symlink; it must not be") from None
            raise


def is_below(path: str, top: str) -> bool:
    """Whether `path` is `top` or lies in it."""
    return path == top or path.startswith(top + "/")


def _propagate(mount_fd: int, bits: int) -> None:
    if bits:
        recursive = bool(bits & sc.MS_REC)
        sc.mount_setattr(mount_fd, 0, 0, bits & ~sc.MS_REC, recursive=recursive)


def _mount_error(mount: Mount, error: OSError) -> errdefs.EngineError:
    source, destination = mount.get("source", ""), mount["destination"]
    said = (error.strerror or str(error)).lower()
    fstype = mount.get("type", "bind")
    if error.errno == errno.ENOTDIR:
        said += ": are you trying to mount a directory onto a file (or vice-versa)?"
    elif error.errno == errno.ELOOP:
        said = "the image has a symlink there"
    return errdefs.invalid(f'mounting {source} ({fstype}) at "{destination}": {said}')
