"""Mounts as asked for (`Mount`) and as they are (`MountPoint`)."""

from msgspec import field

from wherry.engine.model.base import UNSET, Int64, Object, UnsetType


class BindOptions(Object):
    propagation: str | UnsetType = UNSET
    non_recursive: bool | UnsetType = UNSET
    create_mountpoint: bool | UnsetType = UNSET
    read_only_non_recursive: bool | UnsetType = UNSET
    read_only_force_recursive: bool | UnsetType = UNSET


class VolumeDriverConfig(Object):
    name: str | UnsetType = UNSET
    options: dict[str, str] | UnsetType = UNSET


class VolumeOptions(Object):
    no_copy: bool | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    subpath: str | UnsetType = UNSET
    driver_config: VolumeDriverConfig | UnsetType = UNSET


class ImageOptions(Object):
    subpath: str | UnsetType = UNSET


class TmpfsOptions(Object):
    """`size_bytes` 0 is no limit; `mode` is the number, not its octal digits."""

    size_bytes: Int64 | UnsetType = UNSET
    mode: Int64 | UnsetType = UNSET
    options: list[list[str]] | UnsetType = UNSET


class Mount(Object):
    """One mount of `HostConfig.Mounts`. `type` is bind, volume, tmpfs, image, npipe or cluster."""

    type: str | UnsetType = UNSET
    source: str | UnsetType = UNSET
    target: str | UnsetType = UNSET
    read_only: bool | UnsetType = UNSET
    consistency: str | UnsetType = UNSET
    bind_options: BindOptions | UnsetType = UNSET
    volume_options: VolumeOptions | UnsetType = UNSET
    image_options: ImageOptions | UnsetType = UNSET
    tmpfs_options: TmpfsOptions | UnsetType = UNSET
    # Of swarm's cluster volumes; known, so that it can be refused by name.
    cluster_options: dict[str, object] | UnsetType = UNSET


class MountPoint(Object):
    """A mount of a container as `inspect` and `list` show it."""

    type: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    source: str = ""
    destination: str = ""
    driver: str | UnsetType = UNSET
    mode: str = ""
    rw: bool = field(default=True, name="RW")
    propagation: str = ""
