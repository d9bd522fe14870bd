"""The architectures a filter can know: how the kernel names them, and their system calls."""

import functools
import os
import typing

from wherry import errdefs
from wherry.linux.seccomp import numbers

# A number with this bit is x32's, on a kernel that calls both of them AUDIT_ARCH_X86_64.
X32_BIT = 0x40000000

# <linux/audit.h>: the machine of the ELF header, with bits for 64-bit and little-endian.
AUDIT_X86_64 = 0xC000003E
AUDIT_I386 = 0x40000003
AUDIT_AARCH64 = 0xC00000B7
AUDIT_ARM = 0x40000028

TOKENS = (
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
)

# Others of the runtime specification. Their calls never reach a kernel of TOKENS.
_OTHERS = """
MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC PARISC64
RISCV64 LOONGARCH64 M68K SH SHEB
"""
FOREIGN = frozenset(f"SCMP_ARCH_{name}" for name in _OTHERS.split())

_NATIVE = {
    "x86_64": "SCMP_ARCH_X86_64",
    "i386": "SCMP_ARCH_X86",
    "i686": "SCMP_ARCH_X86",
    "aarch64": "SCMP_ARCH_AARCH64",
    "armv7l": "SCMP_ARCH_ARM",
    "armv8l": "SCMP_ARCH_ARM",
}


class Architecture(typing.NamedTuple):
    """One calling convention of system calls.

    `audit` is what the kernel puts into `seccomp_data.arch`; x86_64 and x32 share theirs.
    `wide` says whether all 64 bits of an argument count: for the others libseccomp looks at the
    lower half only, and so do we. `first` is the lowest number that is its own (x32's have a bit
    set). `private` is where numbers begin that grow apart from the rest (x32's own calls at 512,
    arm's private ones), so that they say nothing on what is newest. `numbers` has the x32 bit
    where it belongs.
    """

    token: str
    audit: int
    wide: bool
    first: int
    private: int
    numbers: dict[str, int]


def native(machine: str | None = None) -> str:
    """The token (SCMP_ARCH_...) of this machine, or of a `uname -m`.

    Raises EngineError NOT_IMPLEMENTED on a machine whose system calls aren't known here.
    """
    machine = machine or os.uname().machine
    token = _NATIVE.get(machine)
    if token is None:
        raise errdefs.not_implemented(
            f"no table of system calls for the machine {machine}: "
            "run without seccomp (--security-opt seccomp=unconfined)"
        )
    return token


@functools.cache
def architecture(token: str) -> Architecture:
    """The architecture of that name (SCMP_ARCH_X86_64 ...).

    Raises EngineError INVALID_ARGUMENT for a name that isn't in TOKENS.
    """
    match token:
        case "SCMP_ARCH_X86_64":
            return Architecture(token, AUDIT_X86_64, True, 0, X32_BIT, _x86_64())
        case "SCMP_ARCH_X86":
            return Architecture(token, AUDIT_I386, False, 0, X32_BIT, _table(numbers.I386))
        case "SCMP_ARCH_X32":
            return Architecture(token, AUDIT_X86_64, False, X32_BIT, X32_BIT | 512, _x32())
        case "SCMP_ARCH_AARCH64":
            return Architecture(token, AUDIT_AARCH64, True, 0, X32_BIT, _table(numbers.AARCH64))
        case "SCMP_ARCH_ARM":
            arm = _table(numbers.ARM)
            del arm["memfd_secret"]
            return Architecture(token, AUDIT_ARM, False, 0, 0xF0000, arm)
    raise errdefs.invalid(
        f"seccomp: unknown architecture {token!r} (known here: {', '.join(TOKENS)})"
    )


def _x86_64() -> dict[str, int]:
    return _table(numbers.X86_64)


def _x32() -> dict[str, int]:
    """x86_64's table without what x32 lacks and with what it has instead, bit 30 set."""
    table = _x86_64()
    for name in numbers.X32_LACKS.split():
        del table[name]
    table |= _runs(numbers.X32_INSTEAD)
    return {name: number | X32_BIT for name, number in table.items()}


def _table(text: str) -> dict[str, int]:
    return _runs(text) | _runs(numbers.SINCE_2019)


def _runs(text: str) -> dict[str, int]:
    """Read the form that `numbers` describes."""
    table: dict[str, int] = {}
    number = 0
    for token in text.split():
        if token[0].isdigit():
            number = int(token, 0)
        else:
            table[token] = number
            number += 1
    return table
