"""From a runtime specification's seccomp section to a program that the kernel takes.

The program asks for the architecture, then finds the call's number by binary search over runs of
numbers with the same outcome, and only then looks at arguments, if a rule asks for them:

    load arch ── X86_64 ── load nr ── nr >= 140? ── ... ── allow
              ├─ I386 ──── load nr ──  ...                 deny (default action)
              │                                            argument checks ── allow or deny
              └─ any other: kill                           ENOSYS
"""

import errno
import typing

from wherry.linux.seccomp import rules
from wherry.linux.seccomp.architectures import (
    AUDIT_X86_64,
    FOREIGN,
    X32_BIT,
    Architecture,
    architecture,
    native,
)
from wherry.linux.seccomp.assembler import JEQ, JGE, JGT, Assembler
from wherry.linux.seccomp.rules import Condition, Outcome
from wherry.spec.runtime import Seccomp

# struct seccomp_data { int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]; }; both
# architecture families are little-endian, so an argument's lower half comes first.
_NUMBER = 0
_ARCHITECTURE = 4
_ARGUMENTS = 16

_ENOSYS = rules.ERRNO | errno.ENOSYS
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
_LAST = 0xFFFFFFFF
_LOW_BITS = 0xFFFFFFFF

# The comparison of an operator, or of its opposite.
_TESTS = {
    rules.EQ: JEQ,
    rules.NE: JEQ,
    rules.GT: JGT,
    rules.LE: JGT,
    rules.GE: JGE,
    rules.LT: JGE,
}


def compile_filter(section: Seccomp, machine: str | None = None) -> bytes:
    """The section as a program of classic BPF (an array of struct sock_filter).

    A pure function of its arguments, so that the answer can be kept by the section's content.
    `machine` is a `uname -m`, this one's unless given: its native architecture is always in the
    filter, as with libseccomp.

    Like runc, a filter that denies by default answers ENOSYS to a number beyond the newest that
    the section names, so that programs fall back to what they did before that call was there
    (opencontainers/runc#2151 has what EPERM did to them). Beyond runc, so do x32's numbers if the
    section hasn't x32, the holes in front of x32's and arm's private numbers, and the native
    architecture's numbers if the section doesn't list it.

    Raises EngineError INVALID_ARGUMENT for an unknown architecture, action or comparison and for
    a section too large for the kernel, NOT_IMPLEMENTED for SCMP_ACT_NOTIFY.
    """
    listed = (token for token in section.get("architectures") or () if token not in FOREIGN)
    families: dict[int, list[Architecture]] = {}
    for token in dict.fromkeys((native(machine), *listed)):
        found = architecture(token)
        families.setdefault(found.audit, []).append(found)
    return _Compiler(section).compile(families)


class _Run(typing.NamedTuple):
    """From `start` to the next run's start, every number has this outcome."""

    start: int
    outcome: Outcome


class _Compiler:
    """Emits one section's program; blocks that are the same are emitted once."""

    def __init__(self, section: Seccomp) -> None:
        self._profile = rules.read(section)
        self._default = self._profile.default
        self._stub = section.get("defaultAction") not in _PERMISSIVE
        self._program = Assembler()
        self._checks: dict[Outcome, int] = {}

    def compile(self, families: dict[int, list[Architecture]]) -> bytes:
        program = self._program
        # From the end: the native architecture comes first, and its search is near.
        entrances = {audit: self._family(family) for audit, family in reversed(families.items())}
        chosen = program.ret(rules.KILL_THREAD)
        for audit, entrance in entrances.items():
            chosen = program.jump(JEQ, audit, entrance, chosen)
        program.load(_ARCHITECTURE)
        return program.assemble()

    def _family(self, family: list[Architecture]) -> int:
        """The search for a number's outcome among the architectures that share an audit number."""
        unnamed: dict[int, int] = {}
        named: dict[int, Outcome] = {}
        if family[0].audit == AUDIT_X86_64:
            unnamed |= self._absent()
        for member in family:
            unnamed |= self._unnamed(member)
            named |= rules.outcomes(self._profile, member)
        runs = _runs(unnamed, named)
        self._program.follow(self._search(runs, 0, len(runs)))
        return self._program.load(_NUMBER)

    def _absent(self) -> dict[int, int]:
        """What x86_64's and x32's numbers get if the section hasn't that architecture.

        The last is -1, a tracer's way of skipping a call, which libseccomp spares.
        """
        if self._stub:
            return {0: _ENOSYS, X32_BIT: _ENOSYS}
        return {0: rules.KILL_THREAD, X32_BIT: rules.KILL_THREAD, _LAST: self._default}

    def _unnamed(self, member: Architecture) -> dict[int, int]:
        """What numbers without a rule get: the action from each key to the next."""
        starts = {member.first: self._default}
        newest = rules.newest(self._profile, member) if self._stub else None
        if newest is None:
            return starts
        starts[newest.public + 1] = _ENOSYS
        if newest.private is not None:
            starts |= {member.private: self._default, newest.private + 1: _ENOSYS}
        return starts

    def _search(self, runs: list[_Run], low: int, high: int) -> int:
        """Find the run that A is in, among those from `low` to before `high`."""
        if high - low == 1:
            return self._outcome(runs[low].outcome)
        if high - low == 3 and _is_one_exception(runs[low:high]):
            exception = self._outcome(runs[low + 1].outcome)
            return self._program.jump(
                JEQ, runs[low + 1].start, exception, self._outcome(runs[low].outcome)
            )
        middle = (low + high) // 2
        above = self._search(runs, middle, high)
        below = self._search(runs, low, middle)
        return self._program.jump(JGE, runs[middle].start, above, below)

    def _outcome(self, outcome: Outcome) -> int:
        if isinstance(outcome, int):
            return self._program.ret(outcome)
        if outcome not in self._checks:
            checks = self._program.ret(self._default)
            for rule in reversed(outcome):
                holds = self._program.ret(rule.action)
                for condition in reversed(rule.conditions):
                    holds = self._condition(condition, holds, checks)
                checks = holds
            self._checks[outcome] = checks
        return self._checks[outcome]

    def _condition(self, condition: Condition, true: int, false: int) -> int:
        """Go to `true` if the condition holds. Two 32-bit comparisons do for one of 64 bits."""
        if condition.operator in (rules.NE, rules.LT, rules.LE):
            true, false = false, true
        offset = _ARGUMENTS + 8 * condition.argument
        if condition.operator == rules.MASKED_EQ:
            return self._masked_equal(condition, offset, true, false)
        program = self._program
        test = _TESTS[condition.operator]
        program.jump(test, condition.value & _LOW_BITS, true, false)
        chosen = program.load(offset)
        if not condition.mask >> 32:
            return chosen
        high = condition.value >> 32
        chosen = program.jump(JEQ, high, chosen, false)
        if test != JEQ:
            program.jump(JGT, high, true, chosen)
        return program.load(offset + 4)

    def _masked_equal(self, condition: Condition, offset: int, true: int, false: int) -> int:
        chosen = true
        for place, shift in ((offset, 0), (offset + 4, 32)):
            mask = condition.mask >> shift & _LOW_BITS
            if mask:
                self._program.jump(JEQ, condition.value >> shift & _LOW_BITS, chosen, false)
                self._program.mask(mask)
                chosen = self._program.load(place)
        return chosen


def _runs(unnamed: dict[int, int], named: dict[int, Outcome]) -> list[_Run]:
    """Numbers 0 to 2**32 as few runs, each different from its neighbours."""
    runs: list[_Run] = []
    fill = 0
    for start in sorted({*unnamed, *named, *(number + 1 for number in named)}):
        fill = unnamed.get(start, fill)
        outcome = named.get(start, fill)
        if not runs or outcome != runs[-1].outcome:
            runs.append(_Run(start, outcome))
    return runs


def _is_one_exception(runs: list[_Run]) -> bool:
    """Whether the three runs are one outcome with one number taken out."""
    before, exception, after = runs
    return before.outcome == after.outcome and after.start == exception.start + 1
