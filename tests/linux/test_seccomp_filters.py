"""Compiled filters do what libseccomp's do, by an interpreter of classic BPF."""

import ctypes
import ctypes.util
import itertools
import math
import os
import random
import struct
from collections.abc import Callable, Collection, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.engine.seccomp_profile import default_profile
from wherry.linux import capabilities
from wherry.linux.seccomp import compile_filter
from wherry.linux.seccomp.architectures import X32_BIT, Architecture, architecture, native
from wherry.spec.runtime import Seccomp, SeccompArg, SeccompSyscall

EPERM, ENOSYS = 0x50001, 0x50026
ALLOW, KILL = 0x7FFF0000, 0
X86 = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
ARM = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
SOAK = os.environ.get("WHERRY_SOAK") == "1"


class Machine:
    """Classic BPF as the kernel runs it for seccomp: loads of aligned words, AND, jumps, RET."""

    def __init__(self, program: bytes) -> None:
        self.code = list(struct.iter_unpack("=HBBI", program))
        assert 0 < len(self.code) <= 4096

    def run(self, audit: int, number: int, *arguments: int) -> int:
        return self.trace(audit, number, *arguments)[0]

    def trace(self, audit: int, number: int, *arguments: int) -> tuple[int, int]:
        """The action, and how many instructions it took."""
        padded = (*arguments, *(0,) * (6 - len(arguments)))
        words = struct.unpack("=16I", struct.pack("=IIQ6Q", number, audit, 0xDEADBEEF, *padded))
        a = place = steps = 0
        while True:
            code, true, false, k = self.code[place]
            place += 1
            steps += 1
            if code == 0x20:
                assert k % 4 == 0
                a = words[k // 4]
            elif code == 0x54:
                a &= k
            elif code == 0x05:
                place += k
            elif code == 0x06:
                return k, steps
            else:
                holds = {0x15: a == k, 0x25: a > k, 0x35: a >= k}[code]
                place += true if holds else false


class _ArgCmp(ctypes.Structure):
    _numbers = (("arg", ctypes.c_uint), ("op", ctypes.c_int))
    _fields_ = (*_numbers, ("datum_a", ctypes.c_uint64), ("datum_b", ctypes.c_uint64))


_OPS = ("", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
_ACTIONS = {
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_ERRNO": 0x50000,
    "SCMP_ACT_TRAP": 0x30000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": ALLOW,
}


def audit_of(token: str) -> ctypes.c_uint32:
    """The library's number of the architecture; x32 has one of its own there."""
    return ctypes.c_uint32(0x4000003E if token == "SCMP_ARCH_X32" else architecture(token).audit)


class Libseccomp:
    """libseccomp called as runc calls it, without runc's ENOSYS stub."""

    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path)
        self.library.seccomp_init.restype = ctypes.c_void_p

    def resolve(self, token: str, name: str) -> int:
        """The number, negative if that architecture hasn't it; -1 if nobody has."""
        return int(self.library.seccomp_syscall_resolve_name_arch(audit_of(token), name.encode()))

    def compile(self, section: Seccomp, machine_token: str) -> bytes:
        call = self.library
        default = self._action(section["defaultAction"], section.get("defaultErrnoRet"))
        context = ctypes.c_void_p(call.seccomp_init(ctypes.c_uint32(default)))
        assert context
        try:
            if machine_token != native():
                call.seccomp_arch_remove(context, audit_of(native()))
            for token in {machine_token: 0, **dict.fromkeys(section["architectures"])}:
                call.seccomp_arch_add(context, audit_of(token))
            if sum(len(syscall["names"]) for syscall in section["syscalls"]) > 32:
                call.seccomp_attr_set(context, 8, ctypes.c_uint32(2))  # a binary tree
            for syscall in section["syscalls"]:
                self._add(context, syscall, default)
            return self._export(context)
        finally:
            call.seccomp_release(context)

    def _add(self, context: ctypes.c_void_p, syscall: SeccompSyscall, default: int) -> None:
        action = self._action(syscall["action"], syscall.get("errnoRet"))
        if action == default:
            return
        arguments = [
            _ArgCmp(
                argument["index"],
                _OPS.index(argument["op"].removeprefix("SCMP_CMP_")),
                argument["value"],
                argument.get("valueTwo", 0),
            )
            for argument in syscall.get("args") or ()
        ]
        together = len({argument.arg for argument in arguments}) == len(arguments)
        for name in syscall["names"]:
            number = self.library.seccomp_syscall_resolve_name(name.encode())
            for group in [arguments] if together else [[argument] for argument in arguments]:
                array = (_ArgCmp * len(group))(*group)
                answer = self.library.seccomp_rule_add_array(
                    context, ctypes.c_uint32(action), number, len(group), array
                )
                assert answer == 0, f"{name}: {answer}"

    def _export(self, context: ctypes.c_void_p) -> bytes:
        file = os.memfd_create("bpf")
        try:
            assert self.library.seccomp_export_bpf(context, file) == 0
            return os.pread(file, 1 << 20, 0)
        finally:
            os.close(file)

    @staticmethod
    def _action(name: str, errno: int | None) -> int:
        action = _ACTIONS[name]
        return action | (1 if errno is None else errno) if name == "SCMP_ACT_ERRNO" else action


@pytest.fixture(scope="module")
def libseccomp() -> Libseccomp:
    path = os.environ.get("WHERRY_LIBSECCOMP") or ctypes.util.find_library("seccomp")
    if path is None:
        pytest.skip("libseccomp is not installed")
    return Libseccomp(path)


def known_to(library: Libseccomp, section: Seccomp) -> Seccomp:
    """The section without the names that the library doesn't have where we have them."""

    def knows(name: str) -> bool:
        # -100 to -224 are what i386 multiplexes.
        return library.resolve(native(), name) != -1 and all(
            library.resolve(token, name) > -1000
            for token in section["architectures"]
            if name in architecture(token).numbers
        )

    syscalls: list[SeccompSyscall] = [
        {**syscall, "names": [name for name in syscall["names"] if knows(name)]}
        for syscall in section["syscalls"]
    ]
    return {**section, "syscalls": syscalls}


def too_new(section: Seccomp, member: Architecture) -> Callable[[int], bool]:
    """Whether a number of that architecture gets ENOSYS for being too new for the section."""
    permissive = section["defaultAction"] in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
    named = {
        member.numbers[name]
        for syscall in section["syscalls"]
        for name in syscall["names"]
        if name in member.numbers and not permissive
    }
    public = max((number for number in named if number < member.private), default=2**32)
    private = max((number for number in named if number >= member.private), default=-1)
    return lambda number: public < number and not member.private <= number <= private


def disagreements(
    library: Libseccomp,
    section: Seccomp,
    machine: str,
    numbers: Collection[int],
    arguments: dict[str, list[tuple[int, ...]]],
) -> Iterator[str]:
    """Each call on which the two programs differ, after the documented differences.

    `numbers` are tried in each architecture of the section, and by name with `arguments`.
    """
    machine_token = native(machine)
    ours = Machine(compile_filter(section, machine))
    theirs = Machine(library.compile(section, machine_token))
    for token in dict.fromkeys([machine_token, *section["architectures"]]):
        member = architecture(token)
        names: dict[int, list[str]] = {}
        for name, number in member.numbers.items():
            names.setdefault(number, []).append(name)
        enosys = too_new(section, member)
        for number in (member.first + offset for offset in numbers):
            calls = [(0,) * 6, (2**64 - 1,) * 6]
            for name in names.get(number, ()):
                calls += arguments.get(name, [])
            for call in calls:
                got = ours.run(member.audit, number, *call)
                wanted = theirs.run(member.audit, number, *call)
                if enosys(number):
                    wanted = ENOSYS
                if got != wanted:
                    yield f"{token} {names.get(number)} {call}: {got:#x}, not {wanted:#x}"


def boundaries(section: Seccomp, most: int = 4000) -> dict[str, list[tuple[int, ...]]]:
    """For each call that a rule asks arguments of: at `most` so many arguments around those."""
    values: dict[str, dict[int, set[int]]] = {}
    for syscall in section["syscalls"]:
        for argument in syscall.get("args") or ():
            for name in syscall["names"]:
                found = values.setdefault(name, {}).setdefault(argument["index"], set())
                found |= set(around(argument))
    # i386 sees socket's conditions as socketcall's, whose first argument is the operation.
    for operations, multiplexer in ((range(23), "socketcall"), (range(27), "ipc")):
        values.setdefault(multiplexer, {}).setdefault(0, set()).update(operations)
        values[multiplexer].setdefault(1, set()).update({0, 1, 2**31, 2**32 + 1})
    chance = random.Random(0)
    return {
        name: [
            tuple(dict(zip(by_index, chosen, strict=True)).get(index, 0) for index in range(6))
            for chosen in choices([sorted(found) for found in by_index.values()], most, chance)
        ]
        for name, by_index in values.items()
    }


def choices(values: list[list[int]], most: int, chance: random.Random) -> Iterator[tuple[int, ...]]:
    if math.prod(map(len, values)) <= most:
        yield from itertools.product(*values)
    else:
        for _ in range(most):
            yield tuple(chance.choice(found) for found in values)


def around(argument: SeccompArg) -> Iterator[int]:
    for value in (argument["value"], argument.get("valueTwo", 0), 0):
        for near in (value - 1, value, value + 1, ~value):
            for high in (0, 1 << 32, 1 << 63, 0xFFFFFFFF << 32):
                yield (near ^ high) % 2**64
    for bit in range(64):
        if argument["op"] == "SCMP_CMP_MASKED_EQ":
            yield argument.get("valueTwo", 0) ^ (1 << bit)


@pytest.mark.peer
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize(
    "held", [capabilities.DEFAULT, (*capabilities.DEFAULT, "CAP_SYS_ADMIN"), (), capabilities.NAMES]
)
def test_the_default_filter_agrees_with_libseccomp(
    libseccomp: Libseccomp, machine: str, held: tuple[str, ...]
) -> None:
    section = known_to(libseccomp, default_profile(held, machine, kernel=(6, 1)))
    assert section["architectures"] == (X86 if machine == "x86_64" else ARM)
    arguments = boundaries(section)
    if "CAP_SYS_ADMIN" not in held:
        assert arguments.keys() >= {"socket", "personality", "clone"}
    numbers = {*range(620), *range(0xEFFFF, 0xF0010), 0xFFFF, X32_BIT - 1}
    found = list(disagreements(libseccomp, section, machine, numbers, arguments))
    assert not found, found[:3]


# What Docker's default profile denies a container with Docker's default capabilities on x86_64.
DENIED = """
_sysctl acct add_key afs_syscall bpf clock_settime create_module delete_module fanotify_init
finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy getpmsg init_module
io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl
lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mbind migrate_pages mount
mount_setattr move_mount move_pages nfsservctl open_by_handle_at open_tree perf_event_open
pidfd_getfd pivot_root process_madvise putpmsg query_module quotactl quotactl_fd reboot request_key
security set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday swapoff
swapon sysfs syslog tuxcall umount2 unshare uprobe uselib userfaultfd ustat vhangup vserver
"""
# clone3 by its own rule, the others for being newer than the newest that the profile names.
NOT_THERE = "clone3 file_getattr file_setattr listns open_tree_attr rseq_slice_yield"


def test_what_the_default_filter_answers_without_libseccomp() -> None:
    section = default_profile(capabilities.DEFAULT, "x86_64", kernel=(6, 1))
    machine = Machine(compile_filter(section, "x86_64"))
    member = architecture("SCMP_ARCH_X86_64")
    answers: dict[int, list[str]] = {}
    for name, number in sorted(member.numbers.items()):
        answers.setdefault(machine.run(member.audit, number), []).append(name)
    assert answers.pop(EPERM) == DENIED.split()
    assert answers.pop(ENOSYS) == NOT_THERE.split()
    assert answers.keys() == {ALLOW}
    clone, socket, personality = (
        member.numbers[name] for name in ("clone", "socket", "personality")
    )
    assert machine.run(member.audit, clone, 0x10000000) == EPERM  # CLONE_NEWUSER
    assert machine.run(member.audit, clone, 0x1200011) == ALLOW
    denied = [family for family in range(46) if machine.run(member.audit, socket, family) != ALLOW]
    assert denied == [38, 40]  # AF_ALG, AF_VSOCK
    assert machine.run(member.audit, personality, 0x20008) == ALLOW
    assert machine.run(member.audit, personality, 0x40000) == EPERM


def test_a_common_call_is_cheap() -> None:
    """The kernel remembers what needs no arguments; this is what it costs before and beside."""
    section = default_profile(capabilities.DEFAULT, "x86_64", kernel=(6, 1))
    program = compile_filter(section, "x86_64")
    assert len(program) // 8 < 400
    member = architecture("SCMP_ARCH_X86_64")
    for name in ("read", "write", "futex", "openat", "epoll_wait"):
        assert Machine(program).trace(member.audit, member.numbers[name])[1] <= 12, name


def denying(default: str, *architectures: str) -> Machine:
    section: Seccomp = {
        "defaultAction": default,
        "architectures": list(architectures),
        "syscalls": [{"names": ["read", "openat2"], "action": "SCMP_ACT_TRAP"}],
    }
    return Machine(compile_filter(section, "x86_64"))


def test_an_architecture_that_is_not_in_the_section_is_killed() -> None:
    machine = denying("SCMP_ACT_ALLOW")
    i386, aarch64 = (architecture(f"SCMP_ARCH_{name}").audit for name in ("X86", "AARCH64"))
    assert machine.run(i386, 3) == machine.run(aarch64, 63) == KILL


def test_x32_is_no_way_around_a_section_without_it() -> None:
    audit = architecture("SCMP_ARCH_X86_64").audit
    permissive, strict = denying("SCMP_ACT_ALLOW"), denying("SCMP_ACT_KILL_PROCESS")
    for number in (X32_BIT, X32_BIT + 437, X32_BIT + 1000, 2**32 - 2):
        assert permissive.run(audit, number) == KILL
        assert strict.run(audit, number) == ENOSYS
    # A tracer's way of skipping a call.
    assert permissive.run(audit, 2**32 - 1) == ALLOW


def test_numbers_beyond_the_newest_named_are_not_there() -> None:
    audit = architecture("SCMP_ARCH_X86_64").audit
    assert denying("SCMP_ACT_ALLOW").run(audit, 438) == ALLOW
    assert denying("SCMP_ACT_LOG").run(audit, 438) == 0x7FFC0000
    machine = denying("SCMP_ACT_KILL_PROCESS", "SCMP_ARCH_X32")
    for first in (0, X32_BIT):
        assert machine.run(audit, first + 436) == 0x80000000
        assert machine.run(audit, first + 437) == 0x30000
        assert machine.run(audit, first + 438) == machine.run(audit, first + 600) == ENOSYS


def test_private_numbers_say_nothing_on_what_is_newest() -> None:
    section = default_profile((), "aarch64", kernel=(6, 1))
    machine, audit = (
        Machine(compile_filter(section, "aarch64")),
        architecture("SCMP_ARCH_ARM").audit,
    )
    assert machine.run(audit, 500) == machine.run(audit, 0xEFFFF) == ENOSYS
    assert machine.run(audit, 0xF0002) == ALLOW  # cacheflush
    assert machine.run(audit, 0xF0003) == EPERM  # usr26
    assert machine.run(audit, 0xF0006) == ENOSYS  # get_tls, newer than set_tls


OPERATORS = [f"SCMP_CMP_{name}" for name in _OPS[1:]]
CALLS = ["read", "socket", "clone", "semget", "recv", "ioctl", "chown32", "fstatat64", "cacheflush"]
# Enough of them that libseccomp builds a binary tree, as it does for real profiles: with fewer,
# 2.5 forgets to load the number again if a name has none on i386.
PLAIN = [name for name in architecture("SCMP_ARCH_X86_64").numbers if name not in CALLS][:50]
TRIED = {
    architecture(token).numbers[name] - architecture(token).first
    for token in X86
    for name in (*CALLS, "write", "ipc", "socketcall", "mseal")
    if name in architecture(token).numbers
}
EDGES = [0, 1, 2, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, (2 << 32) + 2, 1 << 63, 2**64 - 1]
ANY = st.sampled_from(EDGES) | st.integers(0, 2**64 - 1)
SMALL = st.sampled_from([0, 1, 2, 37, 0x7FFFFFFF, 0xFFFFFFFF]) | st.integers(0, 2**32 - 1)


@st.composite
def conditions(draw: st.DrawFn, indexes: st.SearchStrategy[int], limits: st.SearchStrategy[int]):
    operator = draw(st.sampled_from(OPERATORS))
    equality = operator in ("SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ")
    return SeccompArg(
        index=draw(indexes),
        op=operator,
        value=draw(ANY if equality else limits),
        valueTwo=draw(ANY),
    )


@st.composite
def rules_of_one_call(draw: st.DrawFn, action: str) -> list[SeccompSyscall]:
    """What libseccomp gets right: one rule of several conditions, or several rules of one.

    Its tree of 32-bit halves loses rules of one call whose limits differ in the upper half
    (`LT 3` and `LT 1 << 32` denies 3), and forgets to load an argument again after another one.
    """
    names = draw(st.lists(st.sampled_from(CALLS), min_size=1, max_size=3, unique=True))
    if draw(st.booleans()):
        indexes = draw(st.lists(st.integers(0, 5), max_size=3, unique=True))
        arguments = [draw(conditions(st.just(index), ANY)) for index in indexes]
        return [{"names": names, "action": action, "args": arguments}]
    several = draw(st.lists(conditions(st.integers(0, 1), SMALL), min_size=1, max_size=4))
    return [{"names": names, "action": action, "args": [one]} for one in several]


@st.composite
def sections(draw: st.DrawFn) -> Seccomp:
    default, other = draw(
        st.sampled_from(
            [
                ("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"),
                ("SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS"),
                ("SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"),
            ]
        )
    )
    return {
        "defaultAction": default,
        "architectures": draw(st.lists(st.sampled_from(X86), unique=True)),
        "syscalls": [
            # Left out, as one that says nothing new.
            {"names": draw(st.lists(st.sampled_from(CALLS), max_size=2)), "action": default},
            {"names": PLAIN, "action": other},
            *draw(rules_of_one_call(other)),
        ],
    }


@pytest.mark.peer
@settings(
    max_examples=5000 if SOAK else 50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(section=sections())
def test_random_filters_agree_with_libseccomp(libseccomp: Libseccomp, section: Seccomp) -> None:
    arguments = boundaries(section, most=150)
    found = list(disagreements(libseccomp, section, "x86_64", TRIED, arguments))
    assert not found, found[:3]


def holds(condition: SeccompArg, argument: int, bits: int) -> bool:
    """What the condition means, of an argument of which so many bits count."""
    low = (1 << bits) - 1
    argument, value = argument & low, condition["value"] & low
    if condition["op"] == "SCMP_CMP_MASKED_EQ":
        return argument & value == condition["valueTwo"] & value
    return {
        "SCMP_CMP_NE": argument != value,
        "SCMP_CMP_LT": argument < value,
        "SCMP_CMP_LE": argument <= value,
        "SCMP_CMP_EQ": argument == value,
        "SCMP_CMP_GE": argument >= value,
        "SCMP_CMP_GT": argument > value,
    }[condition["op"]]


@settings(max_examples=5000 if SOAK else 50, deadline=None)
@given(
    rules=st.lists(
        st.lists(conditions(st.integers(0, 5) | st.just(0), ANY), min_size=1, max_size=3),
        min_size=1,
        max_size=4,
    ),
    data=st.data(),
)
def test_conditions_mean_what_they_say(rules: list[list[SeccompArg]], data: st.DataObject) -> None:
    section: Seccomp = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": X86,
        "syscalls": [
            {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": rule} for rule in rules
        ],
    }
    machine = Machine(compile_filter(section, "x86_64"))
    near = [value for rule in rules for condition in rule for value in around(condition)]
    for _ in range(12):
        call = data.draw(st.tuples(*[st.sampled_from(near)] * 6))
        for token in X86:
            member = architecture(token)
            allowed = False
            for rule in rules:
                bits = 64 if member.wide else 32
                each = [holds(condition, call[condition["index"]], bits) for condition in rule]
                apart = len({condition["index"] for condition in rule}) < len(rule)
                allowed |= any(each) if apart else all(each)
            got = machine.run(member.audit, member.numbers["ioctl"], *call)
            assert got == (ALLOW if allowed else EPERM), (token, call)
