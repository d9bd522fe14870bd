"""A create request, judged and completed: what `inspect` shows later, and all warnings."""

import os
from dataclasses import dataclass

import msgspec

from wherry import errdefs
from wherry.engine import merge, networking
from wherry.engine.fields import refuse_zero_bytes
from wherry.engine.host import Host
from wherry.engine.logging_options import read_log_config
from wherry.engine.model import (
    ContainerConfig,
    CreateRequest,
    HostConfig,
    LogConfig,
    RestartPolicy,
)
from wherry.engine.runtime_spec import limits, mounts, namespaces, security, sources
from wherry.engine.runtime_spec.mounts import Planned
from wherry.engine.settings import Settings
from wherry.spec.image import RunConfig


@dataclass(frozen=True)
class Settled:
    """A request without open questions."""

    config: ContainerConfig
    host_config: HostConfig
    hostname: str
    planned: Planned
    warnings: list[str]


def settle(
    request: CreateRequest, image: RunConfig, short_id: str, host: Host, settings: Settings
) -> Settled:
    """Merge with the image, fill in the defaults, and check all that can be checked by now.

    Modes of the form `container:` already name a whole ID. Raises EngineError, mostly
    InvalidArgument, in Docker's words where Docker has any.
    """
    refuse_zero_bytes(request)
    config = merge.merge(request.config(), image)
    refuse_zero_bytes(config, "the image's config")
    limited = limits.settle(request.host_config, host)
    host_config, warnings = limited.host, limited.warnings
    _fill_in(host_config, host, settings)
    endpoints = request.networking_config.endpoints_config or {}
    host_config.network_mode, more = networking.settle_mode(config, host_config, endpoints)
    warnings += more
    namespaces.check(host_config)
    namespaces.check_sysctls(host_config)
    read_log_config(host_config.log_config)
    planned = mounts.plan(host_config)
    _refuse_volumes(config, planned)
    sources.check(planned)
    mounts.check_propagation(planned, _mountinfo)
    config.hostname = networking.hostname(config, host_config, host.hostname, short_id)
    security.refuse_missing_capabilities(host_config, host)
    if missing := security.missing_capabilities(host_config, host):
        warnings.append(
            f"This daemon does not have {', '.join(missing)}, so the container does not either."
        )
    warnings += merge.left_out(image)
    return Settled(config, host_config, config.hostname, planned, warnings)


def _fill_in(config: HostConfig, host: Host, settings: Settings) -> None:
    """Docker's defaults, so that `inspect` tells what is, not what was left out."""
    if config.shm_size < 0:
        raise errdefs.invalid("SHM size can not be less than 0")
    config.shm_size = config.shm_size or settings.shm_size
    config.ipc_mode = config.ipc_mode or "private"
    if not config.cgroupns_mode:
        own = host.cgroup_version == 2 and not config.privileged
        config.cgroupns_mode = "private" if own else "host"
    config.log_config = _log_config(config.log_config, settings)
    config.restart_policy = RestartPolicy(name="no")
    config.runtime = config.runtime or "wherry"
    config.oom_kill_disable = config.oom_kill_disable or False
    if config.privileged:
        config.masked_paths, config.readonly_paths = [], []
        return
    if config.masked_paths is None:
        config.masked_paths = list(security.MASKED_PATHS)
    if config.readonly_paths is None:
        config.readonly_paths = list(security.READONLY_PATHS)


def _refuse_volumes(config: ContainerConfig, planned: Planned) -> None:
    """A path among `Volumes` becomes a volume only where nothing else is mounted on it, and many
    clients name there all that they mount."""
    mounted = {mount["destination"] for mount in planned.mounts}
    for path in sorted(config.volumes or ()):
        if os.path.normpath(path) not in mounted:
            raise errdefs.not_implemented(
                f"Volumes: anonymous volumes are not supported yet ({path}); bind a directory of "
                "the host, or use a tmpfs"
            )


def _log_config(asked: LogConfig, settings: Settings) -> LogConfig:
    """The daemon's options count where the request names no driver, or the same one."""
    driver = asked.type or settings.log_driver
    defaults = settings.log_opts if driver == settings.log_driver else {}
    return LogConfig(type=driver, config={**defaults, **(asked.config or {})})


def _mountinfo() -> str:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        return file.read()


def with_donors(request: CreateRequest, donors: dict[str, str]) -> CreateRequest:
    """The request with modes that name a container's whole ID; `donors` maps field to mode."""
    if not donors:
        return request
    host_config = msgspec.structs.replace(request.host_config, **donors)
    return msgspec.structs.replace(request, host_config=host_config)
