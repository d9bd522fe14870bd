"""JSON bodies into objects, by the rules of Go's decoder, which all clients were written against.

Names are matched without regard to case; `null` stands for a field's default wherever it appears;
unknown names are passed over. Types are checked, and an error names the field by its path.
"""

import functools
import types
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct, UnsetType

from wherry import errdefs
from wherry.api.http.messages import Request

# More than any client sends; what is larger is refused before it is read.
MAX_BODY = 4 * 1024 * 1024

T = TypeVar("T", bound=Struct)
_Rewrite = Callable[[object], object]


async def read_body(request: Request, wanted: type[T]) -> T | None:
    """The request's JSON body, None if it has none.

    EngineError (invalid) if it is not JSON or not of the wanted shape; HTTPError 413 if it is
    larger than `MAX_BODY`.
    """
    raw = await request.body.read(MAX_BODY)
    content_type = request.headers.get("content-type", "")
    media_type = content_type.split(";")[0].strip().lower()
    if not raw.strip():
        return None
    if media_type != "application/json":
        raise errdefs.invalid(
            f"unsupported Content-Type header ({content_type}): must be 'application/json'"
        )
    return decode(raw, wanted)


def decode(raw: bytes, wanted: type[T]) -> T:
    """One JSON value as an object. EngineError (invalid) says what is wrong and where."""
    try:
        plain: object = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errdefs.invalid(f"invalid JSON: {error}") from error
    rewrite = _rewrite_for(wanted)
    try:
        return msgspec.convert(rewrite(plain) if rewrite else plain, wanted)
    except msgspec.ValidationError as error:
        raise errdefs.invalid(f"invalid JSON: {_explain(str(error))}") from error


def _explain(message: str) -> str:
    """`Expected `int`, got `str` - at `$.HostConfig.Memory`` with the field first."""
    what, at, path = message.rpartition(" - at ")
    if not at:
        return message.replace("`", "").lower()
    where = path.strip("`").removeprefix("$.").removeprefix("$")
    return f"{where}: {what.replace('`', '').lower()}"


@functools.cache
def _rewrite_for(wanted: object) -> _Rewrite | None:
    """What must be done to a plain JSON value before it is converted to type `wanted`."""
    origin = get_origin(wanted)
    if origin is Annotated:
        inner, *marks = get_args(wanted)
        words = any(isinstance(m, msgspec.Meta) and (m.extra or {}).get("words") for m in marks)
        return _words if words else _rewrite_for(inner)
    if origin in (Union, types.UnionType):
        members = [m for m in get_args(wanted) if m not in (type(None), UnsetType)]
        return _rewrite_for(members[0]) if len(members) == 1 else None
    if origin is list:
        (item,) = get_args(wanted)
        return functools.partial(_each_item, _rewrite_for(item), _zero_of(item))
    if origin is dict:
        _, item = get_args(wanted)
        return functools.partial(_each_value, _rewrite_for(item), _zero_of(item))
    if isinstance(wanted, type) and issubclass(wanted, Struct):
        return _Fields(wanted)
    return None


class _Fields:
    """Brings an object's names into the exact form, without the nulls."""

    def __init__(self, wanted: type[Struct]) -> None:
        hints = get_type_hints(wanted, include_extras=True)
        names = zip(wanted.__struct_fields__, wanted.__struct_encode_fields__, strict=True)
        self._exact = {
            json_name: (json_name, _rewrite_for(hints[name]), _may_be_left_out(hints[name]))
            for name, json_name in names
        }
        self._folded = {name.lower(): field for name, field in self._exact.items()}

    def __call__(self, value: object) -> object:
        if not isinstance(value, dict):
            return value
        known: dict[str, object] = {}
        for key, item in value.items():
            field = self._exact.get(key) or self._folded.get(key.lower())
            if field is None or item is None:
                continue
            name, rewrite, may_be_left_out = field
            if may_be_left_out and item in ("", [], {}):
                continue
            known[name] = rewrite(item) if rewrite else item
        return known


def _words(value: object) -> object:
    if isinstance(value, str):
        return [value]
    return _each_item(None, "", value)


def _each_item(rewrite: _Rewrite | None, zero: object, value: object) -> object:
    if not isinstance(value, list):
        return value
    return [zero if item is None else rewrite(item) if rewrite else item for item in value]


def _each_value(rewrite: _Rewrite | None, zero: object, value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {
        key: zero if item is None else rewrite(item) if rewrite else item
        for key, item in value.items()
    }


def _may_be_left_out(wanted: object) -> bool:
    """Whether Go leaves the field out when it is empty; an object is there once it is named."""
    members = get_args(wanted)
    return UnsetType in members and not any(
        isinstance(member, type) and issubclass(member, Struct) for member in members
    )


def _zero_of(wanted: object) -> object:
    """What null becomes as a member of a list or map."""
    if get_origin(wanted) is Annotated:
        wanted = get_args(wanted)[0]
    if type(None) in get_args(wanted):
        return None
    kind = get_origin(wanted) or wanted
    if kind in (str, int, bool, list, dict):
        assert isinstance(kind, type)
        return kind()
    return {}
