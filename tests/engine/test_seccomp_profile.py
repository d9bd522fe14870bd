"""Profiles in Docker's format come to what dockerd made of them."""

import importlib.resources
import json

import pytest

from wherry.engine.seccomp_profile import default_profile, load_profile, resolve
from wherry.errdefs import EngineError, Kind
from wherry.linux import capabilities
from wherry.linux.seccomp import compile_filter

RULES = json.loads(
    importlib.resources.files("wherry.engine").joinpath("seccomp_default.json").read_text()
)["syscalls"]

# Which of the profile's rules dockerd 20.10 put into a container's config.json on an x86_64 with
# kernel 6.18, started with `--seccomp-profile` and this file.
ALWAYS = [*range(10), 12, 13]
BY_DOCKERD = {
    capabilities.DEFAULT: [*ALWAYS, 18, 20, 22],
    (*capabilities.DEFAULT, "CAP_SYS_ADMIN"): [*ALWAYS, 17, 22],
    (): [*ALWAYS, 18, 20],
    ("CAP_SYS_NICE", "CAP_SYS_PTRACE"): [*ALWAYS, 18, 20, 25, 29],
    tuple(name for name in capabilities.NAMES[:38] if name != "CAP_SYS_RESOURCE"): [
        *ALWAYS,
        16,
        17,
        *range(21, 31),
    ],
}


def rules_of(section) -> list[int]:
    """The places in the profile that the section's rules came from."""
    places = []
    for syscall in section["syscalls"]:
        for place in range(places[-1] + 1 if places else 0, len(RULES)):
            rule = RULES[place]
            same = all(
                (rule.get(key) or None) == syscall.get(key)
                for key in ("names", "action", "errnoRet", "args")
            )
            if same:
                places.append(place)
                break
        else:
            pytest.fail(f"not of the profile: {syscall}")
    return places


@pytest.mark.parametrize("names", BY_DOCKERD, ids=len)
def test_the_default_profile_comes_to_what_dockerd_makes_of_it(names: tuple[str, ...]) -> None:
    section = default_profile(names, "x86_64", kernel=(6, 18))
    assert rules_of(section) == BY_DOCKERD[names]
    assert section["defaultAction"] == "SCMP_ACT_ERRNO"
    assert section["defaultErrnoRet"] == 1
    assert section["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]


def test_another_architecture_has_other_rules() -> None:
    section = default_profile(capabilities.DEFAULT, "aarch64", kernel=(6, 18))
    assert rules_of(section) == [*range(10), 11, 18, 20, 22]
    assert section["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]


def test_an_old_kernel_gets_no_ptrace() -> None:
    assert 1 not in rules_of(default_profile((), "x86_64", kernel=(4, 7)))
    assert 1 in rules_of(default_profile((), "x86_64", kernel=(4, 8)))
    assert 1 in rules_of(default_profile((), "x86_64", kernel=(5, 0)))


def test_without_arguments_it_is_this_machines() -> None:
    assert compile_filter(default_profile(capabilities.DEFAULT))


def test_a_section_of_the_runtime_specification_is_a_profile() -> None:
    plain = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 22,
                "args": [{"index": 0, "value": 2**63, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}],
            }
        ],
    }
    assert resolve(load_profile(json.dumps(plain)), (), "x86_64") == plain


def test_all_conditions_of_a_rule_count() -> None:
    profile = load_profile(
        """{"defaultAction": "SCMP_ACT_ERRNO", "comment": "unknown members are ignored",
            "archMap": [{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": null}],
            "syscalls": [
              {"name": "one", "action": "SCMP_ACT_ALLOW", "args": null, "includes": {},
               "excludes": {"minKernel": "5.8"}},
              {"names": ["two"], "action": "SCMP_ACT_ALLOW",
               "includes": {"caps": ["CAP_BPF", "CAP_PERFMON"]}},
              {"names": ["three"], "action": "SCMP_ACT_ALLOW",
               "excludes": {"caps": ["CAP_BPF", "CAP_PERFMON"]}},
              {"names": ["four"], "action": "SCMP_ACT_ALLOW",
               "includes": {"arches": ["arm64"], "minKernel": "5.8"}}
            ]}"""
    )

    def names(caps: list[str], machine: str, kernel: tuple[int, int]) -> str:
        section = resolve(profile, caps, machine, kernel)
        assert section is not None
        return " ".join(name for syscall in section["syscalls"] for name in syscall["names"])

    assert names([], "x86_64", (5, 7)) == "one three"
    assert names(["CAP_BPF"], "x86_64", (5, 8)) == ""
    assert names(["CAP_BPF", "CAP_PERFMON"], "aarch64", (5, 10)) == "two four"
    arm = resolve(profile, [], "aarch64")
    assert arm is not None
    assert arm["architectures"] == ["SCMP_ARCH_AARCH64"]


def test_an_empty_profile_is_none_at_all() -> None:
    assert resolve(load_profile("{}"), ()) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not JSON", "seccomp profile: JSON is malformed"),
        ("[]", "seccomp profile: Expected `object`"),
        ('{"syscalls": [{"names": ["a"]}]}', r"missing required field `action` - at .*\[0\]"),
        (
            '{"syscalls": [{"action": "A", "args": [{"index": "x", "op": "O"}]}]}',
            r"Expected `int`, got `str` - at `\$.syscalls\[0\].args\[0\].index`",
        ),
        (
            '{"architectures": ["a"], "archMap": [{"architecture": "b"}]}',
            "both 'architectures' and 'archMap'",
        ),
        (
            '{"syscalls": [{"name": "a", "names": ["b"], "action": "A"}]}',
            "rule 0 .* has both 'name' and 'names'",
        ),
        (
            '{"syscalls": [{"names": ["a"], "action": "A", "includes": {"minKernel": "new"}}]}',
            "minKernel is 'new', not a kernel version such as 4.8",
        ),
    ],
)
def test_a_bad_profile_is_refused_by_its_place(text: str, said: str) -> None:
    with pytest.raises(EngineError, match=said) as refused:
        load_profile(text)
    assert refused.value.kind is Kind.INVALID_ARGUMENT


def test_an_unknown_machine_is_told_what_to_do() -> None:
    with pytest.raises(EngineError, match="seccomp=unconfined"):
        default_profile((), "riscv64")
