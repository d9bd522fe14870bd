"""The OCI runtime specification's `config.json` (v1.2), as far as Linux needs it.

Typed dictionaries, because the file's bytes are their only source and sink: `json.loads` gives
them and nothing has to be imported to read one after a fork.
"""

from typing import Literal, NotRequired, TypedDict


class User(TypedDict, total=False):
    uid: int
    gid: int
    umask: int
    additionalGids: list[int]
    # Not in the OCI's Linux part: the user as Docker writes it ("name", "uid:group", ...),
    # resolved inside the container's root by the runtime.
    username: str
    # Groups beyond the user's own, by name or number, resolved likewise.
    additionalGroups: list[str]


class Box(TypedDict):
    height: int
    width: int


class Rlimit(TypedDict):
    type: str
    hard: int
    soft: int


class Capabilities(TypedDict, total=False):
    bounding: list[str]
    effective: list[str]
    inheritable: list[str]
    permitted: list[str]
    ambient: list[str]


class Process(TypedDict, total=False):
    terminal: bool
    consoleSize: Box
    cwd: str
    env: list[str]
    args: list[str]
    rlimits: list[Rlimit]
    capabilities: Capabilities
    noNewPrivileges: bool
    oomScoreAdj: int
    user: User


class Root(TypedDict):
    path: str
    readonly: NotRequired[bool]


class Mount(TypedDict, total=False):
    destination: str
    type: str
    source: str
    options: list[str]
    # Not in the OCI's: for the types `layers` and `content`, which of the root mounts or contents
    # that were given along with the specification (libcontainer/given.py).
    given: int


class Namespace(TypedDict):
    type: Literal["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"]
    path: NotRequired[str]


class IDMapping(TypedDict):
    containerID: int
    hostID: int
    size: int


class Device(TypedDict, total=False):
    type: str
    path: str
    major: int
    minor: int
    fileMode: int
    uid: int
    gid: int


class DeviceRule(TypedDict, total=False):
    allow: bool
    type: str
    major: int
    minor: int
    access: str


class Memory(TypedDict, total=False):
    """Bytes; -1 is unlimited. `swap` is memory and swap together, as on cgroup v1."""

    limit: int
    reservation: int
    swap: int
    kernel: int
    swappiness: int
    disableOOMKiller: bool


class CPU(TypedDict, total=False):
    shares: int
    quota: int
    burst: int
    period: int
    realtimeRuntime: int
    realtimePeriod: int
    cpus: str
    mems: str
    idle: int


class Pids(TypedDict):
    limit: int


class WeightDevice(TypedDict, total=False):
    major: int
    minor: int
    weight: int
    leafWeight: int


class ThrottleDevice(TypedDict):
    major: int
    minor: int
    rate: int


class BlockIO(TypedDict, total=False):
    weight: int
    leafWeight: int
    weightDevice: list[WeightDevice]
    throttleReadBpsDevice: list[ThrottleDevice]
    throttleWriteBpsDevice: list[ThrottleDevice]
    throttleReadIOPSDevice: list[ThrottleDevice]
    throttleWriteIOPSDevice: list[ThrottleDevice]


class Resources(TypedDict, total=False):
    devices: list[DeviceRule]
    memory: Memory
    cpu: CPU
    pids: Pids
    blockIO: BlockIO
    unified: dict[str, str]


class SeccompArg(TypedDict, total=False):
    index: int
    value: int
    valueTwo: int
    op: str


class SeccompSyscall(TypedDict, total=False):
    names: list[str]
    action: str
    errnoRet: int
    args: list[SeccompArg]


class Seccomp(TypedDict, total=False):
    defaultAction: str
    defaultErrnoRet: int
    architectures: list[str]
    flags: list[str]
    syscalls: list[SeccompSyscall]


class Linux(TypedDict, total=False):
    uidMappings: list[IDMapping]
    gidMappings: list[IDMapping]
    sysctl: dict[str, str]
    resources: Resources
    cgroupsPath: str
    namespaces: list[Namespace]
    devices: list[Device]
    seccomp: Seccomp
    rootfsPropagation: str
    maskedPaths: list[str]
    readonlyPaths: list[str]


class Spec(TypedDict, total=False):
    ociVersion: str
    process: Process
    root: Root
    hostname: str
    domainname: str
    mounts: list[Mount]
    annotations: dict[str, str]
    linux: Linux
