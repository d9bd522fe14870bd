"""`--volume`, `--mount` and `--tmpfs` in the API's form. ValueError says what is wrong."""

from __future__ import annotations

import os

from wherry.cli.flags import boolean
from wherry.cli.units import read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Read = Callable[[str], object]


def binds_and_volumes(volumes: Iterable[str]) -> tuple[list[str], dict[str, object]]:
    """What binds a source, and the targets that get an anonymous volume each."""
    binds: list[str] = []
    anonymous: dict[str, object] = {}
    for volume in volumes:
        source, colon, rest = volume.partition(":")
        if not volume or (colon and not (source and rest)):
            raise ValueError(f"invalid volume specification: {volume!r} (source:target[:mode])")
        if not colon:
            anonymous[volume] = {}
            continue
        if source.startswith("."):
            # Only here is it known what a relative path is relative to.
            source = os.path.abspath(source)
        binds.append(f"{source}:{rest}")
    return binds, anonymous


def tmpfs(entries: Iterable[str]) -> dict[str, str]:
    result: dict[str, str] = {}
    for entry in entries:
        path, _, options = entry.partition(":")
        result[path] = options
    return result


def read_mount(text: str) -> dict[str, object]:
    """One `--mount`: `key=value` by commas; options of one type are named after it."""
    mount: dict[str, object] = {"Type": "volume"}
    for item in split_commas(text):
        key, equals, value = item.partition("=")
        key = key.strip().lower()
        if not equals and key not in _SWITCHES:
            raise ValueError(f"invalid field {item!r} must be a key=value pair")
        if key not in _FIELDS:
            raise ValueError(f"unexpected key {key!r} in {item!r}")
        section, name, read = _FIELDS[key]
        if key in ("readonly", "ro", "volume-nocopy", "bind-nonrecursive") and not equals:
            value = "true"
        _put(mount, section, name, read(value))
    _check(mount, text)
    return mount


def _put(mount: dict[str, object], section: str, name: str, value: object) -> None:
    place = mount
    for part in section.split("."):
        if part:
            inner = place.setdefault(part, {})
            assert isinstance(inner, dict)
            place = inner
    if isinstance(value, dict):
        known = place.setdefault(name, {})
        assert isinstance(known, dict)
        known.update(value)
    else:
        place[name] = value


def _check(mount: dict[str, object], text: str) -> None:
    kind = mount["Type"]
    if not mount.get("Target"):
        raise ValueError(f"target is required in --mount {text!r}")
    if kind == "bind" and not mount.get("Source"):
        raise ValueError(f"source is required for a bind in --mount {text!r}")
    for section, owner in (
        ("BindOptions", "bind"),
        ("VolumeOptions", "volume"),
        ("TmpfsOptions", "tmpfs"),
    ):
        if section in mount and kind != owner:
            raise ValueError(f"cannot mix '{owner}-*' options with mount type {kind!r}")


def _source(value: str) -> str:
    return os.path.abspath(value) if value.startswith(".") else value


def _octal(value: str) -> int:
    return int(value, 8)


def _pair(value: str) -> dict[str, str]:
    name, _, setting = value.partition("=")
    return {name: setting}


def _text(value: str) -> str:
    return value


def _size(value: str) -> int:
    return read_size(value)


def _flag(value: str) -> bool:
    return boolean(value)


_SWITCHES = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive")
_FIELDS: dict[str, tuple[str, str, Read]] = {
    "type": ("", "Type", str.lower),
    "source": ("", "Source", _source),
    "src": ("", "Source", _source),
    "target": ("", "Target", _text),
    "dst": ("", "Target", _text),
    "destination": ("", "Target", _text),
    "readonly": ("", "ReadOnly", _flag),
    "ro": ("", "ReadOnly", _flag),
    "consistency": ("", "Consistency", str.lower),
    "bind-propagation": ("BindOptions", "Propagation", str.lower),
    "bind-nonrecursive": ("BindOptions", "NonRecursive", _flag),
    "bind-create-src": ("BindOptions", "CreateMountpoint", _flag),
    "volume-subpath": ("VolumeOptions", "Subpath", _text),
    "volume-nocopy": ("VolumeOptions", "NoCopy", _flag),
    "volume-label": ("VolumeOptions", "Labels", _pair),
    "volume-driver": ("VolumeOptions.DriverConfig", "Name", _text),
    "volume-opt": ("VolumeOptions.DriverConfig", "Options", _pair),
    "image-subpath": ("ImageOptions", "Subpath", _text),
    "tmpfs-size": ("TmpfsOptions", "SizeBytes", _size),
    "tmpfs-mode": ("TmpfsOptions", "Mode", _octal),
}


def split_commas(text: str) -> list[str]:
    """One line of CSV: a field in double quotes may hold commas, and `""` for a quote."""
    fields: list[str] = []
    at = 0
    while True:
        if text[at : at + 1] == '"':
            field, at = _quoted_field(text, at + 1)
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            field, at = text[at:end], end
        fields.append(field)
        if at >= len(text):
            return fields
        if text[at] != ",":
            raise ValueError(f'extraneous or missing " in {text!r}')
        at += 1


def _quoted_field(text: str, at: int) -> tuple[str, int]:
    pieces: list[str] = []
    while True:
        end = text.find('"', at)
        if end < 0:
            raise ValueError(f'extraneous or missing " in {text!r}')
        pieces.append(text[at:end])
        if text[end + 1 : end + 2] != '"':
            return "".join(pieces), end + 1
        pieces.append('"')
        at = end + 2
