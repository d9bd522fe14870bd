"""Which device nodes a container has, and which devices it may open."""

import os
import re
import stat
from collections.abc import Iterator

from wherry import errdefs
from wherry.engine.model import DeviceMapping, HostConfig
from wherry.engine.runtime_spec.paths import check_length
from wherry.spec import runtime as oci

_RULE = re.compile(r"([acb]) ([0-9]{1,10}|\*):([0-9]{1,10}|\*) ([rwm]{1,3})")
_MAX_NUMBER = 2**32 - 1  # what the kernel compares with

# The directories of the host's /dev that hold no devices for a container: it has its own.
_NOT_OURS = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})


def _allow(kind: str, major: int, minor: int, access: str = "rwm") -> oci.DeviceRule:
    """-1 is every number."""
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}


_NOTHING: oci.DeviceRule = {"allow": False, "access": "rwm"}
_EVERYTHING: oci.DeviceRule = {"allow": True, "access": "rwm"}

# What a container may open without asking: the OCI specification's default devices, terminals,
# and making (not opening) any node, which images' package managers do.
_DEFAULT_RULES: tuple[oci.DeviceRule, ...] = (
    _allow("c", -1, -1, "m"),
    _allow("b", -1, -1, "m"),
    _allow("c", 1, 3),  # null
    _allow("c", 1, 5),  # zero
    _allow("c", 1, 7),  # full
    _allow("c", 1, 8),  # random
    _allow("c", 1, 9),  # urandom
    _allow("c", 5, 0),  # tty
    _allow("c", 5, 1),  # console
    _allow("c", 5, 2),  # ptmx
    _allow("c", 136, -1),  # pts
)


def device_number(path: str) -> tuple[int, int]:
    """(major, minor) of a block device of the host. Raises InvalidArgument."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise errdefs.invalid(f"device {path}: {(error.strerror or '').lower()}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise errdefs.invalid(f"{path} is not a block device")
    return os.major(status.st_rdev), os.minor(status.st_rdev)


def devices(config: HostConfig) -> tuple[list[oci.Device], list[oci.DeviceRule]]:
    """The nodes to make beyond the default ones, and the rules for opening, in order.

    Raises InvalidArgument if a device is missing on the host or a rule is malformed.
    """
    if config.privileged:
        return list(_below("/dev", "/dev")), [_EVERYTHING]
    nodes: list[oci.Device] = []
    rules = [_NOTHING, *_DEFAULT_RULES]
    for mapping in config.devices or []:
        access = mapping.cgroup_permissions or "rwm"
        if not set(access) <= set("rwm"):
            raise errdefs.invalid(f"invalid device mode: {access}")
        for node in _mapped(mapping):
            nodes.append(node)
            rules.append(_allow(node["type"], node["major"], node["minor"], access))
    rules += [_parsed_rule(rule) for rule in config.device_cgroup_rules or []]
    return nodes, rules


def _mapped(mapping: DeviceMapping) -> Iterator[oci.Device]:
    source = mapping.path_on_host
    target = mapping.path_in_container or source
    if not target.startswith("/") or {"..", "."} & set(target.split("/")) or target.endswith("/"):
        raise errdefs.invalid(
            f"device {target!r}: the path in the container must be absolute and plain"
        )
    check_length("device", target)
    try:
        source = os.path.realpath(source, strict=True)
        if os.path.isdir(source):
            yield from _below(source, target)
            return
        node = _node(source, target)
    except OSError as error:
        said = (error.strerror or "").lower()
        raise errdefs.invalid(
            f"error gathering device information while adding custom device "
            f'"{mapping.path_on_host}": {said}'
        ) from error
    if node is None:
        raise errdefs.invalid(
            f"error gathering device information while adding custom device "
            f'"{mapping.path_on_host}": not a device node'
        )
    yield node


def _below(source: str, target: str) -> Iterator[oci.Device]:
    """All device nodes in a directory of the host. What disappears meanwhile is left out."""
    with os.scandir(source) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path, inside = f"{source}/{entry.name}", f"{target}/{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _NOT_OURS:
                        yield from _below(path, inside)
                elif entry.name != "console" and (node := _node(path, inside)):
                    yield node
            except FileNotFoundError:
                continue


def _node(path: str, inside: str) -> oci.Device | None:
    """None if `path` is no device."""
    status = os.lstat(path)
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        return None
    return {
        "type": "c" if stat.S_ISCHR(status.st_mode) else "b",
        "path": inside,
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def _parsed_rule(text: str) -> oci.DeviceRule:
    match = _RULE.fullmatch(text)
    if match is None:
        raise errdefs.invalid(f"invalid device cgroup rule format: '{text}'")
    kind, *numbers, access = match.groups()
    major, minor = (-1 if number == "*" else int(number) for number in numbers)
    if max(major, minor) > _MAX_NUMBER:
        raise errdefs.invalid(
            f"invalid device cgroup rule format: '{text}': a device's number is {_MAX_NUMBER} at "
            "most"
        )
    return _allow(kind, major, minor, access)
