"""System calls that Python 3.11's `os` lacks, by `ctypes`; each raises `OSError` naming the call.

Numbers are for x86_64 and aarch64. Everything is bound when this module is imported: a forked
child can use it when nothing may be imported any more.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Collection

# (x86_64, aarch64); calls since Linux 5.0 have one number everywhere.
_NUMBERS = {
    "umount2": (166, 39),
    "mount": (165, 40),
    "pivot_root": (155, 41),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "prctl": (157, 167),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mknodat": (259, 33),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "seccomp": (317, 277),
    "memfd_create": (319, 279),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "openat2": (437, 437),
    "mount_setattr": (442, 442),
}

MACHINE = os.uname().machine
if MACHINE not in ("x86_64", "aarch64"):
    raise ImportError(f"Wherry runs on x86_64 and aarch64, not on {MACHINE}")
_COLUMN = 0 if MACHINE == "x86_64" else 1

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
# c_void_p takes integers, bytes, buffers and None, each in a whole register.
_syscall.argtypes = [ctypes.c_long] + [ctypes.c_void_p] * 6
_syscall.restype = ctypes.c_long

Argument = int | bytes | ctypes.Array[ctypes.c_char] | None


def call(name: str, *arguments: Argument, what: str = "") -> int:
    """Make the system call `name`; retried when a signal interrupted it.

    Raises OSError whose `filename` is `what`, or the call's name: the place to look at first.
    """
    number = _NUMBERS[name][_COLUMN]
    padded = (*arguments, None, None, None, None, None, None)[:6]
    while True:
        result = int(_syscall(number, *padded))
        if result != -1:
            return result
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code), what or name)


# --- Namespaces -----------------------------------------------------------------------------

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000


def unshare(flags: int) -> None:
    """Leave the namespaces named by CLONE_NEW* `flags` for new ones (unshare(2))."""
    call("unshare", flags)


def setns(fd: int, flags: int = 0) -> None:
    """Join the namespace that `fd` refers to (setns(2))."""
    call("setns", fd, flags)


def sethostname(name: str) -> None:
    raw = name.encode()
    call("sethostname", raw, len(raw), what=name)


def setdomainname(name: str) -> None:
    raw = name.encode()
    call("setdomainname", raw, len(raw), what=name)


# --- Mounts, the calls of 1991 --------------------------------------------------------------

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_UNBINDABLE = 0x20000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8


def mount(source: str | None, target: str, fstype: str | None, flags: int, data: str = "") -> None:
    """mount(2). `data` over a page would be cut silently by the kernel: it is refused here."""
    raw = os.fsencode(data)
    if len(raw) >= 4096:
        raise OSError(errno.E2BIG, "mount options exceed a page", target)
    call(
        "mount",
        os.fsencode(source) if source is not None else None,
        os.fsencode(target),
        fstype.encode() if fstype is not None else None,
        flags,
        raw or None,
        what=target,
    )


def umount(target: str, flags: int = 0) -> None:
    call("umount2", os.fsencode(target), flags, what=target)


def pivot_root(new_root: str, put_old: str) -> None:
    call("pivot_root", os.fsencode(new_root), os.fsencode(put_old), what=new_root)


# --- Mounts, by descriptor (Linux 5.2; mount_setattr 5.12) ------------------------------------

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_SET_FD = 5
_FSCONFIG_CMD_CREATE = 6


def open_tree(path: str, flags: int, dirfd: int = AT_FDCWD) -> int:
    """A descriptor of the mount (or, with OPEN_TREE_CLONE, of a detached copy) at `path`."""
    return call("open_tree", dirfd, os.fsencode(path), flags | OPEN_TREE_CLOEXEC, what=path)


def move_mount(mount_fd: int, target_fd: int, what: str = "") -> None:
    """Attach the detached mount `mount_fd` upon the place that `target_fd` (O_PATH) refers to."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    call("move_mount", mount_fd, b"", target_fd, b"", flags, what=what or "move_mount")


def fsopen(fstype: str) -> int:
    return call("fsopen", fstype.encode(), 1, what=fstype)


def fsconfig_string(fs_fd: int, key: str, value: str) -> None:
    """Set an option; the kernel takes at most 255 bytes of value."""
    call(
        "fsconfig",
        fs_fd,
        _FSCONFIG_SET_STRING,
        key.encode(),
        os.fsencode(value),
        0,
        what=f"{key}={value}",
    )


def fsconfig_flag(fs_fd: int, key: str) -> None:
    call("fsconfig", fs_fd, _FSCONFIG_SET_FLAG, key.encode(), None, 0, what=key)


def fsconfig_fd(fs_fd: int, key: str, fd: int) -> None:
    call("fsconfig", fs_fd, _FSCONFIG_SET_FD, key.encode(), None, fd, what=key)


def fsconfig_create(fs_fd: int) -> None:
    call("fsconfig", fs_fd, _FSCONFIG_CMD_CREATE, None, None, 0)


def fsmount(fs_fd: int, attributes: int = 0) -> int:
    """A detached mount of the file system that `fs_fd` has configured."""
    return call("fsmount", fs_fd, 1, attributes)


def fs_message(fs_fd: int) -> str:
    """What the kernel has to say about a file system context that failed, or ``""``."""
    said = []
    while True:
        try:
            said.append(os.read(fs_fd, 4096).decode(errors="replace").strip())
        except OSError:
            return "; ".join(said)


def mount_setattr(
    fd: int, attr_set: int, attr_clear: int = 0, propagation: int = 0, recursive: bool = False
) -> None:
    """Change attributes of the mount `fd`, and with `recursive` of all below it."""
    attributes = struct.pack("QQQQ", attr_set, attr_clear, propagation, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    call("mount_setattr", fd, b"", flags, attributes, len(attributes))


# --- Paths inside a root ----------------------------------------------------------------------

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10


def openat2(dirfd: int, path: str | bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2), close-on-exec.

    With RESOLVE_IN_ROOT the kernel answers EAGAIN when a rename raced the walk: tried again, up
    to a bound, because a container that renames all day must not make us wait for ever.
    """
    raw = os.fsencode(path)
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
    for _ in range(128):
        try:
            return call("openat2", dirfd, raw, how, len(how), what=os.fsdecode(raw))
        except BlockingIOError:
            continue
    raise OSError(errno.EAGAIN, "renamed too often while it was resolved", os.fsdecode(raw))


# --- Processes ----------------------------------------------------------------------------------

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
_KEYCTL_JOIN_SESSION_KEYRING = 1
_CLOSE_RANGE_CLOEXEC = 4


def prctl(option: int, *arguments: Argument) -> int:
    return call("prctl", option, *arguments)


def close_range(first: int, last: int = 0xFFFFFFFF, cloexec: bool = False) -> None:
    """Close descriptors first..last, or mark them close-on-exec."""
    call("close_range", first, last, _CLOSE_RANGE_CLOEXEC if cloexec else 0)


def close_all_but(kept: Collection[int]) -> None:
    """Close every descriptor that is not in `kept`."""
    first = 0
    for fd in sorted(kept):
        if fd > first:
            close_range(first, fd - 1)
        first = fd + 1
    close_range(first)


def join_session_keyring(name: str) -> None:
    """A session keyring of its own, so that a container does not see the host's keys."""
    call("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, name.encode())
