"""`RUN --mount`: one mount from its text, a line of comma-separated values."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Final, get_args

from wherry.build.dockerfile.errors import RefusalError, suggestion
from wherry.build.dockerfile.instructions import Mount, MountType, Sharing
from wherry.build.dockerfile.words import quoted

_FIELD: Final = re.compile(r'"((?:[^"]|"")*)"(?=,|\Z)|([^",]*)(?=,|\Z)')
_TYPES: Final[Mapping[str, MountType]] = {name: name for name in get_args(MountType)}
_SHARING: Final[Mapping[str, Sharing]] = {name: name for name in get_args(Sharing)}
_NAMES: Final = {
    "src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite",
}  # fmt: skip
_TRUTHS: Final = {
    "1": True, "t": True, "true": True, "0": False, "f": False, "false": False,
}  # fmt: skip
_SWITCHES: Final = ("readonly", "readwrite", "required")
_KEYS: Final = (
    "type", "from", "source", "target", "id", "sharing", "mode", "uid", "gid", "size", "env",
    *_SWITCHES, *_NAMES,
)  # fmt: skip
_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,9})?) ?([kmgtp]?)(?:i?b)?\Z", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"\$.")
_ID_MAX: Final = 2**32 - 1
_WRITABLE: Final = ("cache", "tmpfs")
_WITH_OWNER: Final = ("secret", "ssh", "cache")
_MAY_BE_REQUIRED: Final = ("secret", "ssh")


def mount_of(text: str, value_of: Callable[[str], str]) -> Mount:
    """The mount; `value_of` expands what is behind an equals sign. Refused in Docker's words."""
    fields = [_field(text, field, value_of) for field in _fields(text)]
    options = {key: value for key, value, _ in fields}
    written = {key: field for key, _, field in fields}
    type_ = _type(options.pop("type", "bind"))
    mount = Mount(type_, readonly=type_ not in _WRITABLE)
    for key, value in options.items():
        mount = _with(mount, key, value, written[key])
    _judge(mount)
    return (
        dataclasses.replace(mount, sharing=mount.sharing or "shared")
        if (type_ == "cache")
        else mount
    )


def source_of(text: str) -> Mount:
    """The mount as far as it is known before variables have values: type and `from_`."""
    mount = Mount()
    for field in _fields(text):
        key, _, value = field.partition("=")
        if key.lower() == "from":
            mount = dataclasses.replace(mount, from_=_stage(value))
        elif key.lower() == "type" and "$" not in value:
            type_ = _type(value)
            mount = dataclasses.replace(mount, type=type_, readonly=type_ not in _WRITABLE)
    return mount


def _fields(text: str) -> list[str]:
    found: list[str] = []
    at = 0
    while True:
        match = _FIELD.match(text, at)
        if match is None:
            raise RefusalError(
                f"failed to parse csv mounts: a quote out of place in {quoted(text)}", "--mount"
            )
        found.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        at = match.end() + 1
        if match.end() == len(text):
            return found


def _field(text: str, field: str, value_of: Callable[[str], str]) -> tuple[str, str, str]:
    """Its key by the name that we have for it, its value, and the whole of it."""
    key, equals, value = field.partition("=")
    key = key.lower()
    name = _NAMES.get(key, key)
    if not equals:
        if name not in _SWITCHES:
            raise RefusalError(f"invalid field '{field}' must be a key=value pair", field)
        return name, "true", field
    if name not in _KEYS:
        raise RefusalError(f"unexpected key '{key}' in '{field}'{suggestion(key, _KEYS)}", field)
    return name, _stage(value) if name == "from" else value_of(value), field


def _stage(value: str) -> str:
    if _VARIABLE.search(value):
        raise RefusalError(
            "'from' doesn't support variable expansion, define alias stage instead", value
        )
    return value


def _type(value: str) -> MountType:
    type_ = _TYPES.get(value.lower())
    if type_ is None:
        raise RefusalError(
            f"unsupported mount type {quoted(value)}{suggestion(value, _TYPES)}", value
        )
    return type_


def _with(mount: Mount, key: str, value: str, field: str) -> Mount:
    """The mount with one option more."""
    if key == "from":
        return dataclasses.replace(mount, from_=value)
    if key in ("source", "target", "id", "env"):
        return _with_text(mount, key, value)
    if key == "readonly":
        return dataclasses.replace(mount, readonly=_truth(key, value, field))
    if key == "readwrite":
        return dataclasses.replace(mount, readonly=not _truth(key, value, field))
    if key == "sharing":
        sharing = _SHARING.get(value.lower())
        if sharing is None:
            raise RefusalError(
                f"unsupported sharing value {quoted(value)}{suggestion(value, _SHARING)}", field
            )
        return dataclasses.replace(mount, sharing=sharing)
    return _with_number(mount, key, value, field)


def _with_text(mount: Mount, key: str, value: str) -> Mount:
    if key == "source":
        return dataclasses.replace(mount, source=value)
    if key == "target":
        return dataclasses.replace(mount, target=value)
    if key == "id":
        return dataclasses.replace(mount, id=value)
    return dataclasses.replace(mount, env=value)


def _with_number(mount: Mount, key: str, value: str, field: str) -> Mount:
    if key == "required":
        _allow(mount, key, _MAY_BE_REQUIRED, field)
        return dataclasses.replace(mount, required=_truth(key, value, field))
    if key == "size":
        _allow(mount, key, ("tmpfs",), field)
        return dataclasses.replace(mount, size=_size(value, field))
    if key == "mode":
        return dataclasses.replace(mount, mode=_number(key, value, 8, field))
    if key == "uid":
        return dataclasses.replace(mount, uid=_number(key, value, 10, field))
    return dataclasses.replace(mount, gid=_number(key, value, 10, field))


def _allow(mount: Mount, key: str, types: tuple[str, ...], field: str) -> None:
    if mount.type not in types:
        raise RefusalError(f"unexpected key '{key}' for mount type '{mount.type}'", field)


def _truth(key: str, value: str, field: str) -> bool:
    if value.lower() not in _TRUTHS:
        raise RefusalError(f"invalid value for {key}: {value}", field)
    return _TRUTHS[value.lower()]


def _number(key: str, value: str, base: int, field: str) -> int:
    digits = "[0-7]{1,12}" if base == 8 else "[0-9]{1,10}"
    number = int(value, base) if re.fullmatch(digits, value) else -1
    if not 0 <= number <= _ID_MAX:
        raise RefusalError(f"invalid value {value} for {key}", field)
    return number


def _size(value: str, field: str) -> int:
    """Bytes: `64m`, `1.5GB`, `1GiB`; all units are powers of 1024."""
    match = _SIZE.match(value)
    if match is None:
        raise RefusalError(f"invalid value for size: {value}", field)
    exponent = " kmgtp".index(match[2].lower() or " ")
    return int(float(match[1]) * 1024**exponent)


def _judge(mount: Mount) -> None:
    """Whether the options go together."""
    if mount.type not in _WITH_OWNER:
        for name, value in (("mode", mount.mode), ("uid", mount.uid), ("gid", mount.gid)):
            if value is not None:
                raise RefusalError(f'{name} not allowed for "{mount.type}" type mounts', f"{name}=")
    if mount.env and mount.type != "secret":
        raise RefusalError(f'env not allowed for "{mount.type}" type mounts', "env=")
    if mount.type == "secret":
        _judge_secret(mount)
    if mount.sharing and mount.type != "cache":
        raise RefusalError(f"invalid cache sharing set for {mount.type} mount", "sharing=")


def _judge_secret(mount: Mount) -> None:
    if mount.from_:
        raise RefusalError("secret mount should not have a from", "from=")
    if mount.sharing:
        raise RefusalError("secret mount should not define sharing", "sharing=")
    if not (mount.source or mount.target or mount.id or mount.env):
        raise RefusalError("invalid secret mount. one of source, target required")
    if mount.source and mount.id:
        raise RefusalError("both source and id can't be set", "source=")
