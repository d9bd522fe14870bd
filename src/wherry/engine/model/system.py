"""What the daemon says of itself: `GET /version` and `GET /info`."""

from msgspec import Struct, field

from wherry.engine.model.base import UNSET, Int64, Object, UnsetType


class VersionPlatform(Object):
    name: str = ""


class VersionComponent(Object):
    name: str
    version: str
    details: dict[str, str] | UnsetType = UNSET


class SystemVersion(Object):
    platform: VersionPlatform = field(default_factory=VersionPlatform)
    components: list[VersionComponent] = field(default_factory=list)
    version: str = ""
    api_version: str = ""
    min_api_version: str = field(default="", name="MinAPIVersion")
    git_commit: str = ""
    go_version: str = ""
    os: str = "linux"
    arch: str = ""
    kernel_version: str = ""
    experimental: bool | UnsetType = UNSET
    build_time: str | UnsetType = UNSET


class PluginsInfo(Object):
    volume: list[str] | None = None
    network: list[str] | None = None
    authorization: list[str] | None = None
    log: list[str] | None = None


class IndexInfo(Object):
    name: str = ""
    mirrors: list[str] = field(default_factory=list)
    secure: bool = True
    official: bool = False


class RegistryConfig(Object):
    insecure_registry_cidrs: list[str] = field(default_factory=list, name="InsecureRegistryCIDRs")
    index_configs: dict[str, IndexInfo] = field(default_factory=dict)
    mirrors: list[str] = field(default_factory=list)


class RuntimeInfo(Struct, rename="camel", kw_only=True):
    path: str | UnsetType = UNSET
    runtime_args: list[str] | UnsetType = UNSET
    status: dict[str, str] | UnsetType = UNSET


class Commit(Object):
    id: str = field(default="", name="ID")


class SwarmInfo(Object):
    node_id: str = field(default="", name="NodeID")
    node_addr: str = ""
    local_node_state: str = "inactive"
    control_available: bool = False
    error: str = ""
    remote_managers: list[dict[str, str]] | None = None


class AddressPool(Object):
    base: str
    size: int


class FirewallInfo(Object):
    driver: str
    info: list[tuple[str, str]] | UnsetType = UNSET


class ContainerdNamespaces(Object):
    containers: str = ""
    plugins: str = ""


class ContainerdInfo(Object):
    address: str | UnsetType = UNSET
    namespaces: ContainerdNamespaces = field(default_factory=ContainerdNamespaces)


class SystemInfo(Object):
    id: str = field(default="", name="ID")
    containers: int = 0
    containers_running: int = 0
    containers_paused: int = 0
    containers_stopped: int = 0
    images: int = 0
    driver: str = ""
    driver_status: list[tuple[str, str]] = field(default_factory=list)
    plugins: PluginsInfo = field(default_factory=PluginsInfo)
    memory_limit: bool = False
    swap_limit: bool = False
    kernel_memory_tcp: bool | UnsetType = field(default=UNSET, name="KernelMemoryTCP")
    cpu_cfs_period: bool = False
    cpu_cfs_quota: bool = False
    cpu_shares: bool = field(default=False, name="CPUShares")
    cpu_set: bool = field(default=False, name="CPUSet")
    pids_limit: bool = False
    ipv4_forwarding: bool = field(default=False, name="IPv4Forwarding")
    debug: bool = False
    n_fd: int = 0
    oom_kill_disable: bool = False
    n_goroutines: int = 0
    system_time: str = ""
    logging_driver: str = "json-file"
    cgroup_driver: str = "cgroupfs"
    cgroup_version: str = "1"
    n_events_listener: int = 0
    kernel_version: str = ""
    operating_system: str = ""
    os_version: str = field(default="", name="OSVersion")
    os_type: str = field(default="linux", name="OSType")
    architecture: str = ""
    index_server_address: str = ""
    registry_config: RegistryConfig = field(default_factory=RegistryConfig)
    ncpu: int = field(default=0, name="NCPU")
    mem_total: Int64 = 0
    generic_resources: list[dict[str, object]] | None = None
    docker_root_dir: str = ""
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    name: str = ""
    labels: list[str] = field(default_factory=list)
    experimental_build: bool = False
    server_version: str = ""
    runtimes: dict[str, RuntimeInfo] = field(default_factory=dict)
    default_runtime: str = ""
    swarm: SwarmInfo = field(default_factory=SwarmInfo)
    live_restore_enabled: bool = False
    isolation: str = ""
    init_binary: str = ""
    containerd_commit: Commit = field(default_factory=Commit)
    runc_commit: Commit = field(default_factory=Commit)
    init_commit: Commit = field(default_factory=Commit)
    security_options: list[str] = field(default_factory=list)
    product_license: str | UnsetType = UNSET
    default_address_pools: list[AddressPool] | UnsetType = UNSET
    firewall_backend: FirewallInfo | UnsetType = UNSET
    discovered_devices: list[dict[str, str]] | UnsetType = UNSET
    cdi_spec_dirs: list[str] = field(default_factory=list, name="CDISpecDirs")
    containerd: ContainerdInfo | UnsetType = UNSET
    warnings: list[str] | None = None
