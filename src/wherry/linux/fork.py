"""A fork whose child is born in a cgroup (clone3(2) with CLONE_INTO_CGROUP, Linux 5.7).

Moving a process afterwards takes a lock that stops every fork on the machine; being born there
costs nothing.
"""

import ctypes
import os
import signal
import struct

_CLONE_INTO_CGROUP = 0x200000000
_CLONE3 = 435  # on every architecture

# A door that keeps the interpreter's lock, as os.fork does: the child must come back holding it.
_syscall = ctypes.PyDLL(None, use_errno=True).syscall
_syscall.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_long]
_syscall.restype = ctypes.c_long
_before = ctypes.pythonapi.PyOS_BeforeFork
_after_in_child = ctypes.pythonapi.PyOS_AfterFork_Child
_after_in_parent = ctypes.pythonapi.PyOS_AfterFork_Parent


def fork_into(cgroup_fd: int) -> int:
    """As os.fork(), with the child in the cgroup (v2) that `cgroup_fd` refers to.

    Only for a process with one thread. Raises OSError.
    """
    arguments = struct.pack(
        "11Q", _CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, cgroup_fd
    )
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
