"""Which devices a group may use: lines for v1's devices controller, a BPF program for v2.

In both an access is a device's kind and number, and what is wanted of it: read, write, mknod.
"""

import ctypes
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wherry import errdefs
from wherry.linux import syscalls
from wherry.spec.runtime import DeviceRule


class Rule(NamedTuple):
    """An OCI device rule with its defaults filled in; a number of None stands for all."""

    allow: bool
    kinds: str  # "b", "c", or "bc"
    major: int | None
    minor: int | None
    access: str  # some of "rwm"

    @property
    def sweeping(self) -> bool:
        """Does it decide about every access to every device?"""
        anything = self.major is None and self.minor is None and len(self.access) == 3
        return anything and self.kinds == "bc"


def parse(rules: Sequence[DeviceRule]) -> list[Rule]:
    """Check OCI rules, and leave out those that a later one overrules as a whole.

    Raises INVALID_ARGUMENT for a kind or an access that does not exist.
    """
    parsed: list[Rule] = []
    for rule in rules:
        kind, access = rule.get("type") or "a", rule.get("access") or "rwm"
        kinds = {"a": "bc", "b": "b", "c": "c", "u": "c"}.get(kind)
        if kinds is None or not set(access) <= set("rwm"):
            raise errdefs.invalid(
                f"device rule {kind} {access!r}: the type is a, b or c, the access some of rwm"
            )
        ordered = "".join(letter for letter in "rwm" if letter in access)
        one = Rule(
            bool(rule.get("allow")), kinds, _number(rule, "major"), _number(rule, "minor"), ordered
        )
        if one.sweeping:
            parsed.clear()
        parsed.append(one)
    return parsed


def _number(rule: DeviceRule, which: str) -> int | None:
    number = rule.get("major", -1) if which == "major" else rule.get("minor", -1)
    return number if number >= 0 else None


def v1_lines(rules: Sequence[Rule]) -> Iterator[tuple[str, str]]:
    """(file, line) writes, in order: devices.allow or devices.deny, `c 1:3 rwm`."""
    for rule in rules:
        file = "devices.allow" if rule.allow else "devices.deny"
        if rule.sweeping:
            yield file, "a"
            continue
        numbers = ":".join("*" if n is None else str(n) for n in (rule.major, rule.minor))
        for kind in rule.kinds:
            yield file, f"{kind} {numbers} {rule.access}"


# --- The program for v2 ---------------------------------------------------------------------

_ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_*
_KIND = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*

# Instruction classes and operations (linux/bpf.h), as far as the program goes.
_LDX_W = 0x61
_ALU32_RSH, _ALU32_AND, _ALU64_MOV = 0x74, 0x54, 0xB7
_ALU64_MOV_REGISTER = 0xBF
_JNE, _JSET, _JA, _EXIT = 0x55, 0x45, 0x05, 0x95
# R0 is the answer, R1 the context; the others are ours.
_ANSWER, _CONTEXT, _TYPE, _WANTED, _MAJOR, _MINOR = 0, 1, 2, 3, 4, 5


def _instruction(
    code: int, target: int = 0, offset: int = 0, value: int = 0, source: int = 0
) -> bytes:
    return struct.pack("<BBhi", code, source << 4 | target, offset, _signed(value))


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def program(rules: Sequence[Rule]) -> bytes:
    """The BPF program (type cgroup/device) that answers 1 to what `rules` allow and 0 to the rest.

        wanted = the access that is asked for
        for each rule, the last one first, if the device is one of its:
            allow:  wanted -= rule's access; if nothing is left: answer 1
            deny:   if wanted and rule's access overlap: answer 0
        answer 0

    So each kind of access is decided by the last rule that speaks of it, as v1's files do it.
    """
    code = [
        _instruction(_LDX_W, _TYPE, 0, source=_CONTEXT),  # access << 16 | kind
        _instruction(_ALU64_MOV_REGISTER, _WANTED, source=_TYPE),
        _instruction(_ALU32_RSH, _WANTED, value=16),
        _instruction(_ALU32_AND, _TYPE, value=0xFFFF),
        _instruction(_LDX_W, _MAJOR, 4, source=_CONTEXT),
        _instruction(_LDX_W, _MINOR, 8, source=_CONTEXT),
    ]
    for rule in reversed(rules):
        code += _rule(rule)
    code += _answer(0)
    return b"".join(code)


def _rule(rule: Rule) -> list[bytes]:
    mask = sum(_ACCESS[letter] for letter in rule.access)
    if rule.allow:
        body = [
            _instruction(_ALU32_AND, _WANTED, value=~mask & 0x7),
            _instruction(_JNE, _WANTED, offset=2, value=0),
            *_answer(1),
        ]
    else:
        body = [
            _instruction(_JSET, _WANTED, offset=1, value=mask),
            _instruction(_JA, offset=2),
            *_answer(0),
        ]
    tests: list[tuple[int, int]] = []
    if len(rule.kinds) == 1:
        tests.append((_TYPE, _KIND[rule.kinds]))
    if rule.major is not None:
        tests.append((_MAJOR, rule.major))
    if rule.minor is not None:
        tests.append((_MINOR, rule.minor))
    count = len(tests)
    skips = [
        _instruction(_JNE, register, count - 1 - index + len(body), value)
        for index, (register, value) in enumerate(tests)
    ]
    return skips + body


def _answer(value: int) -> list[bytes]:
    return [_instruction(_ALU64_MOV, _ANSWER, value=value), _instruction(_EXIT)]


# --- bpf(2) ---------------------------------------------------------------------------------

_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_TYPE_CGROUP_DEVICE = 15
_ATTACH_DEVICE = 6
# Each group on the way to the root may have programs, and all must say yes: a group in a
# container can only narrow what it has.
_ALLOW_MULTI = 2


def load(code: bytes) -> int:
    """Give the program to the kernel; its descriptor. Raises OSError (EPERM without CAP_BPF)."""
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "=IIQQIIQII16s",
        *(_TYPE_CGROUP_DEVICE, len(code) // 8),
        *(ctypes.addressof(instructions), ctypes.addressof(licence)),
        *(0, 0, 0, 0, 0, b"wherry_devices"),
    )
    return _bpf(_PROG_LOAD, attributes, "bpf: load the device program")


def attach(group_fd: int, program_fd: int) -> None:
    """Ask the program at every access from the group and below; it lives as long as the group."""
    attributes = struct.pack("=IIIII", group_fd, program_fd, _ATTACH_DEVICE, _ALLOW_MULTI, 0)
    _bpf(_PROG_ATTACH, attributes, "bpf: attach the device program")


def attached(group_fd: int) -> list[int]:
    """The descriptors of the device programs on this very group, to be closed by the caller."""
    ids = (ctypes.c_uint32 * 64)()
    attributes = ctypes.create_string_buffer(
        # The zeros are the rest of the structure: since 6.17 the kernel writes there too.
        struct.pack("=IIIIQI36x", group_fd, _ATTACH_DEVICE, 0, 0, ctypes.addressof(ids), len(ids))
    )
    syscalls.call("bpf", _PROG_QUERY, attributes, 64, what="bpf: query the device programs")
    (count,) = struct.unpack_from("=I", attributes, 24)
    return [
        _bpf(_PROG_GET_FD_BY_ID, struct.pack("=III", ids[index], 0, 0), "bpf: open by id")
        for index in range(count)
    ]


def detach(group_fd: int, program_fd: int) -> None:
    attributes = struct.pack("=IIIII", group_fd, program_fd, _ATTACH_DEVICE, 0, 0)
    _bpf(_PROG_DETACH, attributes, "bpf: detach the device program")


def _bpf(command: int, attributes: bytes, what: str) -> int:
    return syscalls.call("bpf", command, attributes, len(attributes), what=what)
