"""What a template may call: Go's own functions and those that Docker's command line adds."""

from __future__ import annotations

from wherry.cli.listing import Method
from wherry.cli.quoting import quoted
from wherry.cli.template.absent import NO_VALUE, NilList, NilMap
from wherry.client.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MANY = 1 << 30
_LARGE = 6  # the exponent from which on Go writes one


class FunctionError(Exception):
    """A function can't do that with those arguments."""


def arity(function: Callable[..., object]) -> tuple[int, int]:
    """How many arguments it takes, at least and at most."""
    if isinstance(function, Method):
        return 1, 1
    code = function.__code__
    many = code.co_flags & 4  # CO_VARARGS
    return code.co_argcount, MANY if many else code.co_argcount


def shown(value: object) -> str:
    """A value as Go's `%v` prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is NO_VALUE:
        return "<no value>"
    if isinstance(value, dict):
        members = (f"{shown(key)}:{shown(value[key])}" for key in sorted(value))
        return f"map[{' '.join(members)}]"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(shown(element) for element in value)}]"
    return _float(value) if isinstance(value, float) else str(value)


def _float(value: float) -> str:
    """The shortest digits that mean this number; with an exponent from a million on."""
    head, _, power = repr(abs(value)).partition("e")
    whole, _, fraction = head.partition(".")
    digits = (whole + fraction).lstrip("0")
    exponent = len(whole) + int(power or 0) - (len(whole + fraction) - len(digits)) - 1
    digits = digits.rstrip("0")
    sign = "-" if value < 0 else ""
    if not digits:
        return "0"
    if exponent < -4 or exponent >= _LARGE:
        rest = f".{digits[1:]}" if digits[1:] else ""
        return f"{sign}{digits[0]}{rest}e{exponent:+03d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole, rest = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"


def _kind(value: object) -> str:
    """What Go calls the type of a value."""
    for python, name in ((bool, "bool"), (int, "int"), (float, "float64"), (str, "string")):
        if isinstance(value, python):
            return name
    return "map[string]interface {}" if isinstance(value, dict) else "[]interface {}"


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise FunctionError(f"expected string; found {shown(value)}")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise FunctionError(f"expected integer; found {shown(value)}")
    return value


def _json(value: object) -> str:
    if isinstance(value, dict) and any(callable(member) for member in value.values()):
        fields = sorted((key, member) for key, member in value.items() if callable(member))
        row = {key: member() for key, member in fields if not isinstance(member, Method)}
        return dumps(row, html=True)
    if isinstance(value, (NilList, NilMap)):
        return "null"
    return dumps(value)


def _length(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, (dict, list, tuple)):
        return len(value)
    raise FunctionError(f"len of {'nil pointer' if value is None else f'type {_kind(value)}'}")


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, dict):
            # A map of texts, such as labels, has an empty one for what isn't in it.
            texts = all(isinstance(member, str) for member in value.values())
            value = value.get(key, "" if texts else None)
        elif isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")[_position(value, key)]
        elif isinstance(value, (list, tuple)):
            value = value[_position(value, key)]
        else:
            raise FunctionError(f"can't index {shown(value)}")
    return value


def _position(value: str | list[object] | tuple[object, ...], key: object) -> int:
    if not isinstance(key, int) or not 0 <= key < _length(value):
        raise FunctionError(f"index out of range: {shown(key)}")
    return key


def _slice(value: object, *bounds: object) -> object:
    numbers = [bound for bound in bounds if isinstance(bound, int)]
    if not isinstance(value, (str, list)) or len(numbers) != len(bounds) or len(bounds) > 2:
        raise FunctionError("it needs a string or a list, and one or two numbers")
    low, high = (*numbers, *([0, len(value)][len(numbers) :]))
    if not 0 <= low <= high <= len(value):
        raise FunctionError(f"index out of range: {high}")
    return value[low:high]


def _join(values: object, separator: object) -> str:
    if values is None:
        return ""
    if not isinstance(values, (list, tuple)):
        raise FunctionError(f"expected a list; found {shown(values)}")
    return _string(separator).join(shown(value) for value in values)


def _split(text: object, separator: object) -> list[str]:
    return _string(text).split(_string(separator)) if separator else list(_string(text))


def _title(text: object) -> str:
    """The first letter of each word as a capital; the others stay as they are."""
    before = " "
    pieces: list[str] = []
    for char in _string(text):
        pieces.append(char if before.isalnum() or before == "_" else char.upper())
        before = char
    return "".join(pieces)


def _truncate(text: object, length: object) -> str:
    if _number(length) < 0:
        raise FunctionError(f"a length of {length}")
    data = _string(text).encode("utf-8", "surrogateescape")
    return data[: _number(length)].decode("utf-8", "surrogateescape")


def _pad(text: object, before: object, after: object) -> str:
    return " " * _number(before) + text + " " * _number(after) if (text := _string(text)) else ""


def _less(left: object, right: object) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return left < right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left < right
    raise FunctionError("incompatible types for comparison")


def _equal(left: object, *others: object) -> bool:
    if not others:
        raise FunctionError("missing argument for comparison")
    return any(_same(left, other) for other in others)


def _same(left: object, right: object) -> bool:
    kinds = {_kind(left), _kind(right)}
    if None not in (left, right) and len(kinds) > 1 and kinds != {"int", "float64"}:
        raise FunctionError("incompatible types for comparison")
    return left == right


def truth(value: object) -> bool:
    """Whether Go takes the value for true: not zero, empty or nil."""
    return bool(value)


def _and(first: object, *values: object) -> object:
    values = (first, *values)
    return next((value for value in values if not truth(value)), values[-1])


def _or(first: object, *values: object) -> object:
    values = (first, *values)
    return next((value for value in values if truth(value)), values[-1])


def _print(*values: object) -> str:
    pieces: list[str] = []
    for at, value in enumerate(values):
        # Go puts a space only between two values of which neither is a string.
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            pieces.append(" ")
        pieces.append(shown(value))
    return "".join(pieces)


_FLAGS = "-+# 0123456789."


def _printf(form: object, *values: object) -> str:
    rest = list(values)
    before, *parts = _string(form).split("%")
    pieces = [before]
    percent = False
    for part in parts:
        if percent or not part:
            # Two marks beside each other are one that is meant.
            pieces.append(part if percent else "%")
            percent = not percent and not part
            continue
        end = len(part) - len(part.lstrip(_FLAGS))
        flags, verb, after = part[:end], part[end : end + 1], part[end + 1 :]
        if not verb:
            pieces.append("%!(NOVERB)")
            continue
        pieces.append(_formatted(flags, verb, rest.pop(0)) if rest else f"%!{verb}(MISSING)")
        pieces.append(after)
    if rest:
        extra = ", ".join(f"{_kind(value)}={shown(value)}" for value in rest)
        pieces.append(f"%!(EXTRA {extra})")
    return "".join(pieces)


def _formatted(flags: str, verb: str, value: object) -> str:
    if verb == "v":
        return f"%{flags.replace('+', '').replace('#', '')}s" % shown(value)
    if isinstance(value, bool):
        fits = verb == "t"
    elif isinstance(value, str):
        fits = verb in "sqxX"
    elif isinstance(value, int):
        fits = verb in "dxXocb"
    else:
        fits = verb in "eEfFgG" if isinstance(value, float) else verb == "s" and value is not None
    if verb == "T":
        return f"%{flags}s" % _kind(value)
    if not fits:
        kind = f"{_kind(value)}=" if value is not None else ""
        return f"%!{verb}({kind}{shown(value)})"
    return _fitted(flags, verb, value)


def _fitted(flags: str, verb: str, value: object) -> str:
    if isinstance(value, str) and verb in "xX":
        text = value.encode("utf-8", "surrogateescape").hex()
        return f"%{flags}s" % (text.upper() if verb == "X" else text)
    if verb == "q":
        return f"%{flags}s" % quoted(str(value))
    if verb == "b" and isinstance(value, int):
        return f"%{flags}s" % f"{value:b}"
    if verb == "c" and isinstance(value, int):
        return f"%{flags}s" % chr(value)
    if verb in "st":
        return f"%{flags}s" % shown(value)
    return f"%{flags}{verb}" % value


_MARKUP = {"<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&#34;", "'": "&#39;"}


def _html(*values: object) -> str:
    return "".join(_MARKUP.get(char, char) for char in _print(*values))


def _urlquery(*values: object) -> str:
    data = _print(*values).encode("utf-8", "surrogateescape")
    safe = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
    return "".join(
        "+" if byte == 32 else chr(byte) if byte in safe else f"%{byte:02X}" for byte in data
    )


FUNCTIONS: dict[str, Callable[..., object]] = {
    "and": _and,
    "eq": _equal,
    "ge": lambda left, right: not _less(left, right),
    "gt": lambda left, right: _less(right, left),
    "html": _html,
    "index": _index,
    "join": _join,
    "json": _json,
    "le": lambda left, right: not _less(right, left),
    "len": _length,
    "lower": lambda value: _string(value).lower(),
    "lt": _less,
    "ne": lambda left, right: not _same(left, right),
    "not": lambda value: not truth(value),
    "or": _or,
    "pad": _pad,
    "print": _print,
    "printf": _printf,
    "println": lambda *values: " ".join(map(shown, values)) + "\n",
    "slice": _slice,
    "split": _split,
    "title": _title,
    "truncate": _truncate,
    "upper": lambda value: _string(value).upper(),
    "urlquery": _urlquery,
}
