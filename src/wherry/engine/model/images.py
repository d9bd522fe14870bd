"""Images as `inspect` and `list` show them, and what their removal took."""

from msgspec import Struct, field

from wherry.engine.model.base import UNSET, EmptyObject, Int64, Object, UnsetType, Zero
from wherry.engine.model.creation import HealthConfig


class Platform(Struct, kw_only=True):
    """An OCI platform, under OCI's own names."""

    architecture: str = ""
    os: str = ""
    os_version: str | UnsetType = field(default=UNSET, name="os.version")
    os_features: list[str] | UnsetType = field(default=UNSET, name="os.features")
    variant: str | UnsetType = UNSET


class Descriptor(Struct, rename="camel", kw_only=True):
    """An OCI descriptor, under OCI's own names."""

    media_type: str
    digest: str
    size: Int64
    urls: list[str] | UnsetType = UNSET
    annotations: dict[str, str] | UnsetType = UNSET
    data: str | UnsetType = UNSET
    platform: Platform | UnsetType = UNSET
    artifact_type: str | UnsetType = UNSET


class ImageSummary(Object):
    """One of `GET /images/json`. `created` is in seconds; -1 is "not computed"."""

    id: str
    parent_id: str = ""
    repo_tags: list[str] = field(default_factory=list)
    repo_digests: list[str] = field(default_factory=list)
    created: int = 0
    size: Int64 = 0
    shared_size: Int64 = -1
    labels: dict[str, str] | None = None
    containers: int = -1
    descriptor: Descriptor | UnsetType = UNSET


class InspectedImageConfig(Object):
    """An image's `Config`: its eight oldest fields are always there, the others when set."""

    user: str = ""
    exposed_ports: dict[str, EmptyObject] | UnsetType = UNSET
    env: list[str] | None = None
    cmd: list[str] | None = None
    healthcheck: HealthConfig | UnsetType = UNSET
    args_escaped: bool | UnsetType = UNSET
    volumes: dict[str, EmptyObject] | None = None
    working_dir: str = ""
    entrypoint: list[str] | None = None
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | UnsetType = UNSET
    shell: list[str] | UnsetType = UNSET


class GraphDriver(Object):
    """Where the snapshotter `name` keeps something; `data` is the driver's own."""

    data: dict[str, str] | None = None
    name: str = ""


class RootFS(Object):
    """`layers` are diffIDs, bottom first."""

    type: str = "layers"
    layers: list[str] | UnsetType = UNSET


class ImageMetadata(Object):
    last_tag_time: str = Zero


class ImageInspect(Object):
    """The answer of `GET /images/{name}/json`."""

    id: str
    descriptor: Descriptor | UnsetType = UNSET
    repo_tags: list[str] = field(default_factory=list)
    repo_digests: list[str] = field(default_factory=list)
    parent: str = ""
    comment: str = ""
    created: str | UnsetType = UNSET
    docker_version: str = ""
    author: str = ""
    config: InspectedImageConfig = field(default_factory=InspectedImageConfig)
    architecture: str = ""
    variant: str | UnsetType = UNSET
    os: str = "linux"
    os_version: str | UnsetType = UNSET
    size: Int64 = 0
    graph_driver: GraphDriver = field(default_factory=GraphDriver)
    rootfs: RootFS = field(default_factory=RootFS, name="RootFS")
    metadata: ImageMetadata = field(default_factory=ImageMetadata)


class ImportRequest(Struct, kw_only=True):
    """The parameters of `POST /images/create?fromSrc=-`; all may be empty."""

    repo: str = ""
    tag: str = ""
    message: str = ""
    changes: list[str] = field(default_factory=list)
    platform: str = ""


class ImageHistoryItem(Object):
    """One step of `GET /images/{name}/history`; only the image's own has an ID. `created` is in
    seconds."""

    comment: str = ""
    created: int = 0
    created_by: str = ""
    id: str = "<missing>"
    size: Int64 = 0
    tags: list[str] | None = None


class ImageDeleteItem(Object):
    """One thing that a removal took: a name, or an image or layer by its digest."""

    untagged: str | UnsetType = UNSET
    deleted: str | UnsetType = UNSET
