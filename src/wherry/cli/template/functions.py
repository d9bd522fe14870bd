"""What a template may call: Go's own functions and those that Docker's command line adds."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

from wherry.cli.listing import Method
from wherry.cli.quoting import quoted
from wherry.client.jsontext import dumps


class FunctionError(Exception):
    """A function can't do that with those arguments."""


def shown(value: object) -> str:
    """A value as Go's `%v` prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        members = (f"{shown(key)}:{shown(value[key])}" for key in sorted(value))
        return f"map[{' '.join(members)}]"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(shown(element) for element in value)}]"
    if isinstance(value, float):
        return f"{int(value)}" if value.is_integer() and abs(value) < 1e21 else repr(value)
    return str(value)


def _json(value: object) -> str:
    if isinstance(value, Mapping) and any(callable(member) for member in value.values()):
        fields = sorted((key, member) for key, member in value.items() if callable(member))
        row = {key: member() for key, member in fields if not isinstance(member, Method)}
        return dumps(row, html=True)
    return dumps(value)


def _length(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, (Mapping, list, tuple)):
        return len(value)
    raise FunctionError(f"error calling len: {shown(value)} has no length")


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, (list, tuple)):
            if not isinstance(key, int) or not 0 <= key < len(value):
                raise FunctionError(f"error calling index: index out of range: {shown(key)}")
            value = value[key]
        else:
            raise FunctionError(f"error calling index: can't index {shown(value)}")
    return value


def _slice(value: object, *bounds: object) -> object:
    numbers = [bound for bound in bounds if isinstance(bound, int)]
    if not isinstance(value, (str, list)) or len(numbers) != len(bounds) or len(bounds) > 2:
        raise FunctionError("error calling slice: needs a string or a list, and one or two numbers")
    low, high = (*numbers, *([0, len(value)][len(numbers) :]))
    if not 0 <= low <= high <= len(value):
        raise FunctionError(f"error calling slice: index out of range: {high}")
    return value[low:high]


def _join(values: object, separator: object) -> str:
    if values is None:
        return ""
    if not isinstance(values, (list, tuple)):
        raise FunctionError("error calling join: needs a list")
    return str(separator).join(shown(value) for value in values)


def _truncate(value: object, length: object) -> str:
    return str(value)[:length] if isinstance(length, int) and length > 0 else ""


def _pad(value: object, before: object, after: object) -> str:
    if not value or not isinstance(before, int) or not isinstance(after, int):
        return str(value)
    return " " * before + str(value) + " " * after


_ORDER = {"ge": operator.ge, "gt": operator.gt, "le": operator.le, "lt": operator.lt}


def _compare(symbol: str) -> Callable[[object, object], bool]:
    def compare(left: object, right: object) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return bool(_ORDER[symbol](left, right))
        if isinstance(left, (int, float)) and isinstance(right, (int, float)):
            return bool(_ORDER[symbol](left, right))
        raise FunctionError(f"error calling {symbol}: incompatible types for comparison")

    return compare


def _equal(left: object, *others: object) -> bool:
    if not others:
        raise FunctionError("error calling eq: missing argument for comparison")
    return any(left == other for other in others)


def truth(value: object) -> bool:
    """Whether Go takes the value for true: not zero, empty or nil."""
    return bool(value)


def _and(*values: object) -> object:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: object) -> object:
    return next((value for value in values if truth(value)), values[-1])


def _print(*values: object) -> str:
    pieces: list[str] = []
    for at, value in enumerate(values):
        # Go puts a space only between two values of which neither is a string.
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            pieces.append(" ")
        pieces.append(shown(value))
    return "".join(pieces)


_VERB = re.compile(r"%([-+# 0]*\d*(?:\.\d+)?)([a-zA-Z%])")


def _printf(form: object, *values: object) -> str:
    rest = list(values)

    def replace(match: re.Match[str]) -> str:
        width, verb = match[1], match[2]
        if verb == "%":
            return "%"
        if not rest:
            return f"%!{verb}(MISSING)"
        value = rest.pop(0)
        if verb == "q":
            return f"%{width}s" % quoted(str(value))
        if verb in "dxXofeg" and isinstance(value, (int, float)) and not isinstance(value, bool):
            return f"%{width}{verb}" % value
        if verb in "svt":
            return f"%{width}s" % shown(value)
        return f"%!{verb}({shown(value)})"

    return _VERB.sub(replace, str(form))


FUNCTIONS: dict[str, Callable[..., object]] = {
    "and": _and,
    "eq": _equal,
    "ge": _compare("ge"),
    "gt": _compare("gt"),
    "index": _index,
    "join": _join,
    "json": _json,
    "le": _compare("le"),
    "len": _length,
    "lower": lambda value: str(value).lower(),
    "lt": _compare("lt"),
    "ne": lambda left, right: left != right,
    "not": lambda value: not truth(value),
    "or": _or,
    "pad": _pad,
    "print": _print,
    "printf": _printf,
    "println": lambda *values: " ".join(map(shown, values)) + "\n",
    "slice": _slice,
    "split": lambda value, separator: str(value).split(str(separator)),
    "title": lambda value: str(value).title(),
    "truncate": _truncate,
    "upper": lambda value: str(value).upper(),
}
