"""What `POST /containers/create` may ask for: every field of the API's specification, v1.51."""

from typing import Annotated

from msgspec import Meta, field

from wherry.engine.model.base import (
    UNSET,
    EmptyObject,
    Int64,
    Object,
    UInt16,
    UInt64,
    UnsetType,
)
from wherry.engine.model.mounts import Mount
from wherry.engine.model.networks import NetworkingConfig, PortMap

# A list of words for which a plain string is accepted too, meaning a list of that one word.
Words = Annotated[list[str], Meta(extra={"words": True})]


class HealthConfig(Object):
    """Durations are in nanoseconds; 0 inherits."""

    test: Words | UnsetType = UNSET
    interval: Int64 | UnsetType = UNSET
    timeout: Int64 | UnsetType = UNSET
    start_period: Int64 | UnsetType = UNSET
    start_interval: Int64 | UnsetType = UNSET
    retries: Int64 | UnsetType = UNSET


class ContainerConfig(Object):
    """What a container runs, wherever it runs."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, EmptyObject] | UnsetType = UNSET
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: Words | None = None
    healthcheck: HealthConfig | UnsetType = UNSET
    args_escaped: bool | UnsetType = UNSET
    image: str = ""
    volumes: dict[str, EmptyObject] | None = None
    working_dir: str = ""
    entrypoint: Words | None = None
    network_disabled: bool | UnsetType = UNSET
    mac_address: str | UnsetType = UNSET
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | UnsetType = UNSET
    stop_timeout: Int64 | UnsetType = UNSET
    shell: Words | UnsetType = UNSET


class LogConfig(Object):
    type: str = ""
    config: dict[str, str] | None = None


class RestartPolicy(Object):
    name: str = ""
    maximum_retry_count: Int64 = 0


class WeightDevice(Object):
    path: str = ""
    weight: UInt16 = 0


class ThrottleDevice(Object):
    path: str = ""
    rate: UInt64 = 0


class DeviceMapping(Object):
    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = ""


class DeviceRequest(Object):
    driver: str = ""
    count: Int64 = 0
    device_ids: list[str] | None = field(default=None, name="DeviceIDs")
    capabilities: list[list[str]] | None = None
    options: dict[str, str] | None = None


class Ulimit(Object):
    name: str = ""
    hard: Int64 = 0
    soft: Int64 = 0


class Resources(Object):
    """Limits. Memory is in bytes, cpu times in microseconds; 0 or null is no limit."""

    cpu_shares: Int64 = 0
    memory: Int64 = 0
    nano_cpus: Int64 = 0
    cgroup_parent: str = ""
    blkio_weight: UInt16 = 0
    blkio_weight_device: list[WeightDevice] | None = None
    blkio_device_read_bps: list[ThrottleDevice] | None = None
    blkio_device_write_bps: list[ThrottleDevice] | None = None
    blkio_device_read_iops: list[ThrottleDevice] | None = field(
        default=None, name="BlkioDeviceReadIOps"
    )
    blkio_device_write_iops: list[ThrottleDevice] | None = field(
        default=None, name="BlkioDeviceWriteIOps"
    )
    cpu_period: Int64 = 0
    cpu_quota: Int64 = 0
    cpu_realtime_period: Int64 = 0
    cpu_realtime_runtime: Int64 = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: list[str] | None = None
    device_requests: list[DeviceRequest] | None = None
    # Gone from the specification with v1.42, still sent by older clients.
    kernel_memory: Int64 | UnsetType = UNSET
    kernel_memory_tcp: Int64 | UnsetType = field(default=UNSET, name="KernelMemoryTCP")
    memory_reservation: Int64 = 0
    memory_swap: Int64 = 0
    memory_swappiness: Int64 | None = None
    oom_kill_disable: bool | None = None
    pids_limit: Int64 | None = None
    ulimits: list[Ulimit] | None = None
    # Windows' own.
    cpu_count: Int64 = 0
    cpu_percent: Int64 = 0
    io_maximum_iops: UInt64 = field(default=0, name="IOMaximumIOps")
    io_maximum_bandwidth: UInt64 = field(default=0, name="IOMaximumBandwidth")


class HostConfig(Resources):
    """How a container runs on this host."""

    binds: list[str] | None = None
    container_id_file: str = field(default="", name="ContainerIDFile")
    log_config: LogConfig = field(default_factory=LogConfig)
    network_mode: str = ""
    port_bindings: PortMap | None = None
    restart_policy: RestartPolicy = field(default_factory=RestartPolicy)
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] | None = None
    console_size: tuple[UInt64, UInt64] = (0, 0)  # height, width
    annotations: dict[str, str] | UnsetType = UNSET
    cap_add: Words | None = None
    cap_drop: Words | None = None
    cgroupns_mode: str = ""
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str = ""
    cgroup: str = ""
    links: list[str] | None = None
    oom_score_adj: Int64 = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | UnsetType = UNSET
    tmpfs: dict[str, str] | UnsetType = UNSET
    uts_mode: str = field(default="", name="UTSMode")
    userns_mode: str = ""
    shm_size: Int64 = 0
    sysctls: dict[str, str] | UnsetType = UNSET
    runtime: str | UnsetType = UNSET
    isolation: str = ""
    mounts: list[Mount] | UnsetType = UNSET
    # None means the default paths; an empty list means none.
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    init: bool | UnsetType = UNSET


class CreateRequest(ContainerConfig):
    """The body of `POST /containers/create`."""

    host_config: HostConfig = field(default_factory=HostConfig)
    networking_config: NetworkingConfig = field(default_factory=NetworkingConfig)

    def config(self) -> ContainerConfig:
        """The part that `inspect` shows as `Config`; shallow, its lists are shared."""
        values = {name: getattr(self, name) for name in ContainerConfig.__struct_fields__}
        return ContainerConfig(**values)


class CreateResponse(Object):
    id: str = ""
    warnings: list[str] = field(default_factory=list)
