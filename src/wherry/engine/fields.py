"""Every field of a create request: honoured, or refused by its name. None is passed over.

A field that stands in neither table is a bug, which a test finds by the model's own list.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import fields

from wherry import errdefs
from wherry.engine.model import (
    ContainerConfig,
    CreateRequest,
    EndpointSettings,
    HealthConfig,
    HostConfig,
)

Accepts = Callable[[object], bool]


def _no_healthcheck(value: object) -> bool:
    """Absent, inherited, or explicitly none (`--no-healthcheck`)."""
    return isinstance(value, HealthConfig) and value.test in (UNSET, [], ["NONE"])


def _one_of(*values: object) -> Accepts:
    return lambda value: value in values


def _nothing(value: object) -> bool:
    return False


_BRIDGE = "it needs a bridge network, which is not supported yet"
_WINDOWS = "it is for Windows only"
_REALTIME = "realtime scheduling is not supported"

# Fields with a meaning that Wherry has not got yet: what else than an empty value is taken, and
# the reason why the rest is not.
REFUSED: dict[type[Struct], dict[str, tuple[Accepts, str]]] = {
    ContainerConfig: {
        "healthcheck": (_no_healthcheck, "health checks are not supported yet"),
        "args_escaped": (_nothing, _WINDOWS),
        "mac_address": (_nothing, _BRIDGE),
        "on_build": (_nothing, "it belongs to an image, not to a container"),
    },
    HostConfig: {
        "port_bindings": (_nothing, _BRIDGE),
        "publish_all_ports": (_nothing, _BRIDGE),
        "links": (_nothing, _BRIDGE),
        "restart_policy": (_nothing, "restarting is not supported yet"),
        "volume_driver": (_one_of("local"), "volumes are not supported yet"),
        "volumes_from": (_nothing, "volumes are not supported yet"),
        "cgroup": (_nothing, "joining another container's cgroup is not supported"),
        "storage_opt": (_nothing, "quotas of the root file system are not supported yet"),
        "isolation": (_one_of("default"), _WINDOWS),
        "init": (_nothing, "an init process in front of the program is not supported yet"),
        "device_requests": (_nothing, "devices by driver or CDI are not supported yet"),
        "cpu_realtime_period": (_nothing, _REALTIME),
        "cpu_realtime_runtime": (_nothing, _REALTIME),
        "kernel_memory": (_one_of(-1), "the kernel has no separate limit for it any more"),
        "kernel_memory_tcp": (_one_of(-1), "the kernel has no separate limit for it any more"),
        "cpu_count": (_nothing, _WINDOWS),
        "cpu_percent": (_nothing, _WINDOWS),
        "io_maximum_iops": (_nothing, _WINDOWS),
        "io_maximum_bandwidth": (_nothing, _WINDOWS),
    },
    EndpointSettings: dict.fromkeys(EndpointSettings.__struct_fields__, (_nothing, _BRIDGE)),
}

# Wherry's own runtime, by its name and those that clients know runc by.
RUNTIMES = ("wherry", "runc", "io.containerd.runc.v2")

HONOURED: dict[type[Struct], frozenset[str]] = {
    ContainerConfig: frozenset(
        {
            *("hostname", "domainname", "user", "attach_stdin", "attach_stdout", "attach_stderr"),
            *("exposed_ports", "tty", "open_stdin", "stdin_once", "env", "cmd", "image"),
            *("working_dir", "entrypoint", "network_disabled", "labels", "stop_signal"),
            *("stop_timeout", "shell", "volumes"),
        }
    ),
    HostConfig: frozenset(
        {
            *("cpu_shares", "memory", "nano_cpus", "cgroup_parent", "blkio_weight"),
            *("blkio_weight_device", "blkio_device_read_bps", "blkio_device_write_bps"),
            *("blkio_device_read_iops", "blkio_device_write_iops", "cpu_period", "cpu_quota"),
            *("cpuset_cpus", "cpuset_mems", "devices", "device_cgroup_rules"),
            *("memory_reservation", "memory_swap", "memory_swappiness", "oom_kill_disable"),
            *("pids_limit", "ulimits", "binds", "container_id_file", "log_config"),
            *("network_mode", "auto_remove", "console_size", "annotations", "cap_add"),
            *("cap_drop", "cgroupns_mode", "dns", "dns_options", "dns_search", "extra_hosts"),
            *("group_add", "ipc_mode", "oom_score_adj", "pid_mode", "privileged"),
            *("readonly_rootfs", "security_opt", "tmpfs", "uts_mode", "userns_mode"),
            *("shm_size", "sysctls", "mounts", "masked_paths", "readonly_paths", "runtime"),
        }
    ),
    EndpointSettings: frozenset(),
}


def refuse_unsupported(request: CreateRequest) -> None:
    """Raises NotImplemented, naming the first field whose value can't be honoured.

    Values that mean "nothing asked" pass everywhere: null, zero, false, empty. Words that mean
    nothing to Docker either are InvalidArgument.
    """
    runtime = request.host_config.runtime
    if runtime and runtime not in RUNTIMES:
        raise errdefs.invalid(
            f"unknown or invalid runtime name: {runtime} (HostConfig.Runtime; the only one is"
            f" Wherry's own: {', '.join(RUNTIMES)})"
        )
    policy = request.host_config.restart_policy
    if policy.name == "no":
        if policy.maximum_retry_count:
            raise errdefs.invalid(
                "invalid restart policy: maximum retry count can only be used with 'on-failure'"
            )
    elif policy.name not in ("", "always", "unless-stopped", "on-failure"):
        raise errdefs.invalid(f"invalid restart policy: unknown policy '{policy.name}'")
    else:
        _refuse(request.host_config, HostConfig, "HostConfig", ["restart_policy"])
    names = REFUSED[HostConfig].keys() - {"restart_policy"}
    _refuse(request, ContainerConfig, "", REFUSED[ContainerConfig])
    _refuse(request.host_config, HostConfig, "HostConfig", names)
    endpoints = request.networking_config.endpoints_config or {}
    for network, settings in endpoints.items():
        if settings is not None:
            where = f"NetworkingConfig.EndpointsConfig[{network}]"
            _refuse(settings, EndpointSettings, where, REFUSED[EndpointSettings])


def _refuse(value: Struct, kind: type[Struct], where: str, names: Iterable[str]) -> None:
    shown = _names_shown(kind)
    for name in sorted(names):
        found = getattr(value, name)
        accepts, reason = REFUSED[kind][name]
        if not is_empty(found) and not accepts(found):
            path = f"{where}.{shown[name]}" if where else shown[name]
            raise errdefs.not_implemented(f"{path}: {reason}")


def refuse_zero_bytes(value: Struct, where: str = "") -> None:
    """Raises InvalidArgument, naming the first text with a zero byte in it.

    The kernel's names, paths and arguments end at one: what was checked and what is done would
    be two things.
    """
    if b"\\u0000" not in msgspec.json.encode(value):
        return
    for path, text in _texts(msgspec.to_builtins(value), where):
        if "\0" in text:
            raise errdefs.invalid(f"{path} has a zero byte in it: {text!r}")


def _texts(value: object, where: str) -> Iterator[tuple[str, str]]:
    """(path, text) of every string in a plain value."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, item in value.items():
            path = f"{where}.{key}" if where else str(key)
            yield path, str(key)
            yield from _texts(item, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{where}[{index}]")


@cache
def _names_shown(kind: type[Struct]) -> dict[str, str]:
    return {field.name: field.encode_name for field in fields(kind)}


def is_empty(value: object) -> bool:
    """Does this value, in JSON, ask for nothing?"""
    if isinstance(value, Struct):
        return all(is_empty(getattr(value, name)) for name in value.__struct_fields__)
    return value is UNSET or not value
