"""Kernel parameters of a container's namespaces."""

import os
from collections.abc import Mapping

from wherry import errdefs
from wherry.linux import mounts
from wherry.linux import syscalls as sc


def write(sysctls: Mapping[str, str]) -> None:
    """Set parameters of the namespaces that the caller is in. InvalidArgument names a refused one.

    Through a procfs that nobody else holds, so that no mount upon /proc redirects it
    (CVE-2025-52881).
    """
    if not sysctls:
        return
    proc = mounts.open_filesystem("proc", "proc")
    try:
        for name, value in sysctls.items():
            _write_one(proc, name, value)
    finally:
        os.close(proc)


def _write_one(proc: int, name: str, value: str) -> None:
    beneath = sc.RESOLVE_BENEATH | sc.RESOLVE_NO_SYMLINKS | sc.RESOLVE_NO_XDEV
    try:
        fd = sc.openat2(proc, "sys/" + name.replace(".", "/"), os.O_WRONLY, 0, beneath)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise errdefs.invalid(f"sysctl {name}={value}: {error.strerror}") from error
