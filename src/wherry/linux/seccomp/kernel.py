"""Giving a program to the kernel."""

import ctypes
import os

from wherry import errdefs
from wherry.spec.runtime import Seccomp

_FILTER_FLAGS = {
    # TSYNC needs nothing here: the filter is installed by a process with a single thread.
    "SECCOMP_FILTER_FLAG_TSYNC": 0,
    "SECCOMP_FILTER_FLAG_LOG": 1 << 1,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 1 << 2,
}

_SECCOMP_SET_MODE_FILTER = 1
_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277, "i686": 354, "i386": 354}.get(
    os.uname().machine, 383
)
_SOCK_FILTER_SIZE = 8


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


# Looked up when the module is imported: after the fork nothing may be searched for.
_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.argtypes = (ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong, ctypes.POINTER(_SockFprog))
_syscall.restype = ctypes.c_long


def filter_flags(section: Seccomp) -> int:
    """The section's flags as `install` takes them.

    Raises EngineError INVALID_ARGUMENT for a flag that isn't known.
    """
    flags = 0
    for name in section.get("flags") or ():
        if name not in _FILTER_FLAGS:
            raise errdefs.invalid(
                f"seccomp: unknown flag {name!r} (known: {', '.join(_FILTER_FLAGS)})"
            )
        flags |= _FILTER_FLAGS[name]
    return flags


def install(program: bytes, flags: int = 0) -> None:
    """Put the calling thread under `program` for good, and all that it forks or executes.

    The thread needs CAP_SYS_ADMIN in its user namespace or no_new_privs, so without
    no_new_privs this comes before capabilities are dropped, and the program must allow what is
    still to be done. Raises OSError: EACCES without either, EINVAL for a program that the kernel
    doesn't take, ENOSYS if it has no seccomp filters.
    """
    length = len(program) // _SOCK_FILTER_SIZE
    descriptor = _SockFprog(length, program)
    if _syscall(_SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(descriptor)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), f"seccomp filter of {length} instructions")
