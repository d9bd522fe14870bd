"""JSON for a program that lives for milliseconds.

The `json` package compiles regular expressions at import, which costs 8 ms: half of what the
interpreter itself needs to start. Its C scanner and string encoder need none of that and are used
directly; where an interpreter has them otherwise, the package itself stands in.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

try:
    from _json import encode_basestring, make_scanner
except ImportError:
    from json.encoder import encode_basestring
    from json.scanner import make_scanner

_SPACE = " \t\n\r"


class _Rules:
    """What the scanner reads from its maker: JSON as RFC 8259 has it, without NaN."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}  # noqa: RUF012

    @staticmethod
    def parse_constant(name: str) -> float:
        raise ValueError(f"{name} is no JSON value")


def _plain_scanner() -> Callable[[str, int], tuple[Any, int]]:
    from json import JSONDecoder

    return JSONDecoder(parse_constant=_Rules.parse_constant).raw_decode


_scan: Callable[[str, int], tuple[Any, int]]
try:
    _scan = make_scanner(_Rules)  # type: ignore[arg-type]  # only the attributes are looked at
except (AttributeError, TypeError):
    _scan = _plain_scanner()


def loads(text: bytes | str) -> Any:  # noqa: ANN401  as json.loads: the caller says what it is
    """The value that `text` (bytes are UTF-8) holds. Raises ValueError if it holds no JSON."""
    if isinstance(text, bytes):
        text = text.decode()
    start = len(text) - len(text.lstrip(_SPACE))
    try:
        value, end = _scan(text, start)
    except StopIteration:
        raise ValueError(f"no JSON value in {text[:40]!r}") from None
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    if text[end:].strip(_SPACE):
        raise ValueError(f"extra text after the JSON value: {text[end : end + 40]!r}")
    return value


def dumps(value: object, *, html: bool = False) -> str:
    """Compact JSON in the values' own order; `html` escapes `<`, `>` and `&` as Go does."""
    pieces: list[str] = []
    _write(value, pieces)
    text = "".join(pieces)
    if html:
        # These can stand only inside strings, so replacing them anywhere is right.
        text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text


def _write(value: object, pieces: list[str]) -> None:
    if isinstance(value, str):
        pieces.append(encode_basestring(value))
    elif value is None:
        pieces.append("null")
    elif isinstance(value, bool):
        pieces.append("true" if value else "false")
    elif isinstance(value, int):
        pieces.append(int.__repr__(value))
    elif isinstance(value, float):
        pieces.append(_number(value))
    elif isinstance(value, dict):
        _write_object(value, pieces)
    elif isinstance(value, (list, tuple)):
        _write_array(value, pieces)
    else:
        raise TypeError(f"{type(value).__name__} has no JSON form")


def _number(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"{value} has no JSON form")
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return float.__repr__(value)


def _write_object(members: dict[str, object], pieces: list[str]) -> None:
    opening = "{"
    for key, member in members.items():
        pieces.append(opening + encode_basestring(key) + ":")
        _write(member, pieces)
        opening = ","
    pieces.append("}" if members else "{}")


def _write_array(elements: list[object] | tuple[object, ...], pieces: list[str]) -> None:
    opening = "["
    for element in elements:
        pieces.append(opening)
        _write(element, pieces)
        opening = ","
    pieces.append("]" if elements else "[]")
