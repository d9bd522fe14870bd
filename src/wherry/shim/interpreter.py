"""How the launcher is executed: from a copy of the interpreter that can't be written to."""

import contextlib
import fcntl
import os
import resource
import socket
import subprocess
import sys

from wherry.linux import syscalls as sc

# What this process was started with, before it may have raised it for itself.
_FILE_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)

_SEALS = 1 | 2 | 4 | 8  # F_SEAL_SEAL, _SHRINK, _GROW, _WRITE
_BOOT = """
import sys
sys.path.append(sys.argv[1])
from wherry.shim.launcher import main
main(int(sys.argv[2]), sys.argv[3])
"""


def open_protected(path: str) -> int:
    """A descriptor to execute `path` by, whose /proc/PID/exe nobody can open for writing.

    A detached read-only copy of its mount (Linux 5.12); before that a sealed copy in memory.
    """
    try:
        fd = sc.open_tree(path, sc.OPEN_TREE_CLONE)
    except OSError:
        return _sealed_copy(path)
    try:
        sc.mount_setattr(fd, sc.MOUNT_ATTR_RDONLY)
    except OSError:
        os.close(fd)
        return _sealed_copy(path)
    return fd


def _sealed_copy(path: str) -> int:
    fd = os.memfd_create("python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(path, "rb") as source:
        while os.sendfile(fd, source.fileno(), None, 1 << 30):
            pass
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def spawn_launcher(requests: socket.socket, cgroup: str) -> "subprocess.Popen[bytes]":
    """Start the launcher with its end of the request socket.

    It finds `wherry` and nothing else beyond the standard library; its environment is empty. Its
    limit of open files, which containers inherit, is the one that this process was started with.
    """
    python = os.path.realpath(sys.executable)
    packages = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    fd = open_protected(python)
    try:
        launcher = subprocess.Popen(
            [python, "-I", "-S", "-c", _BOOT, packages, str(requests.fileno()), cgroup],
            executable=f"/proc/self/fd/{fd}",
            pass_fds=(fd, requests.fileno()),
            env={"LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        os.close(fd)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, _FILE_LIMIT)
    return launcher
