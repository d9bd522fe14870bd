"""Device rules: v1's lines and v2's program decide alike, and the kernel takes the program."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry import errdefs
from wherry.linux.cgroups import CgroupsV2, devices
from wherry.spec.runtime import DeviceRule

EXAMPLES = 5000 if os.environ.get("WHERRY_SOAK") else 150

NOTHING: DeviceRule = {"allow": False, "access": "rwm"}


def run(program: bytes, kind: int, major: int, minor: int, access: int) -> int:
    """A BPF interpreter for the few instructions that a device program has."""
    context = struct.pack("<III", access << 16 | kind, major, minor)
    registers = [0] * 11
    instructions = [struct.unpack_from("<BBhi", program, at) for at in range(0, len(program), 8)]
    at = steps = 0
    while True:
        code, register, offset, value = instructions[at]
        target, source = register & 15, register >> 4
        at, steps = at + 1, steps + 1
        assert steps <= len(instructions), "a device program never goes back"
        match code:
            case 0x61:
                assert source == 1
                (registers[target],) = struct.unpack_from("<I", context, offset)
            case 0xBF:
                registers[target] = registers[source]
            case 0xB7:
                registers[target] = value
            case 0x74:
                registers[target] = (registers[target] & 0xFFFFFFFF) >> value
            case 0x54:
                registers[target] &= value & 0xFFFFFFFF
            case 0x55:
                at += offset if registers[target] != value else 0
            case 0x45:
                at += offset if registers[target] & value else 0
            case 0x05:
                at += offset
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def decide(rules: list[DeviceRule], kind: str, major: int, minor: int, access: str) -> bool:
    """What rules mean: each letter of an access is decided by the last rule that speaks of it."""
    for letter in access:
        allowed = False
        for rule in rules:
            fits = rule.get("type", "a") in ("a", kind)
            for name, number in (("major", major), ("minor", minor)):
                fits = fits and rule.get(name, -1) in (-1, number)
            if fits and letter in rule.get("access", "rwm"):
                allowed = rule["allow"]
        if not allowed:
            return False
    return True


@st.composite
def device_rules(draw: st.DrawFn) -> DeviceRule:
    rule: DeviceRule = {"allow": draw(st.booleans())}
    if draw(st.booleans()):
        rule["type"] = draw(st.sampled_from("abc"))
    if draw(st.booleans()):
        rule["major"] = draw(st.integers(-1, 2))
    if draw(st.booleans()):
        rule["minor"] = draw(st.integers(-1, 2))
    if draw(st.booleans()):
        rule["access"] = "".join(draw(st.sets(st.sampled_from("rwm"), min_size=1)))
    return rule


@settings(max_examples=EXAMPLES)
@given(
    st.lists(device_rules(), max_size=6),
    st.sampled_from("bc"),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sets(st.sampled_from("rwm"), min_size=1),
)
def test_the_program_decides_as_the_rules_say(
    rules: list[DeviceRule], kind: str, major: int, minor: int, access: set[str]
) -> None:
    program = devices.program(devices.parse(rules))
    mask = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    answer = run(program, {"b": 1, "c": 2}[kind], major, minor, mask)
    assert answer == decide(rules, kind, major, minor, "".join(access))


def test_v1_lines() -> None:
    rules: list[DeviceRule] = [
        {"allow": True, "type": "b", "major": 9, "minor": 9},  # overruled by the next one
        NOTHING,
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
        {"allow": True, "type": "c", "major": 136, "minor": -1, "access": "rw"},
        {"allow": True, "access": "m"},
        {"allow": False, "type": "u", "major": 5, "minor": 0, "access": "wr"},
    ]
    assert list(devices.v1_lines(devices.parse(rules))) == [
        ("devices.deny", "a"),
        ("devices.allow", "c 1:3 rwm"),
        ("devices.allow", "c 136:* rw"),
        ("devices.allow", "b *:* m"),
        ("devices.allow", "c *:* m"),
        ("devices.deny", "c 5:0 rw"),
    ]


@pytest.mark.parametrize("rule", [{"type": "p"}, {"type": "x"}, {"access": "rx"}])
def test_unknown_words_are_refused(rule: DeviceRule) -> None:
    with pytest.raises(errdefs.EngineError) as refused:
        devices.parse([rule])
    assert refused.value.kind is errdefs.Kind.INVALID_ARGUMENT


def unified_mount() -> str:
    """Where cgroup v2 is mounted, whatever controllers it has; "" if nowhere."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, tail = line.partition(" - ")
        if tail.startswith("cgroup2 "):
            return fields.split()[4]
    return ""


@pytest.fixture
def group():
    if not unified_mount():
        pytest.skip("cgroup v2 is not mounted")
    cgroups = CgroupsV2(unified_mount())
    path = f"/wherry-test-devices-{os.getpid()}"
    cgroups.create(path)
    yield cgroups, path
    cgroups.remove_tree(path)


def opens(cgroups: CgroupsV2, path: str, device: str, flags: int) -> bool:
    """Can a process in the group open the device?"""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            cgroups.join(path)
            os.open(device, flags)
            code = 0
        except PermissionError:
            code = 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 1)
    return code == 0


@pytest.mark.root
def test_the_kernel_asks_the_program(group: tuple[CgroupsV2, str]) -> None:
    cgroups, path = group
    null: DeviceRule = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"}
    zero: DeviceRule = {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "r"}
    assert opens(cgroups, path, "/dev/full", os.O_RDONLY)
    cgroups.update(path, {"devices": [NOTHING, null, zero]})
    assert opens(cgroups, path, "/dev/null", os.O_RDWR)
    assert opens(cgroups, path, "/dev/zero", os.O_RDONLY)
    assert not opens(cgroups, path, "/dev/zero", os.O_RDWR)
    assert not opens(cgroups, path, "/dev/full", os.O_RDONLY)


@pytest.mark.root
def test_an_update_replaces_the_program(group: tuple[CgroupsV2, str]) -> None:
    cgroups, path = group
    everything: DeviceRule = {"allow": True}
    cgroups.update(path, {"devices": [NOTHING]})
    assert not opens(cgroups, path, "/dev/null", os.O_RDONLY)
    cgroups.update(path, {"devices": [everything]})
    assert opens(cgroups, path, "/dev/null", os.O_RDONLY)
    fd = cgroups.clone_fd(path)
    assert fd is not None
    programs = devices.attached(fd)
    for one in (*programs, fd):
        os.close(one)
    assert len(programs) == 1


@pytest.mark.root
def test_the_kernel_verifies_long_programs() -> None:
    rules: list[DeviceRule] = [
        NOTHING,
        *({"allow": bool(n % 2), "type": "c", "major": n, "minor": n} for n in range(400)),
        {"allow": True, "major": 0xFFFFFFFF, "minor": 0xFFFFFFFF},
    ]
    try:
        os.close(devices.load(devices.program(devices.parse(rules))))
    except PermissionError:
        pytest.skip("loading BPF programs is not allowed here")
