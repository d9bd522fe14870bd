"""Seccomp profiles in Docker's format, and what they come to for one container.

A profile is more than the runtime specification's section: its rules may ask for capabilities, an
architecture or a kernel, and its architectures are a map. `resolve` decides these questions as
moby does (daemon's `profiles/seccomp`), and the answer is a plain section.

`seccomp_default.json` is moby's default profile (profiles/seccomp/default.json of
github.com/moby/profiles, Apache-2.0), one rule a line and otherwise unchanged.
"""

import functools
import os
import re
from collections.abc import Collection
from pathlib import Path

import msgspec

from wherry import errdefs
from wherry.spec.runtime import Seccomp, SeccompArg, SeccompSyscall

Kernel = tuple[int, int]

# A machine (`uname -m`): its name in a rule's `arches`, and in the map of architectures.
_MACHINES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "i386": ("x86", "SCMP_ARCH_X86"),
    "i686": ("x86", "SCMP_ARCH_X86"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "armv8l": ("arm", "SCMP_ARCH_ARM"),
}


class _Wire(msgspec.Struct, rename="camel"):
    """Attributes in Python's form of the JSON names; unknown members are ignored, as by moby."""


class Condition(_Wire):
    """When a rule counts. Of `caps` all are needed to include it, one is enough to exclude it."""

    caps: list[str] | None = None
    arches: list[str] | None = None
    min_kernel: str | None = None


class Argument(_Wire):
    index: int
    op: str
    value: int = 0
    value_two: int = 0


class Rule(_Wire):
    action: str
    names: list[str] | None = None
    name: str = ""
    errno_ret: int | None = None
    args: list[Argument] | None = None
    includes: Condition | None = None
    excludes: Condition | None = None


class SubArchitectures(_Wire):
    architecture: str
    sub_architectures: list[str] | None = None


class Profile(_Wire):
    default_action: str = ""
    default_errno_ret: int | None = None
    architectures: list[str] | None = None
    arch_map: list[SubArchitectures] | None = None
    flags: list[str] | None = None
    syscalls: list[Rule] | None = None


def load_profile(text: str | bytes) -> Profile:
    """The profile in `text`: what `--security-opt seccomp=FILE` sends, JSON in Docker's format or
    in the runtime specification's.

    Raises EngineError INVALID_ARGUMENT that names the place in the JSON.
    """
    try:
        profile = msgspec.json.decode(text, type=Profile)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errdefs.invalid(f"seccomp profile: {error}") from error
    if profile.architectures and profile.arch_map:
        raise errdefs.invalid(
            "seccomp profile: it has both 'architectures' and 'archMap', use one of them"
        )
    for place, rule in enumerate(profile.syscalls or ()):
        where = f"seccomp profile: rule {place} ({', '.join(_names(rule)[:3]) or 'without names'})"
        if rule.name and rule.names:
            raise errdefs.invalid(f"{where} has both 'name' and 'names', use 'names'")
        for condition in (rule.includes, rule.excludes):
            if condition is not None and condition.min_kernel is not None:
                _kernel(condition.min_kernel, f"{where}: minKernel")
    return profile


def default_profile(
    capabilities: Collection[str], architecture: str | None = None, kernel: Kernel | None = None
) -> Seccomp:
    """Docker's default profile for a container with these capabilities in its bounding set.

    The arguments are those of `resolve`. It is the same for all who ask for the same: to be read.
    """
    return _default_section(frozenset(capabilities), architecture, kernel)


@functools.lru_cache(maxsize=64)
def _default_section(
    capabilities: frozenset[str], architecture: str | None, kernel: Kernel | None
) -> Seccomp:
    section = resolve(_default(), capabilities, architecture, kernel)
    assert section is not None
    return section


def resolve(
    profile: Profile,
    capabilities: Collection[str],
    architecture: str | None = None,
    kernel: Kernel | None = None,
) -> Seccomp | None:
    """What the profile comes to, or None if it is empty, which means no seccomp at all.

    `capabilities` are names such as CAP_SYS_ADMIN, `architecture` is a `uname -m` and `kernel` a
    version (major, minor); without them this machine's are taken. Raises EngineError
    NOT_IMPLEMENTED for an unknown machine.
    """
    if not profile.default_action and not profile.syscalls:
        return None
    machine = architecture or os.uname().machine
    if machine not in _MACHINES:
        raise errdefs.not_implemented(
            f"seccomp: no profile for the machine {machine}: "
            "run without it (--security-opt seccomp=unconfined)"
        )
    name, token = _MACHINES[machine]
    kernel = kernel or _kernel(os.uname().release, "this kernel's release")
    section: Seccomp = {
        "defaultAction": profile.default_action,
        "architectures": _architectures(profile, token),
        "syscalls": [
            _syscall(rule)
            for rule in profile.syscalls or ()
            if not _excluded(rule.excludes, capabilities, name, kernel)
            and _included(rule.includes, capabilities, name, kernel)
        ],
    }
    if profile.default_errno_ret is not None:
        section["defaultErrnoRet"] = profile.default_errno_ret
    if profile.flags:
        section["flags"] = profile.flags
    return section


@functools.cache
def _default() -> Profile:
    return load_profile(Path(__file__).with_name("seccomp_default.json").read_bytes())


def _architectures(profile: Profile, token: str) -> list[str]:
    for entry in profile.arch_map or ():
        if entry.architecture == token:
            return [token, *(entry.sub_architectures or ())]
    return list(profile.architectures or ())


def _excluded(
    condition: Condition | None, capabilities: Collection[str], machine: str, kernel: Kernel
) -> bool:
    if condition is None:
        return False
    return (
        machine in (condition.arches or ())
        or any(capability in capabilities for capability in condition.caps or ())
        or (condition.min_kernel is not None and kernel >= _kernel(condition.min_kernel))
    )


def _included(
    condition: Condition | None, capabilities: Collection[str], machine: str, kernel: Kernel
) -> bool:
    if condition is None:
        return True
    return (
        (not condition.arches or machine in condition.arches)
        and all(capability in capabilities for capability in condition.caps or ())
        and (condition.min_kernel is None or kernel >= _kernel(condition.min_kernel))
    )


def _syscall(rule: Rule) -> SeccompSyscall:
    syscall: SeccompSyscall = {"names": _names(rule), "action": rule.action}
    if rule.errno_ret is not None:
        syscall["errnoRet"] = rule.errno_ret
    if rule.args:
        syscall["args"] = [_argument(argument) for argument in rule.args]
    return syscall


def _argument(argument: Argument) -> SeccompArg:
    result: SeccompArg = {"index": argument.index, "value": argument.value, "op": argument.op}
    if argument.value_two:
        result["valueTwo"] = argument.value_two
    return result


def _names(rule: Rule) -> list[str]:
    return list(rule.names) if rule.names else [rule.name] if rule.name else []


def _kernel(text: str, what: str = "minKernel") -> Kernel:
    """The version at the text's beginning, as of "4.8" or "6.1.0-13-amd64"."""
    found = re.match(r"([0-9]{1,9})\.([0-9]{1,9})", text)
    if found is None:
        raise errdefs.invalid(f"{what} is {text!r}, not a kernel version such as 4.8")
    return (int(found[1]), int(found[2]))
