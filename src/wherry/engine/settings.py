"""What an engine is told when it is opened."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where an engine keeps things, and what holds where a request says nothing.

    `data_root` outlasts a reboot, `exec_root` needn't. `storage_driver` None chooses the best that
    works here. `log_opts` are those of `log_driver`, in Docker's words. `shm_size` is in bytes,
    `shutdown_timeout` in seconds. Below the cgroup `cgroup_parent` are containers and shims.
    `live_restore` is only reported: whether the owner leaves containers running when it ends.
    `build_entitlements` are what a build may ask for beyond a container's rights, by BuildKit's
    names: `security.insecure`.
    """

    data_root: Path
    exec_root: Path
    storage_driver: str | None = None
    log_driver: str = "json-file"
    log_opts: dict[str, str] = field(default_factory=dict)
    shm_size: int = 64 * 1024 * 1024
    cgroup_parent: str = "/wherry"
    labels: Sequence[str] = ()
    shutdown_timeout: int = 15
    live_restore: bool = True
    debug: bool = False
    build_entitlements: Sequence[str] = ()
