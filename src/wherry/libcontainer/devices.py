"""The devices of a container: nodes in its fresh /dev, and the console."""

import contextlib
import os
import stat

from wherry import errdefs
from wherry.libcontainer.inroot import Root
from wherry.linux import pty
from wherry.linux import syscalls as sc
from wherry.spec.runtime import Device, Spec

# config-linux.md, "Default Devices": what a runtime supplies whatever the spec lists.
_DEFAULT: tuple[tuple[str, int, int], ...] = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)
_LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
    ("/proc/kcore", "core"),
)
_NO_DEVPTS = "a terminal needs a devpts file system at /dev/pts"
_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


def has_own_dev(spec: Spec) -> bool:
    """Whether /dev is ours to fill: not where the user binds a directory there."""
    for mount in spec.get("mounts", []):
        if mount["destination"].rstrip("/") == "/dev":
            return mount.get("type") == "tmpfs"
    return False


def make_devices(root: Root, spec: Spec, in_user_namespace: bool) -> None:
    """All device nodes and the customary symlinks. Raises EngineError naming the device."""
    listed = {device["path"]: device for device in spec.get("linux", {}).get("devices", [])}
    for path, major, minor in _DEFAULT:
        default: Device = {"path": path, "type": "c", "major": major, "minor": minor}
        listed.setdefault(path, {**default, "fileMode": 0o666})
    for path, device in listed.items():
        try:
            if in_user_namespace:
                _bind_device(root, path)
            else:
                _make_node(root, path, device)
        except OSError as error:
            raise errdefs.from_os_error(f"making the device {path}", error) from error
    dev = root.open("/dev", os.O_PATH | os.O_DIRECTORY)
    for target, name in _LINKS:
        if name != "core" or os.path.exists("/proc/kcore"):
            _link(dev, target, name)
    os.close(dev)


def _link(dev: int, target: str, name: str) -> None:
    try:
        os.symlink(target, name, dir_fd=dev)
    except FileExistsError:
        if name != "ptmx":
            return
        os.unlink(name, dir_fd=dev)
        os.symlink(target, name, dir_fd=dev)


def _make_node(root: Root, path: str, device: Device) -> None:
    directory, _, name = path.rpartition("/")
    parent = root.make_directory(directory or "/")
    try:
        mode = _KINDS[device.get("type", "c")] | device.get("fileMode", 0o666)
        number = os.makedev(device.get("major", 0), device.get("minor", 0))
        os.mknod(name, mode, number, dir_fd=parent)
        os.chown(
            name,
            device.get("uid", 0),
            device.get("gid", 0),
            dir_fd=parent,
            follow_symlinks=False,
        )
    except FileExistsError:
        return
    finally:
        os.close(parent)


def _bind_device(root: Root, path: str) -> None:
    """mknod is refused in a user namespace: the host's node is bound instead."""
    tree = sc.open_tree(path, sc.OPEN_TREE_CLONE)
    place = root.make_file(path)
    sc.move_mount(tree, place, what=path)
    os.close(place)
    os.close(tree)


def open_console(root: Root, devpts_fd: int) -> tuple[int, int]:
    """(master, slave) of the container's terminal, bound upon /dev/console.

    The slave is found in the devpts that we mounted, and /dev/console in the /dev that we
    mounted, without following links (CVE-2025-52565). Where the user has bound a /dev, there is
    no devpts of ours (`devpts_fd` -1): then it is the one that the user has bound with it.
    """
    if devpts_fd >= 0:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        devpts = os.open(f"/proc/self/fd/{devpts_fd}", flags)
    else:
        devpts = _bound_devpts(root)
    master, slave = _open_pair(devpts)
    tree = sc.open_tree(str(pty.number(master)), sc.OPEN_TREE_CLONE, devpts)
    dev = root.open("/dev", os.O_RDONLY | os.O_DIRECTORY)
    with contextlib.suppress(FileExistsError):
        # Made, never opened: in a bound /dev it is the host's console.
        os.mknod("console", stat.S_IFREG | 0o600, dir_fd=dev)
    place = root.open_place("/dev/console", follow=False)
    sc.move_mount(tree, place, what="/dev/console")
    for fd in (place, dev, tree, devpts):
        os.close(fd)
    return master, slave


def _bound_devpts(root: Root) -> int:
    try:
        return root.open("/dev/pts", os.O_RDONLY | os.O_DIRECTORY, follow=False)
    except OSError as error:
        raise errdefs.invalid(_NO_DEVPTS) from error


def _open_pair(devpts: int) -> tuple[int, int]:
    """A terminal of that file system; the directory may be something else, if a user bound it."""
    try:
        master, slave = pty.open_pair(devpts)
        there = os.stat(str(pty.number(master)), dir_fd=devpts, follow_symlinks=False)
    except OSError as error:
        raise errdefs.invalid(f"{_NO_DEVPTS}: {(error.strerror or '').lower()}") from error
    if not os.path.samestat(there, os.fstat(slave)):
        raise errdefs.invalid(_NO_DEVPTS)
    return master, slave
