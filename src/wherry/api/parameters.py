"""Parameters of the query string, as Docker reads them."""

from collections.abc import Mapping, Sequence

import msgspec

from wherry import errdefs

Query = Mapping[str, Sequence[str]]

# Docker's own list of what is false; everything else that is there is true.
_FALSE = frozenset({"", "0", "no", "false", "none"})


def text(query: Query, name: str, default: str = "") -> str:
    """The first value of a parameter."""
    values = query.get(name)
    return values[0] if values else default


def flag(query: Query, name: str, default: bool = False) -> bool:
    """Docker's booleans: absent is the default; empty, 0, no, false and none are false."""
    values = query.get(name)
    if not values:
        return default
    return values[0].strip().lower() not in _FALSE


def number(query: Query, name: str, default: int | None = None) -> int | None:
    """A decimal number of 64 bits; empty counts as absent."""
    value = text(query, name)
    if not value:
        return default
    digits = value[1:] if value[0] in "+-" else value
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20) or abs(int(value)) >= 2**63:
        raise errdefs.invalid(f"invalid value for {name}: {value!r} is not a whole number")
    return int(value)


def filters(query: Query) -> dict[str, list[str]]:
    """The `filters` parameter, in either of its two JSON forms.

    `{"label": {"a=b": true}}` is what newer clients send, `{"label": ["a=b"]}` what older ones do.
    """
    value = text(query, "filters")
    if not value:
        return {}
    try:
        plain = msgspec.json.decode(value, type=dict[str, dict[str, bool] | list[str]] | None)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errdefs.invalid(f"invalid filter: {error}") from error
    found: dict[str, list[str]] = {}
    for name, values in (plain or {}).items():
        chosen = [v for v, on in values.items() if on] if isinstance(values, dict) else values
        if chosen:
            found[name] = chosen
    return found
