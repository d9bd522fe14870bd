"""From a profile's rules to a verdict for each number, with libseccomp's semantics as runc uses it.

- A rule whose action is the default action is left out.
- A name that an architecture doesn't have is skipped there; a name that nobody has, everywhere.
- The conditions of one rule are ANDed, the rules of one call ORed. A rule that has several
  conditions on one argument is taken as a rule per condition.
- A rule without conditions beats all with conditions, and the first of several stays.
- If the conditions of several rules hold and their actions differ, libseccomp makes no promise; we
  take the order of its usual answers: a later argument before an earlier one, equality before
  limits, the narrower limit first.
- A call that i386 multiplexes through socketcall(2) or ipc(2) is ruled there too, by the number
  of the operation, which takes the place of a condition on the first argument.
"""

import typing

from wherry import errdefs
from wherry.linux.seccomp.architectures import AUDIT_I386, Architecture
from wherry.spec.runtime import Seccomp, SeccompArg, SeccompSyscall

ALLOW = 0x7FFF0000
KILL_THREAD = 0
ERRNO = 0x00050000
TRACE = 0x7FF00000

_ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": ALLOW,
}
_EPERM = 1
_ARGUMENTS = 6
_ALL_BITS = 0xFFFFFFFFFFFFFFFF
_LOW_BITS = 0xFFFFFFFF

NE, LT, LE, EQ, GE, GT, MASKED_EQ = (
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
)
_OPERATORS = (NE, LT, LE, EQ, GE, GT, MASKED_EQ)

# The operations of socketcall(2) and ipc(2): <linux/net.h>, <linux/ipc.h>.
_SOCKETCALL = """
socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom
shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg
"""
_IPC = {
    1: "semop semget semctl semtimedop",
    11: "msgsnd msgrcv msgget msgctl",
    21: "shmat shmdt shmget shmctl",
}
_MULTIPLEXED = {
    name: ("socketcall", operation) for operation, name in enumerate(_SOCKETCALL.split(), 1)
} | {
    name: ("ipc", operation)
    for first, names in _IPC.items()
    for operation, name in enumerate(names.split(), first)
}


class Condition(typing.NamedTuple):
    """`argument & mask` compares to `value` as `operator` says.

    A mask without upper bits stands for an architecture whose arguments have only lower halves.
    """

    argument: int
    operator: str
    value: int
    mask: int = _ALL_BITS


class Rule(typing.NamedTuple):
    """If all `conditions` hold, `action`."""

    conditions: tuple[Condition, ...]
    action: int


class Profile(typing.NamedTuple):
    """A section's rules by the call's name, in the section's order.

    `names` has the names of all rules, those with the default action as well.
    """

    default: int
    rules: list[tuple[str, Rule]]
    names: frozenset[str]


class Newest(typing.NamedTuple):
    """The highest number of a section below an architecture's private ones, and among them."""

    public: int
    private: int | None


# What happens to a number: an action, or rules to be tried in turn (and then the default action).
Outcome = int | tuple[Rule, ...]


def action_of(name: str | None, errno: int | None) -> int:
    """What the filter returns for an action of the runtime specification.

    `errno` counts for SCMP_ACT_ERRNO and SCMP_ACT_TRACE, and is EPERM unless given. Raises
    EngineError INVALID_ARGUMENT for an unknown action, NOT_IMPLEMENTED for SCMP_ACT_NOTIFY.
    """
    if name == "SCMP_ACT_NOTIFY":
        raise errdefs.not_implemented(
            "seccomp: SCMP_ACT_NOTIFY needs a listener, which is not supported: "
            "use SCMP_ACT_ERRNO or SCMP_ACT_ALLOW"
        )
    if name is None or name not in _ACTIONS:
        raise errdefs.invalid(f"seccomp: unknown action {name!r} (known: {', '.join(_ACTIONS)})")
    action = _ACTIONS[name]
    if action in (ERRNO, TRACE):
        return action | ((_EPERM if errno is None else errno) & 0xFFFF)
    return action


def read(section: Seccomp) -> Profile:
    """The section's rules, checked, in their order, those with the default action left out.

    Raises EngineError as `action_of` does, and INVALID_ARGUMENT for a condition on a seventh
    argument or with an unknown comparison.
    """
    default = action_of(section.get("defaultAction"), section.get("defaultErrnoRet"))
    rules: list[tuple[str, Rule]] = []
    names: list[str] = []
    for syscall in section.get("syscalls") or ():
        action = action_of(syscall.get("action"), syscall.get("errnoRet"))
        alternatives = [Rule(conditions, action) for conditions in _alternatives(syscall)]
        named = syscall.get("names") or []
        names += named
        if action != default:
            rules += [(name, rule) for name in named for rule in alternatives]
    return Profile(default, rules, frozenset(names))


def outcomes(profile: Profile, architecture: Architecture) -> dict[int, Outcome]:
    """What happens to each system call that has a rule, by number.

    Calls that aren't in the answer get the default action. Raises EngineError INVALID_ARGUMENT
    if the same conditions lead to different actions.
    """
    found: dict[int, Outcome] = {}
    multiplexed = _MULTIPLEXED if architecture.audit == AUDIT_I386 else {}
    for name, rule in profile.rules:
        if name in multiplexed:
            multiplexer, operation = multiplexed[name]
            others = (other for other in rule.conditions if other.argument != 0)
            conditions = (Condition(0, EQ, operation), *others)
            _add(found, architecture, multiplexer, Rule(conditions, rule.action))
        _add(found, architecture, name, rule)
    return {number: _in_order(outcome) for number, outcome in found.items()}


def newest(profile: Profile, architecture: Architecture) -> Newest | None:
    """The highest numbers that the profile names, whatever its action; None if it names none."""
    named = {number for name, number in architecture.numbers.items() if name in profile.names}
    public = max((number for number in named if number < architecture.private), default=None)
    if public is None:
        return None
    private = max((number for number in named if number >= architecture.private), default=None)
    return Newest(public, private)


def _alternatives(syscall: SeccompSyscall) -> list[tuple[Condition, ...]]:
    """The rule's conditions, each tuple to be ANDed; several tuples are rules of their own."""
    conditions = sorted(_condition(argument) for argument in syscall.get("args") or ())
    if len({condition.argument for condition in conditions}) < len(conditions):
        return [(condition,) for condition in conditions]
    return [tuple(conditions)]


def _condition(argument: SeccompArg) -> Condition:
    index, operator = argument.get("index", 0), argument.get("op", "")
    if not 0 <= index < _ARGUMENTS:
        raise errdefs.invalid(f"seccomp: a call has arguments 0 to 5, the profile asks for {index}")
    if operator not in _OPERATORS:
        raise errdefs.invalid(
            f"seccomp: unknown comparison {operator!r} (known: {', '.join(_OPERATORS)})"
        )
    value = argument.get("value", 0) & _ALL_BITS
    if operator == MASKED_EQ:
        return Condition(index, operator, argument.get("valueTwo", 0) & value, value)
    return Condition(index, operator, value)


def _add(found: dict[int, Outcome], architecture: Architecture, name: str, rule: Rule) -> None:
    number = architecture.numbers.get(name)
    if number is None:
        return
    before = found.get(number, ())
    if isinstance(before, int):
        return
    conditions = rule.conditions
    if conditions and not architecture.wide:
        conditions = tuple(_lower_half(condition) for condition in conditions)
    # Nothing asked of no bits is always true.
    conditions = tuple(condition for condition in conditions if condition.mask)
    if not conditions:
        found[number] = rule.action
        return
    if any(other.conditions == conditions and other.action != rule.action for other in before):
        raise errdefs.invalid(
            f"seccomp: two rules for {name} have the same conditions and different actions"
        )
    found[number] = (*before, Rule(conditions, rule.action))


def _lower_half(condition: Condition) -> Condition:
    argument, operator, value, mask = condition
    return Condition(argument, operator, value & _LOW_BITS, mask & _LOW_BITS)


def _in_order(outcome: Outcome) -> Outcome:
    return outcome if isinstance(outcome, int) else tuple(sorted(outcome, key=_precedence))


def _precedence(rule: Rule) -> tuple[int, int, int]:
    """Which of several rules is tried first; it matters only if their actions differ."""
    first = rule.conditions[0]
    if first.operator in (LT, LE):
        return (-first.argument, 1, first.value)
    return (-first.argument, 2 if first.operator in (GE, GT) else 0, -first.value)
