"""What is mounted in a container: the system's own, and what was asked for, as OCI mounts."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wherry import errdefs
from wherry.engine.model import UNSET, HostConfig, MountPoint
from wherry.engine.model import Mount as Asked
from wherry.engine.runtime_spec import binds, namespaces
from wherry.linux.mounts import unescaped
from wherry.spec import runtime as oci

# What a tmpfs may be asked for beyond mount(8)'s flags (tmpfs(5)).
_TMPFS_VALUES = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"})
_TMPFS_FLAGS = frozenset(
    {
        *("ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "atime", "noatime"),
        *("diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime"),
        *("sync", "async", "dirsync", "mand", "nomand", "defaults"),
        *binds.PROPAGATIONS,
    }
)
_TMPFS_DEFAULTS = ["noexec", "nosuid", "nodev", "rprivate"]


@dataclass(frozen=True)
class Planned:
    """The mounts that a client asked for: for the runtime, for `inspect`, and what to do first.

    `made` are sources of binds that are made where they are missing, `needed` those that have to
    be there. `propagation` is what the root needs to have so that shared and slave binds work (""
    if nothing special).
    """

    mounts: list[oci.Mount] = field(default_factory=list)
    points: list[MountPoint] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)
    propagation: str = ""


def plan(config: HostConfig) -> Planned:
    """Read `Binds`, `Mounts` and `Tmpfs`. Raises InvalidArgument in Docker's words.

    Depends on the config alone: whether the sources are there, `sources` looks.
    """
    planned: list[tuple[oci.Mount, MountPoint]] = []
    made: list[str] = []
    needed: list[str] = []
    for text in config.binds or []:
        bind = binds.parse(text)
        made.append(bind.source)  # Docker makes the directory for -v, not for --mount
        planned.append(_bind(bind))
    for asked in config.mounts or []:
        if asked.type == "bind":
            bind = binds.from_mount(asked)
            makes = asked.bind_options and asked.bind_options.create_mountpoint
            (made if makes else needed).append(bind.source)
            planned.append(_bind(bind))
        else:
            planned.append(_asked(asked))
    for target, options in (config.tmpfs or {}).items():
        mount = _tmpfs(binds.destination(target), [o for o in options.split(",") if o])
        planned.append((mount, MountPoint(type="tmpfs", destination=mount["destination"])))
    seen: set[str] = set()
    for mount, _ in planned:
        if mount["destination"] in seen:
            raise errdefs.invalid(f"Duplicate mount point: {mount['destination']}")
        seen.add(mount["destination"])
    return Planned(
        [mount for mount, _ in planned],
        [point for _, point in planned if point.type != "tmpfs" or _is_listed(config, point)],
        made,
        needed,
        _root_propagation([mount for mount, _ in planned]),
    )


def _is_listed(config: HostConfig, point: MountPoint) -> bool:
    """`inspect` lists the tmpfs of `Mounts`; those of `Tmpfs` are in `HostConfig` only."""
    return point.destination not in {binds.destination(target) for target in config.tmpfs or {}}


def _bind(bind: binds.Bind) -> tuple[oci.Mount, MountPoint]:
    options = ["rbind" if bind.recursive else "bind"]
    if bind.read_only:
        options += ["ro", "rro"] if bind.recursive_read_only else ["ro"]
    options.append(bind.propagation or "rprivate")
    mount: oci.Mount = {
        "destination": bind.destination,
        "type": "bind",
        "source": bind.source,
        "options": options,
    }
    point = MountPoint(
        type="bind",
        source=bind.source,
        destination=bind.destination,
        mode=bind.mode,
        rw=not bind.read_only,
        propagation=bind.propagation or "rprivate",
    )
    return mount, point


def _asked(asked: Asked) -> tuple[oci.Mount, MountPoint]:
    """One of `Mounts` that is no bind."""
    kind = asked.type or ""
    target = asked.target or ""
    if kind == "tmpfs":
        return _asked_tmpfs(asked, binds.mount_destination(kind, target))
    if kind == "volume":
        named = f'"{asked.source}"' if asked.source else "an anonymous volume"
        raise errdefs.not_implemented(
            f"mount of {named} at {target}: volumes are not supported yet; bind a directory of "
            "the host instead"
        )
    if kind in ("image", "npipe", "cluster"):
        raise errdefs.not_implemented(f"mount at {target}: type {kind} is not supported")
    raise errdefs.invalid(f'invalid mount config for type "{kind}": mount type unknown')


def _asked_tmpfs(asked: Asked, target: str) -> tuple[oci.Mount, MountPoint]:
    for name in ("source", "bind_options", "volume_options", "image_options", "cluster_options"):
        if getattr(asked, name):
            shown = "".join(part.capitalize() for part in name.split("_"))
            raise errdefs.invalid(
                f'invalid mount config for type "tmpfs": field {shown} must not be specified'
            )
    options: list[str] = []
    if asked.tmpfs_options is not UNSET:
        wanted = asked.tmpfs_options
        if wanted.size_bytes:
            if wanted.size_bytes < 0:
                raise errdefs.invalid(
                    f'invalid mount config for type "tmpfs": negative size {wanted.size_bytes}'
                )
            options.append(f"size={wanted.size_bytes}")
        if wanted.mode:
            options.append(f"mode={wanted.mode:o}")
        options += ["=".join(option) for option in wanted.options or []]
    if asked.read_only:
        options.append("ro")
    mount = _tmpfs(target, options)
    return mount, MountPoint(type="tmpfs", destination=target, rw=not asked.read_only)


def _tmpfs(target: str, options: Sequence[str]) -> oci.Mount:
    for option in options:
        name, equals, _ = option.partition("=")
        if name not in (_TMPFS_VALUES if equals else _TMPFS_FLAGS):
            raise errdefs.invalid(f'invalid tmpfs option "{option}"')
    return {
        "destination": target,
        "type": "tmpfs",
        "source": "tmpfs",
        "options": [*_TMPFS_DEFAULTS, *options],
    }


def _root_propagation(mounts: list[oci.Mount]) -> str:
    """The widest that any bind needs."""
    wanted = {option for mount in mounts for option in mount["options"]}
    if wanted & {"shared", "rshared"}:
        return "shared"
    return "rslave" if wanted & {"slave", "rslave"} else ""


def system_mounts(config: HostConfig) -> list[oci.Mount]:
    """What every container has, as dockerd gives it: /proc, /dev, /sys and what lies in them."""
    read_only = [] if config.privileged else ["ro"]
    own = ["nosuid", "noexec", "nodev"]
    mounts: list[oci.Mount] = [
        _mount("/proc", "proc", own),
        _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        _mount("/sys", "sysfs", [*own, *read_only]),
        _mount("/sys/fs/cgroup", "cgroup", [*read_only, *own]),
        _mount("/dev/mqueue", "mqueue", own),
    ]
    ipc = namespaces.parse(config.ipc_mode).kind
    if ipc == "host":
        mounts.append(_host_bind("/dev/shm"))  # the queues are the IPC namespace's, and so shared
    elif ipc != "none":
        size = [*own, "mode=1777", f"size={config.shm_size}"]
        mounts.append({**_mount("/dev/shm", "tmpfs", size), "source": "shm"})
    return mounts


def _mount(destination: str, fstype: str, options: list[str]) -> oci.Mount:
    return {"destination": destination, "type": fstype, "source": fstype, "options": options}


def _host_bind(path: str) -> oci.Mount:
    return {"destination": path, "type": "bind", "source": path, "options": ["rbind", "rprivate"]}


def all_mounts(
    config: HostConfig, planned: Planned, files: Sequence[tuple[str, str]]
) -> list[oci.Mount]:
    """Every mount in the order to make them: what lies deeper comes later.

    `files` are (path in the container, path on the host) of the container's own /etc/hosts and so
    on. A client's mount takes the place of a system one, and one at /dev that of all below it.
    """
    asked = {mount["destination"] for mount in planned.mounts}
    system = {
        mount["destination"]: mount
        for mount in system_mounts(config)
        if not ("/dev" in asked and mount["destination"].startswith("/dev/"))
    }
    for inside, source in files:
        system[inside] = {
            "destination": inside,
            "type": "bind",
            "source": source,
            "options": ["rbind", "rprivate"],
        }
    kept = [mount for destination, mount in system.items() if destination not in asked]
    return sorted([*kept, *planned.mounts], key=_depth)


def _depth(mount: oci.Mount) -> int:
    return mount["destination"].rstrip("/").count("/")


def check_propagation(planned: Planned, mountinfo: Callable[[], str]) -> None:
    """A shared or slave bind needs a source that lies on such a mount of the host."""
    for mount in planned.mounts:
        wanted = next((o for o in mount["options"] if o in binds.SPREADING), None)
        if wanted is None:
            continue
        point, tags = _mount_of(os.path.realpath(mount["source"]), mountinfo())
        kinds = ("shared:",) if "shared" in wanted else ("shared:", "master:")
        if not any(tag.startswith(kinds) for tag in tags):
            needed = "a shared mount" if "shared" in wanted else "a shared or slave mount"
            raise errdefs.invalid(
                f"path {mount['source']} is mounted on {point} but it is not {needed}"
            )


def _mount_of(path: str, mountinfo: str) -> tuple[str, list[str]]:
    """(mount point, optional fields) of the mount that `path` lies on (mountinfo(5))."""
    best, tags = "/", list[str]()
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        point = unescaped(fields[4])
        if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, tags = point, fields[6 : fields.index("-")]
    return best, tags
