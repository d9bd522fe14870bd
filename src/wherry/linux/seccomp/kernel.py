"""Giving a program to the kernel."""

import ctypes
import struct

from wherry import errdefs
from wherry.linux import syscalls
from wherry.spec.runtime import Seccomp

_FILTER_FLAGS = {
    # TSYNC needs nothing here: the filter is installed by a process with a single thread.
    "SECCOMP_FILTER_FLAG_TSYNC": 0,
    "SECCOMP_FILTER_FLAG_LOG": 1 << 1,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 1 << 2,
}

_SET_MODE_FILTER = 1
_SOCK_FILTER_SIZE = 8
# struct sock_fprog { unsigned short len; struct sock_filter *filter; }
_SOCK_FPROG = struct.Struct("@HP")


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
    code = ctypes.create_string_buffer(program, len(program))
    descriptor = _SOCK_FPROG.pack(length, ctypes.addressof(code))
    what = f"seccomp filter of {length} instructions"
    syscalls.call("seccomp", _SET_MODE_FILTER, flags, descriptor, what=what)
