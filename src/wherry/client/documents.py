"""The shapes of the Engine API's documents, as far as this client reads them.

Only type checkers import this: `typing` costs 5 ms. Fields that a daemon may leave out are marked;
everything else the daemon sends is kept in the same dictionaries.
"""

from typing import NotRequired, TypedDict

from wherry.client.building import CacheEntry


class Port(TypedDict):
    IP: NotRequired[str]
    PrivatePort: int
    PublicPort: NotRequired[int]
    Type: str


class MountPoint(TypedDict):
    Type: NotRequired[str]
    Name: NotRequired[str]
    Source: str
    Destination: str
    Driver: NotRequired[str]


class NetworkSettingsSummary(TypedDict):
    Networks: dict[str, object] | None


class ContainerSummary(TypedDict):
    Id: str
    Names: list[str] | None
    Image: str
    ImageID: str
    Command: str
    Created: int
    Ports: list[Port] | None
    Labels: dict[str, str] | None
    State: str
    Status: str
    SizeRw: NotRequired[int]
    SizeRootFs: NotRequired[int]
    NetworkSettings: NotRequired[NetworkSettingsSummary | None]
    Mounts: NotRequired[list[MountPoint] | None]


class ContainerState(TypedDict):
    Status: str
    Running: bool
    Paused: bool
    Restarting: bool
    ExitCode: int
    Error: str


class ContainerConfig(TypedDict):
    Tty: bool
    OpenStdin: bool
    StdinOnce: bool


class HostConfigOut(TypedDict):
    AutoRemove: bool


class ContainerInspect(TypedDict):
    Id: str
    Name: str
    State: ContainerState
    Config: ContainerConfig
    HostConfig: HostConfigOut


class CreateResponse(TypedDict):
    Id: str
    Warnings: list[str] | None


class WaitError(TypedDict):
    Message: str


class WaitResponse(TypedDict):
    StatusCode: int
    Error: NotRequired[WaitError | None]


class ImageSummary(TypedDict):
    Id: str
    RepoTags: list[str] | None
    RepoDigests: list[str] | None
    Created: int
    Size: int
    SharedSize: NotRequired[int]
    VirtualSize: NotRequired[int]
    Containers: NotRequired[int]


class HistoryItem(TypedDict):
    Id: str
    Created: int
    CreatedBy: str
    Tags: list[str] | None
    Size: int
    Comment: str


class ImageDeleteItem(TypedDict):
    Untagged: NotRequired[str]
    Deleted: NotRequired[str]


class Actor(TypedDict):
    ID: str
    Attributes: dict[str, str] | None


class EventMessage(TypedDict):
    Type: str
    Action: str
    Actor: Actor
    scope: NotRequired[str]
    time: int
    timeNano: int


class VolumeUsage(TypedDict):
    Size: int
    RefCount: int


class Volume(TypedDict):
    Name: str
    Driver: str
    Mountpoint: str
    Labels: dict[str, str] | None
    Scope: str
    UsageData: NotRequired[VolumeUsage | None]


class DiskUsage(TypedDict):
    """Lists may be null, and those that were not asked for are left out."""

    LayersSize: NotRequired[int]
    Images: NotRequired[list[ImageSummary] | None]
    Containers: NotRequired[list[ContainerSummary] | None]
    Volumes: NotRequired[list[Volume] | None]
    BuildCache: NotRequired[list[CacheEntry] | None]


class ErrorDetail(TypedDict):
    message: str
    code: NotRequired[int]


class ProgressDetail(TypedDict):
    current: NotRequired[int]
    total: NotRequired[int]


class ProgressMessage(TypedDict):
    stream: NotRequired[str]
    status: NotRequired[str]
    id: NotRequired[str]
    progressDetail: NotRequired[ProgressDetail | None]
    error: NotRequired[str]
    errorDetail: NotRequired[ErrorDetail | None]


class Component(TypedDict):
    Name: str
    Version: str
    Details: NotRequired[dict[str, str] | None]


class Platform(TypedDict):
    Name: str


class Version(TypedDict):
    Platform: NotRequired[Platform]
    Components: NotRequired[list[Component] | None]
    Version: str
    ApiVersion: str
    MinAPIVersion: NotRequired[str]
    GitCommit: NotRequired[str]
    GoVersion: NotRequired[str]
    Os: str
    Arch: str
    KernelVersion: NotRequired[str]
    BuildTime: NotRequired[str]
