"""Capabilities: their names and numbers, Docker's rules, and a process's five sets.

A process that becomes another user under a container's capabilities goes this way:

    drop_bounding(keep)              while it still has CAP_SETPCAP
    prctl(PR_SET_KEEPCAPS, 1)        or setresuid(2) away from 0 empties the permitted set
    setgroups, setresgid, setresuid  need CAP_SETGID and CAP_SETUID; they empty the effective set
    set_all(...)                     last: from here on it has no more than the container's
    execve                           KEEPCAPS ends here by itself

Nothing is imported and no file is opened after this module's import, so that a forked child can
go this way in a container's root.
"""

import ctypes
import os
import struct
import typing
from collections.abc import Collection, Iterable

from wherry import errdefs
from wherry.linux import syscalls

# In the order of <linux/capability.h>: a name's place is its number.
_KERNELS = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
PERFMON BPF CHECKPOINT_RESTORE
"""
NAMES = tuple(f"CAP_{name}" for name in _KERNELS.split())
NUMBERS = {name: number for number, name in enumerate(NAMES)}

# What a container has unless told otherwise, in Docker's order (moby, oci/caps/defaults.go).
DEFAULT = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)
ALL = "ALL"

_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4

# struct __user_cap_header_struct { __u32 version; int pid; }, and twice, lower half first,
# struct __user_cap_data_struct { __u32 effective, permitted, inheritable; }.
_HEADER = struct.pack("=Ii", 0x20080522, 0)
_DATA = struct.Struct("=6I")

_libc = ctypes.CDLL(None, use_errno=True)
_capget = _libc.capget
_capset = _libc.capset
_capget.argtypes = _capset.argtypes = (ctypes.c_char_p, ctypes.c_char_p)


class Sets(typing.NamedTuple):
    """Three of a thread's sets as bit masks: bit n stands for the capability of number n."""

    effective: int
    permitted: int
    inheritable: int


def _kernels_last() -> int:
    try:
        with open("/proc/sys/kernel/cap_last_cap", "rb") as file:
            return int(file.read())
    except OSError:  # no /proc: ask for one after the other
        last = len(NAMES) - 1
        while not _is_known_to_kernel(last):
            last -= 1
        return last


def _is_known_to_kernel(number: int) -> bool:
    try:
        syscalls.prctl(_PR_CAPBSET_READ, number)
    except OSError:
        return False
    return True


# The highest number that this kernel has; it may know more than NAMES, or less.
LAST = _kernels_last()


def known() -> tuple[str, ...]:
    """The capabilities that this kernel has and that have a name here, by number."""
    return NAMES[: LAST + 1]


def parse(text: str, field: str = "") -> str:
    """The name (CAP_NET_ADMIN, or ALL) of one in any of Docker's forms: net_admin, CAP_NET_ADMIN.

    Raises EngineError INVALID_ARGUMENT naming it and what it may have meant, and the `field` of a
    request that it was in.
    """
    name = text.upper()
    if name == ALL:
        return ALL
    name = name if name.startswith("CAP_") else f"CAP_{name}"
    if name not in NUMBERS:
        where = f"invalid {field}: " if field else ""
        raise errdefs.invalid(f'{where}unknown capability: "{name}"{_hint(name)}')
    if NUMBERS[name] > LAST:
        raise errdefs.invalid(f"capability {name} is not known to this kernel")
    return name


def merge(cap_add: Iterable[str], cap_drop: Iterable[str], privileged: bool = False) -> list[str]:
    """A container's capabilities by Docker's rules (moby, oci/caps/utils.go), none twice.

    Privileged means all. Adding ALL means all but the dropped ones; dropping ALL, only the added
    ones; else it is the default ones without the dropped ones, and then the added ones. Raises
    EngineError INVALID_ARGUMENT for an unknown name.
    """
    add = [parse(text, "CapAdd") for text in cap_add]
    drop = {parse(text, "CapDrop") for text in cap_drop}
    if privileged:
        return list(known())
    if ALL in add:
        return [name for name in known() if name not in drop]
    kept = [] if ALL in drop else [name for name in DEFAULT if name not in drop]
    return list(dict.fromkeys([*kept, *add]))


def mask(names: Iterable[str]) -> int:
    """The set of these capabilities as bits. Raises EngineError INVALID_ARGUMENT for others."""
    bits = 0
    for name in names:
        if name not in NUMBERS:
            raise errdefs.invalid(f"unknown capability: {name!r}")
        bits |= 1 << NUMBERS[name]
    return bits


def get() -> Sets:
    """The calling thread's sets."""
    data = ctypes.create_string_buffer(_DATA.size)
    _check(_capget(_HEADER, data), "capget")
    low = struct.unpack("=6I", data.raw)
    return Sets(low[0] | low[3] << 32, low[1] | low[4] << 32, low[2] | low[5] << 32)


def drop_bounding(keep: Collection[str]) -> None:
    """Take everything but `keep` from the bounding set: no execve can bring it back.

    Comes first, while CAP_SETPCAP is effective. Also takes what the kernel has beyond NAMES.
    Raises OSError (EPERM without CAP_SETPCAP), EngineError INVALID_ARGUMENT for unknown names.
    """
    kept = mask(keep)
    for number in range(LAST + 1):
        if not kept >> number & 1:
            syscalls.prctl(_PR_CAPBSET_DROP, number)


def set_all(
    effective: Collection[str],
    permitted: Collection[str],
    inheritable: Collection[str],
    ambient: Collection[str],
) -> None:
    """Make the thread's sets exactly these; comes last, after the change of user.

    Every ambient capability must be permitted and inheritable, every effective one permitted.
    Raises OSError (EPERM for more than the thread has), EngineError INVALID_ARGUMENT for unknown
    names.
    """
    raised = mask(ambient)
    sets = [mask(names) for names in (effective, permitted, inheritable)]
    halves = [bits & 0xFFFFFFFF for bits in sets] + [bits >> 32 for bits in sets]
    _check(_capset(_HEADER, _DATA.pack(*halves)), "capset")
    syscalls.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(LAST + 1):
        if raised >> number & 1:
            syscalls.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def _hint(name: str) -> str:
    # Only ever needed in the engine, never after a fork.
    import difflib

    rests = [known.removeprefix("CAP_") for known in NAMES]
    near = difflib.get_close_matches(name.removeprefix("CAP_"), rests, n=1, cutoff=0.6)
    return f" (did you mean CAP_{near[0]}?)" if near else ""
