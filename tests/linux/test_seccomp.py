"""Tables, what is refused, what is beyond libseccomp, and programs in a real kernel."""

import ctypes
import ctypes.util
import errno
import os
import re
import resource
import socket
import struct
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.engine.seccomp_profile import default_profile
from wherry.errdefs import EngineError, Kind
from wherry.linux import capabilities, syscalls
from wherry.linux.seccomp import compile_filter, filter_flags, install, native
from wherry.linux.seccomp.architectures import TOKENS, architecture
from wherry.linux.seccomp.assembler import JEQ, Assembler
from wherry.spec.runtime import Seccomp, SeccompArg, SeccompSyscall

HEADERS = {
    "SCMP_ARCH_X86_64": "unistd_64.h",
    "SCMP_ARCH_X86": "unistd_32.h",
    "SCMP_ARCH_X32": "unistd_x32.h",
}
DENY_ALL: Seccomp = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": [], "syscalls": []}


def reading(*arguments: SeccompArg, actions: tuple[str, ...] = ("SCMP_ACT_ALLOW",)) -> Seccomp:
    """A section with a rule on read(2) for each of the arguments and actions."""
    syscalls: list[SeccompSyscall] = [
        {"names": ["read"], "action": action, "args": [argument]}
        for argument in arguments
        for action in actions
    ]
    return {**DENY_ALL, "syscalls": syscalls}


def equal(value: int, index: int = 0, op: str = "SCMP_CMP_EQ") -> SeccompArg:
    return {"index": index, "value": value, "op": op}


def test_tables_know_what_everybody_knows() -> None:
    x86_64, i386, x32, aarch64, arm = (architecture(token).numbers for token in TOKENS)
    assert (x86_64["read"], x86_64["futex"], x86_64["execve"]) == (0, 202, 59)
    assert (i386["read"], i386["socketcall"], i386["socket"]) == (3, 102, 359)
    assert (x32["read"], x32["execve"]) == (0x40000000, 0x40000000 + 520)
    assert (aarch64["read"], aarch64["openat"]) == (63, 56)
    assert (arm["read"], arm["set_tls"]) == (3, 0xF0005)
    assert "epoll_wait_old" not in x32
    for token in TOKENS:
        numbers = architecture(token).numbers
        assert ("memfd_secret" in numbers) is (token != "SCMP_ARCH_ARM")
        assert numbers["openat2"] & 0xFFFF == 437


@pytest.mark.parametrize("token", HEADERS)
def test_tables_agree_with_this_machines_headers(token: str) -> None:
    places = ["/usr/include/x86_64-linux-gnu/asm", "/usr/include/asm"]
    headers = [Path(place, HEADERS[token]) for place in places]
    header = next((header for header in headers if header.exists()), None)
    if header is None:
        pytest.skip("the kernel's headers for x86 are not installed")
    defined = r"^#define __NR_(\w+) \(?(?:__X32_SYSCALL_BIT \+ )?(\d+)\)?$"
    found = re.findall(defined, header.read_text(), re.MULTILINE)
    assert len(found) > 300
    member = architecture(token)
    ours = {name: number - member.first for name, number in member.numbers.items()}
    newest = max(ours.values())
    for name, number in found:
        assert ours.get(name, newest + 1) == int(number) or int(number) > newest, name


@pytest.mark.peer
@pytest.mark.parametrize("token", TOKENS)
def test_tables_agree_with_libseccomp(token: str) -> None:
    path = os.environ.get("WHERRY_LIBSECCOMP") or ctypes.util.find_library("seccomp")
    if path is None:
        pytest.skip("libseccomp is not installed")
    library = ctypes.CDLL(path)
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    member = architecture(token)
    # x32 has an audit number of libseccomp's own.
    audit = ctypes.c_uint32(0x4000003E if token == "SCMP_ARCH_X32" else member.audit)
    ours = {number: name for name, number in member.numbers.items()}
    known = 0
    for number in (*range(700), *range(0xF0000, 0xF0010)):
        number |= member.first
        found = library.seccomp_syscall_resolve_num_arch(audit, number)
        if found:
            known += 1
            assert ours[number] == ctypes.string_at(found).decode()
    assert known > 300


@pytest.mark.parametrize(
    ("section", "kind", "said"),
    [
        (
            {"defaultAction": "SCMP_ACT_DENY"},
            Kind.INVALID_ARGUMENT,
            "unknown action 'SCMP_ACT_DENY",
        ),
        ({}, Kind.INVALID_ARGUMENT, "unknown action None"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, Kind.NOT_IMPLEMENTED, "SCMP_ACT_NOTIFY needs"),
        (
            {**DENY_ALL, "architectures": ["SCMP_ARCH_PDP11"]},
            Kind.INVALID_ARGUMENT,
            "unknown architecture 'SCMP_ARCH_PDP11'",
        ),
        (reading(equal(0, index=6)), Kind.INVALID_ARGUMENT, "0 to 5, the profile asks for 6"),
        (reading(equal(0, op="==")), Kind.INVALID_ARGUMENT, "unknown comparison '=='"),
        (
            reading(equal(1), actions=("SCMP_ACT_ALLOW", "SCMP_ACT_TRAP")),
            Kind.INVALID_ARGUMENT,
            "two rules for read have the same conditions and different actions",
        ),
        (
            reading(*map(equal, range(2000))),
            Kind.INVALID_ARGUMENT,
            r"compiles to \d+ instructions, the kernel takes 4096",
        ),
    ],
)
def test_a_bad_section_is_refused(section: Seccomp, kind: Kind, said: str) -> None:
    with pytest.raises(EngineError, match=said) as refused:
        compile_filter(section, "x86_64")
    assert refused.value.kind is kind


def test_an_unknown_machine_is_refused() -> None:
    with pytest.raises(EngineError, match="no table of system calls for the machine vax"):
        compile_filter(DENY_ALL, "vax")


def test_architectures_that_never_call_this_kernel_are_passed_over() -> None:
    foreign: Seccomp = {**DENY_ALL, "architectures": ["SCMP_ARCH_S390X", "SCMP_ARCH_MIPS"]}
    assert compile_filter(foreign, "x86_64") == compile_filter(DENY_ALL, "x86_64")


def test_compiling_is_a_pure_function() -> None:
    section = default_profile(capabilities.DEFAULT, "x86_64", kernel=(6, 1))
    assert compile_filter(section, "x86_64") == compile_filter(section, "x86_64")


def test_flags() -> None:
    assert filter_flags({}) == 0
    flags = ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"]
    assert filter_flags({"flags": [*flags, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]}) == 6
    with pytest.raises(EngineError, match="unknown flag 'FAST'"):
        filter_flags({"flags": ["FAST"]})


def test_far_jumps_reach_their_targets() -> None:
    """Targets more than 255 instructions away are brought near, returns by a copy."""
    program = Assembler()
    far = program.load(0)
    program.follow(far)
    allow = program.ret(1)
    chosen = program.ret(2)
    for value in range(600):
        chosen = program.jump(JEQ, value, far if value % 2 else allow, chosen)
    code = list(struct.iter_unpack("=HBBI", program.assemble()))
    for place, (kind, true, false, value) in enumerate(code):
        if kind == JEQ:
            target = place + 1 + true
            while code[target][0] == 0x05:
                target += 1 + code[target][3]
            wanted = (0x20, 0, 0, 0) if value % 2 else (0x06, 0, 0, 1)
            assert code[target] == wanted
            assert place + 1 + false < len(code)


# --- In this kernel -----------------------------------------------------------------------------


def in_a_child(body: Callable[[], None]) -> int:
    """Run `body` in a fork; its wait status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            body()
            code = 0
        except BaseException:  # noqa: BLE001 - the child must not run the parent's tests
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def confine(section: Seccomp) -> None:
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    install(compile_filter(section), filter_flags(section))


def fails_with(name: str, *arguments: int) -> int:
    """The errno of a call by this machine's number; 0 if it succeeds."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = architecture(native()).numbers.get(name)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(value) for value in arguments))
    return ctypes.get_errno() if result == -1 else 0


def test_the_kernel_does_what_the_default_profile_says() -> None:
    section = default_profile(capabilities.DEFAULT)

    def body() -> None:
        confine(section)
        # Refused by the filter, before the kernel looks at the arguments.
        for name in ("mount", "unshare", "keyctl", "swapon", "io_uring_setup"):
            assert fails_with(name, 0, 0, 0, 0, 0) == errno.EPERM, name
        assert fails_with("clone3", 0, 0) == errno.ENOSYS
        assert fails_with("rseq_slice_yield") == errno.ENOSYS
        newuser = 0x10000000
        assert fails_with("clone", newuser | 17, 0, 0, 0, 0) == errno.EPERM
        assert fails_with("personality", 0xFFFFFFFF) == 0
        assert fails_with("personality", 0x0800000) == errno.EPERM
        with pytest.raises(PermissionError):
            socket.socket(38, socket.SOCK_SEQPACKET)  # AF_ALG
        socket.socketpair()[0].close()
        # Allowed: a fork, a file, and what the kernel itself says no to.
        assert os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1] == 0
        assert Path("/proc/self/status").read_text().count("Seccomp:\t2")
        assert fails_with("read", -1) == errno.EBADF

    assert in_a_child(body) == 0


def test_a_denied_call_can_kill() -> None:
    section: Seccomp = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_KILL_PROCESS"}],
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
    }

    def body() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        confine(section)
        fails_with("sethostname", 0, 0)

    assert os.WTERMSIG(in_a_child(body)) == 31  # SIGSYS


def test_the_kernel_refuses_what_is_no_program() -> None:
    def body() -> None:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        with pytest.raises(OSError, match="seccomp filter of 1 instructions") as refused:
            install(struct.pack("=HBBI", 0x20, 0, 0, 0))
        assert refused.value.errno == errno.EINVAL

    assert in_a_child(body) == 0


@pytest.mark.root
@pytest.mark.skipif(
    not capabilities.get().effective >> capabilities.NUMBERS["CAP_SYS_ADMIN"] & 1,
    reason="needs root with CAP_SYS_ADMIN",
)
def test_root_needs_no_new_privs_only_after_its_capabilities() -> None:
    def body() -> None:
        program = compile_filter({"defaultAction": "SCMP_ACT_ALLOW"})
        install(program)
        capabilities.set_all([], [], [], [])
        with pytest.raises(PermissionError):
            install(program)

    assert in_a_child(body) == 0
