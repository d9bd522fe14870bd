"""Who a process was: its pid, its start time and the boot's id, so that no reused pid is taken
for it."""

import json
import os
from typing import TypedDict


class Identity(TypedDict):
    pid: int
    start: int


class PidDocument(TypedDict):
    """The content of a container's `pid` file."""

    boot: str
    cgroup: str
    shim: Identity
    init: Identity


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return file.read().decode().strip()


def identity(pid: int) -> Identity:
    """Raises ProcessLookupError if there is no such process."""
    start = start_time(pid)
    if start is None:
        raise ProcessLookupError(pid)
    return {"pid": pid, "start": start}


def start_time(pid: int) -> int | None:
    """Clock ticks after boot at which `pid` began (proc(5), stat field 22), or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name before it may hold spaces and parentheses.
            return int(file.read().rpartition(b")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(who: Identity) -> bool:
    return start_time(who["pid"]) == who["start"]


def write(path: str, cgroup: str, shim_pid: int, init_pid: int) -> None:
    document: PidDocument = {
        "boot": boot_id(),
        "cgroup": cgroup,
        "shim": identity(shim_pid),
        "init": identity(init_pid),
    }
    write_atomically(path, json.dumps(document).encode())


def read(path: str) -> PidDocument | None:
    """The document, or None if there is none that speaks of this boot."""
    try:
        with open(path, "rb") as file:
            document: PidDocument = json.load(file)
    except (FileNotFoundError, ValueError):
        return None
    return document if document.get("boot") == boot_id() else None


def write_atomically(path: str, data: bytes) -> None:
    """Write beside and rename. No fsync: these files do not outlive a boot."""
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
    os.rename(path + ".new", path)
