"""Forks that os.fork() can't make: into a cgroup, or as a sibling (clone3(2), Linux 5.7).

Moving a process into a cgroup (v2) afterwards takes a lock that stops every fork on the machine;
being born there costs nothing. A sibling has its maker's parent for its own, from the first.
"""

import ctypes
import os
import signal
import struct

_CLONE_PARENT = 0x8000
_CLONE_INTO_CGROUP = 0x200000000
_CLONE3 = 435  # on every architecture

# A door that keeps the interpreter's lock, as os.fork does: the child must come back holding it.
_syscall = ctypes.PyDLL(None, use_errno=True).syscall
_syscall.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_long]
_syscall.restype = ctypes.c_long
_before = ctypes.pythonapi.PyOS_BeforeFork
_after_in_child = ctypes.pythonapi.PyOS_AfterFork_Child
_after_in_parent = ctypes.pythonapi.PyOS_AfterFork_Parent


def fork(cgroup_fd: int | None = None, sibling: bool = False, namespaces: int = 0) -> int:
    """As os.fork(): 0 in the child, its pid in the caller.

    The child is in the cgroup (v2) that `cgroup_fd` refers to, if one is given. A `sibling` is
    the caller's parent's to reap. `namespaces` is a mask of CLONE_NEW* flags of those that are
    made for it. Only for a process with one thread. Raises OSError.
    """
    flags = namespaces | (_CLONE_PARENT if sibling else 0)
    if cgroup_fd is not None:
        flags |= _CLONE_INTO_CGROUP
    # With CLONE_PARENT the kernel wants none, and takes the caller's own.
    exit_signal = 0 if sibling else signal.SIGCHLD
    arguments = struct.pack("11Q", flags, 0, 0, 0, exit_signal, 0, 0, 0, 0, 0, cgroup_fd or 0)
    _before()
    pid = int(_syscall(_CLONE3, arguments, len(arguments)))
    if pid == 0:
        _after_in_child()
        return 0
    code = ctypes.get_errno()
    _after_in_parent()
    if pid < 0:
        raise OSError(code, os.strerror(code), "clone3")
    return pid
