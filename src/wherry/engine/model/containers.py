"""Containers as `inspect` and `list` show them, and the ends they come to."""

from msgspec import field

from wherry.engine.model.base import UNSET, Int64, Object, UnsetType, Zero
from wherry.engine.model.creation import ContainerConfig, HostConfig
from wherry.engine.model.images import Descriptor, GraphDriver
from wherry.engine.model.mounts import MountPoint
from wherry.engine.model.networks import NetworkSettings, Port, SummaryNetworkSettings


class HealthcheckResult(Object):
    start: str = Zero
    end: str = Zero
    exit_code: int = 0
    output: str = ""


class Health(Object):
    """`status` is none, starting, healthy or unhealthy."""

    status: str = "none"
    failing_streak: int = 0
    log: list[HealthcheckResult] | None = None


class State(Object):
    """`status` is created, running, paused, restarting, removing, exited or dead."""

    status: str = "created"
    running: bool = False
    paused: bool = False
    restarting: bool = False
    oom_killed: bool = field(default=False, name="OOMKilled")
    dead: bool = False
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: str = Zero
    finished_at: str = Zero
    health: Health | UnsetType = UNSET


class ContainerInspect(Object):
    """The answer of `GET /containers/{id}/json`. `name` begins with a slash, as Docker's does."""

    id: str
    created: str = Zero
    path: str = ""
    args: list[str] = field(default_factory=list)
    state: State = field(default_factory=State)
    image: str = ""
    resolv_conf_path: str = ""
    hostname_path: str = ""
    hosts_path: str = ""
    log_path: str = ""
    name: str = ""
    restart_count: int = 0
    driver: str = ""
    platform: str = "linux"
    image_manifest_descriptor: Descriptor | UnsetType = UNSET
    mount_label: str = ""
    process_label: str = ""
    app_armor_profile: str = ""
    exec_ids: list[str] | None = field(default=None, name="ExecIDs")
    host_config: HostConfig = field(default_factory=HostConfig)
    graph_driver: GraphDriver = field(default_factory=GraphDriver)
    size_rw: Int64 | UnsetType = UNSET
    size_root_fs: Int64 | UnsetType = UNSET
    mounts: list[MountPoint] = field(default_factory=list)
    config: ContainerConfig = field(default_factory=ContainerConfig)
    network_settings: NetworkSettings = field(default_factory=NetworkSettings)


class SummaryHostConfig(Object):
    network_mode: str | UnsetType = UNSET
    annotations: dict[str, str] | UnsetType = UNSET


class ContainerSummary(Object):
    """One of `GET /containers/json`. `created` is in seconds; `names` begin with a slash."""

    id: str
    names: list[str] = field(default_factory=list)
    image: str = ""
    image_id: str = field(default="", name="ImageID")
    image_manifest_descriptor: Descriptor | UnsetType = UNSET
    command: str = ""
    created: int = 0
    ports: list[Port] = field(default_factory=list)
    size_rw: Int64 | UnsetType = UNSET
    size_root_fs: Int64 | UnsetType = UNSET
    labels: dict[str, str] = field(default_factory=dict)
    state: str = "created"
    status: str = ""
    host_config: SummaryHostConfig = field(default_factory=SummaryHostConfig)
    network_settings: SummaryNetworkSettings = field(default_factory=SummaryNetworkSettings)
    mounts: list[MountPoint] = field(default_factory=list)


class WaitError(Object):
    message: str = ""


class WaitResult(Object):
    """The answer of `POST /containers/{id}/wait`."""

    status_code: int = 0
    error: WaitError | UnsetType = UNSET
