"""Names, Docker's rules, and a real process's sets."""

import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.errdefs import EngineError, Kind
from wherry.linux import capabilities, syscalls

PR_SET_KEEPCAPS = 8
NOBODY = 65534


def test_the_names_are_the_kernels() -> None:
    assert len(capabilities.NAMES) == 41
    assert capabilities.NUMBERS["CAP_CHOWN"] == 0
    assert capabilities.NUMBERS["CAP_SYS_ADMIN"] == 21
    assert capabilities.NUMBERS["CAP_AUDIT_READ"] == 37
    assert capabilities.NUMBERS["CAP_CHECKPOINT_RESTORE"] == 40
    assert capabilities.known() == capabilities.NAMES[: capabilities.LAST + 1]


def test_the_headers_of_this_machine_agree() -> None:
    header = Path("/usr/include/linux/capability.h")
    if not header.exists():
        pytest.skip("the kernel's headers are not installed")
    found = dict(re.findall(r"^#define (CAP_[A-Z_]+)\s+(\d+)$", header.read_text(), re.MULTILINE))
    assert len(found) > 35
    for name, number in found.items():
        assert capabilities.NUMBERS.get(name, int(number)) == int(number)


@pytest.mark.parametrize("text", ["NET_ADMIN", "CAP_NET_ADMIN", "net_admin", "cap_Net_Admin"])
def test_a_name_in_each_of_dockers_forms(text: str) -> None:
    assert capabilities.parse(text) == "CAP_NET_ADMIN"


def test_all_in_any_case() -> None:
    assert capabilities.parse("all") == capabilities.ALL


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("NETADMIN", 'unknown capability: "CAP_NETADMIN" (did you mean CAP_NET_ADMIN?)'),
        ("cap_sys_amdin", 'unknown capability: "CAP_SYS_AMDIN" (did you mean CAP_SYS_ADMIN?)'),
        ("CAP_ALL", 'unknown capability: "CAP_ALL"'),
        ("%%", 'unknown capability: "CAP_%%"'),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(text: str, said: str) -> None:
    with pytest.raises(EngineError) as refused:
        capabilities.parse(text)
    assert refused.value.kind is Kind.INVALID_ARGUMENT
    assert refused.value.message.startswith(said)


def test_one_that_is_too_new_for_the_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "LAST", 37)
    with pytest.raises(EngineError, match="CAP_BPF is not known to this kernel"):
        capabilities.parse("bpf")
    assert capabilities.merge(["ALL"], [])[-1] == "CAP_AUDIT_READ"


@pytest.mark.parametrize(
    ("add", "drop", "wanted"),
    [
        ([], [], capabilities.DEFAULT),
        (["SYS_ADMIN"], [], (*capabilities.DEFAULT, "CAP_SYS_ADMIN")),
        (["CHOWN"], [], capabilities.DEFAULT),
        (
            [],
            ["CHOWN", "kill"],
            [c for c in capabilities.DEFAULT if c[4:] not in ("CHOWN", "KILL")],
        ),
        (["CHOWN"], ["CHOWN"], (*capabilities.DEFAULT[1:], "CAP_CHOWN")),
        ([], ["ALL"], ()),
        (["syslog", "chown"], ["all"], ("CAP_SYSLOG", "CAP_CHOWN")),
        (["ALL"], ["SYS_ADMIN"], [c for c in capabilities.known() if c != "CAP_SYS_ADMIN"]),
        (["ALL"], ["ALL"], capabilities.known()),
    ],
)
def test_adding_and_dropping_by_dockers_rules(
    add: list[str], drop: list[str], wanted: list[str]
) -> None:
    assert capabilities.merge(add, drop) == list(wanted)
    assert capabilities.merge(add, drop, privileged=True) == list(capabilities.known())


def test_a_set_of_unknown_names_is_refused() -> None:
    assert capabilities.mask(["CAP_CHOWN", "CAP_SYSLOG"]) == 1 | 1 << 34
    with pytest.raises(EngineError, match="unknown capability: 'CHOWN'"):
        capabilities.mask(["CHOWN"])


def in_a_child(body: Callable[[], None]) -> dict[str, int]:
    """Run `body` in a fork; the sets of /proc/self/status that it ends with."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            body()
            os.write(writer, Path("/proc/self/status").read_bytes())
            code = 0
        except BaseException:  # noqa: BLE001 - the child must not run the parent's tests
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, encoding="ascii") as status:
        text = status.read()
    assert os.waitpid(pid, 0)[1] == 0
    return {
        name: int(bits, 16) for name, bits in re.findall(r"^Cap(\w+):\s+(\w+)", text, re.MULTILINE)
    }


def test_this_process_has_what_the_kernel_says() -> None:
    status = in_a_child(lambda: None)
    held = capabilities.get()
    assert (held.effective, held.permitted, held.inheritable) == (
        status["Eff"],
        status["Prm"],
        status["Inh"],
    )


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_process_comes_down_to_a_containers_sets() -> None:
    ours = capabilities.get().permitted
    keep = [name for name in capabilities.DEFAULT if ours >> capabilities.NUMBERS[name] & 1]

    def become_root_in_a_container() -> None:
        capabilities.drop_bounding(keep)
        capabilities.set_all(keep, keep, [], [])

    status = in_a_child(become_root_in_a_container)
    bits = capabilities.mask(keep)
    assert status == {"Inh": 0, "Prm": bits, "Eff": bits, "Bnd": bits, "Amb": 0}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_user_keeps_ambient_capabilities_only() -> None:
    def become_nobody() -> None:
        capabilities.drop_bounding(["CAP_NET_BIND_SERVICE", "CAP_KILL"])
        syscalls.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        one = ["CAP_NET_BIND_SERVICE"]
        capabilities.set_all(one, one, one, one)

    bit = 1 << capabilities.NUMBERS["CAP_NET_BIND_SERVICE"]
    both = bit | 1 << capabilities.NUMBERS["CAP_KILL"]
    status = in_a_child(become_nobody)
    assert status == {"Inh": bit, "Prm": bit, "Eff": bit, "Bnd": both, "Amb": bit}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_is_gone_does_not_come_back() -> None:
    def try_to_regain() -> None:
        capabilities.drop_bounding([])
        capabilities.set_all([], [], [], [])
        with pytest.raises(PermissionError, match="capset"):
            capabilities.set_all(["CAP_KILL"], ["CAP_KILL"], [], [])
        with pytest.raises(PermissionError):
            capabilities.drop_bounding([])

    assert not any(in_a_child(try_to_regain).values())
