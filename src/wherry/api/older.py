"""What clients of older versions are answered, and what they can't have meant to ask: as dockerd
has it. Each rule stands beside the version that ended it."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from wherry import errdefs
from wherry.engine.model import (
    UNSET,
    BuildCache,
    ContainerSummary,
    CreateRequest,
    DiskUsage,
    ImageInspect,
    ImageSummary,
    Mount,
    SystemInfo,
    Zero,
)

Version: TypeAlias = tuple[int, int]
Plain: TypeAlias = dict[str, object]

# What an image's Config had beside its own fields: a container's, all empty.
_CONFIG_BEFORE_1_50: Final[Plain] = {
    "Hostname": "",
    "Domainname": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Image": "",
}
# Of the container that a build's last step ran in; there is none.
_CONTAINER_CONFIG_BEFORE_1_45: Final[Plain] = {
    **_CONFIG_BEFORE_1_50,
    **dict.fromkeys(("Env", "Cmd", "Volumes", "Entrypoint", "OnBuild", "Labels")),
    "User": "",
    "WorkingDir": "",
}


def containers(rows: Sequence[ContainerSummary], version: Version) -> Sequence[ContainerSummary]:
    if version < (1, 46):
        for row in rows:
            row.host_config.annotations = UNSET
    return rows


def images(rows: Sequence[ImageSummary], version: Version) -> Sequence[object]:
    for row in rows:
        if version < (1, 51):
            row.containers = -1
        _forget_descriptor(row, version)
    return [_image(row, version) for row in rows]


def _image(row: ImageSummary, version: Version) -> object:
    if version < (1, 43) and not row.repo_tags and not row.repo_digests:
        row.repo_tags, row.repo_digests = ["<none>:<none>"], ["<none>@<none>"]
    return _with_virtual_size(row) if version < (1, 44) else row


def _with_virtual_size(row: ImageSummary) -> Plain:
    return {**msgspec.to_builtins(row), "VirtualSize": row.size}


def image(found: ImageInspect, version: Version) -> object:
    _forget_descriptor(found, version)
    if version >= (1, 50):
        return found
    plain: Plain = msgspec.to_builtins(found)
    plain["Config"] = {**_CONFIG_BEFORE_1_50, **msgspec.to_builtins(found.config)}
    if version < (1, 45):
        plain |= {"Container": "", "ContainerConfig": _CONTAINER_CONFIG_BEFORE_1_45}
    if version < (1, 44):
        plain["VirtualSize"] = found.size
        plain.setdefault("Created", Zero)
    return plain


def _forget_descriptor(found: ImageSummary | ImageInspect, version: Version) -> None:
    if version < (1, 48):
        found.descriptor = UNSET


def disk_usage(usage: DiskUsage, version: Version) -> object:
    for row in usage.images or ():
        _forget_descriptor(row, version)
    containers(usage.containers or (), version)
    plain: Plain = msgspec.to_builtins(usage)
    if version < (1, 44):
        plain["Images"] = [_with_virtual_size(row) for row in usage.images or ()]
    if version < (1, 42):
        records = usage.build_cache or ()
        plain["BuildCache"] = [_cache_record(record) for record in records]
        plain["BuilderSize"] = sum(record.size for record in records)
    return plain


def _cache_record(record: BuildCache) -> Plain:
    plain: Plain = msgspec.to_builtins(record)
    del plain["Parents"]
    return plain


def info(found: SystemInfo, version: Version) -> object:
    if version < (1, 44):
        for runtime in found.runtimes.values():
            runtime.status = UNSET
    if version < (1, 46):
        found.containerd = UNSET
    if version < (1, 49):
        found.firewall_backend = UNSET
    if version < (1, 50):
        found.discovered_devices = UNSET
    plain: Plain = msgspec.to_builtins(found)
    if version < (1, 50):
        bridged = {"BridgeNfIptables": False, "BridgeNfIp6tables": False}
        plain |= bridged
    return plain


# --- requests -------------------------------------------------------------------------------------


def create_request(asked: CreateRequest, version: Version) -> None:
    """Forget fields that the client's version does not have: what is there is no wish of it.

    Raises InvalidArgument where silence would give less protection than is asked for.
    """
    host = asked.host_config
    if version < (1, 42):
        host.console_size = (0, 0)
    if version < (1, 43):
        host.annotations = UNSET
    for mount in host.mounts or ():
        _mount(mount, version)


def _mount(mount: Mount, version: Version) -> None:
    if bind := mount.bind_options:
        if version < (1, 42):
            bind.create_mountpoint = UNSET
        if version < (1, 44):
            # Before that, what is mounted below a read-only bind could be written to.
            bind.read_only_non_recursive = UNSET
            if bind.read_only_force_recursive:
                raise errdefs.invalid("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer")
    if version < (1, 45) and mount.volume_options and mount.volume_options.subpath:
        raise errdefs.invalid("VolumeOptions.Subpath needs API v1.45 or newer")
    if version < (1, 48) and mount.type == "image":
        raise errdefs.invalid('Mount type "Image" needs API v1.48 or newer')
