"""Bind mounts as clients write them: `source:destination[:options]`, or a `Mount` of type bind."""

import os
import re
from dataclasses import dataclass

from wherry import errdefs
from wherry.engine.model import Mount
from wherry.engine.runtime_spec.paths import check_length

SPREADING = frozenset({"shared", "rshared", "slave", "rslave"})
PROPAGATIONS = SPREADING | {"private", "rprivate"}
_CONSISTENCIES = frozenset({"consistent", "cached", "delegated", "default"})
_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


@dataclass(frozen=True)
class Bind:
    """One bind mount; `mode` is how it was written, which `inspect` shows."""

    source: str
    destination: str
    read_only: bool = False
    propagation: str = ""
    recursive: bool = True
    recursive_read_only: bool = True
    mode: str = ""


def parse(text: str) -> Bind:
    """Read one of `Binds`. Raises InvalidArgument; NotImplemented if it names a volume."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 3 or not all(parts):
        if len(parts) == 1 and text.startswith("/"):
            raise errdefs.not_implemented(
                f"volume at {text}: anonymous volumes are not supported yet; bind a directory of "
                "the host instead"
            )
        raise errdefs.invalid(f"invalid volume specification: '{text}'")
    source, target, mode = parts[0], parts[1], parts[2] if len(parts) == 3 else ""
    read_only, propagation = _mode(mode)
    inside = destination(
        target, f"invalid volume specification: '{text}': invalid mount config for type \"bind\": "
    )
    if not source.startswith("/"):
        if not _VOLUME_NAME.fullmatch(source):
            raise errdefs.invalid(
                f'"{source}" includes invalid characters for a local volume name, only '
                '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host '
                "directory, use absolute path"
            )
        raise errdefs.not_implemented(
            f'volume "{source}" at {target}: named volumes are not supported yet; bind a '
            "directory of the host by its absolute path instead"
        )
    check_length("bind source", source)
    return Bind(
        os.path.normpath(source), inside, read_only=read_only, propagation=propagation, mode=mode
    )


def _mode(mode: str) -> tuple[bool, str]:
    """(read-only, propagation) of a mode such as `ro,z,rshared`; each kind of option once."""
    found: dict[str, str] = {}
    for option in mode.split(",") if mode else []:
        if option in ("ro", "rw"):
            kind = "access"
        elif option in ("z", "Z"):
            kind = "label"  # without SELinux there is nothing to relabel
        elif option in PROPAGATIONS:
            kind = "propagation"
        elif option in _CONSISTENCIES:
            kind = "consistency"  # for hosts that share files with a virtual machine
        else:
            kind = ""
        if not kind or kind in found:
            raise errdefs.invalid(f"invalid mode: {mode}")
        found[kind] = option
    return found.get("access") == "ro", found.get("propagation", "")


def from_mount(mount: Mount) -> Bind:
    """Read a `Mount` of type bind. Raises InvalidArgument in Docker's words."""
    source = mount.source or ""
    options = mount.bind_options or None
    for name in ("volume_options", "tmpfs_options", "image_options", "cluster_options"):
        if getattr(mount, name):
            shown = "".join(part.capitalize() for part in name.split("_"))
            raise errdefs.invalid(
                f'invalid mount config for type "bind": field {shown} must not be specified'
            )
    if not source:
        raise errdefs.invalid(
            'invalid mount config for type "bind": field Source must not be empty'
        )
    if not source.startswith("/"):
        raise errdefs.invalid(
            f"invalid mount config for type \"bind\": invalid mount path: '{source}' mount path "
            "must be absolute"
        )
    check_length('invalid mount config for type "bind": source', source)
    inside = mount_destination("bind", mount.target or "")
    if mount.consistency and mount.consistency not in _CONSISTENCIES:
        raise errdefs.invalid(
            f'invalid mount config for type "bind": invalid consistency {mount.consistency}'
        )
    propagation = (options.propagation if options else "") or ""
    if propagation and propagation not in PROPAGATIONS:
        raise errdefs.invalid(
            f'invalid mount config for type "bind": invalid propagation mode: {propagation}'
        )
    only_top = bool(options and options.read_only_non_recursive)
    all_of_it = bool(options and options.read_only_force_recursive)
    if only_top and all_of_it:
        raise errdefs.invalid(
            'invalid mount config for type "bind": mount options conflict: '
            "!ReadOnlyNonRecursive && ReadOnlyForceRecursive"
        )
    return Bind(
        os.path.normpath(source),
        inside,
        read_only=bool(mount.read_only),
        propagation=propagation,
        recursive=not (options and options.non_recursive),
        recursive_read_only=not only_top,
    )


def destination(target: str, where: str = "") -> str:
    """The clean form of an absolute path in the container that isn't its root.

    `where` begins the message of an error about its form.
    """
    if not target.startswith("/"):
        raise errdefs.invalid(f"{where}invalid mount path: '{target}' mount path must be absolute")
    clean = "/" + os.path.normpath(target).lstrip("/")
    if clean == "/":
        raise errdefs.invalid(f"{where}invalid specification: destination can't be '/'")
    check_length("mount destination", clean)
    return clean


def mount_destination(kind: str, target: str) -> str:
    prefix = f'invalid mount config for type "{kind}"'
    if not target:
        raise errdefs.invalid(f"{prefix}: field Target must not be empty")
    if not target.startswith("/"):
        raise errdefs.invalid(
            f"{prefix}: invalid mount path: '{target}' mount path must be absolute"
        )
    clean = "/" + os.path.normpath(target).lstrip("/")
    if clean == "/":
        raise errdefs.invalid(f"{prefix}: invalid specification: destination can't be '/'")
    check_length(f"{prefix}: target", clean)
    return clean
