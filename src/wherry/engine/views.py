"""Containers as clients see them: `inspect`, and the rows of `ps`."""

import datetime
import time

from wherry.engine.container import Container
from wherry.engine.document import CREATED, EXITED, REMOVING, Document, Life
from wherry.engine.logging_options import read_log_config
from wherry.engine.model import (
    UNSET,
    ContainerConfig,
    ContainerInspect,
    ContainerSummary,
    EndpointSettings,
    GraphDriver,
    MountPoint,
    NetworkSettings,
    SummaryHostConfig,
    SummaryNetworkSettings,
)
from wherry.engine.networking import network_id
from wherry.engine.runtime_spec import mounts, process
from wherry.engine.stores import Stores, log
from wherry.errdefs import EngineError, Kind
from wherry.linux.mounts import ImagesRoot, OverlayRoot


def inspect(stores: Stores, container: Container) -> ContainerInspect:
    """Everything but the sizes."""
    document = container.document
    command = process.command(document.config)
    etc = stores.folder(document.etc_of)
    return ContainerInspect(
        id=document.id,
        created=document.created,
        path=command[0],
        args=command[1:],
        state=document.life.state(),
        image=document.image,
        resolv_conf_path=str(etc / "resolv.conf"),
        hostname_path=str(etc / "hostname"),
        hosts_path=str(etc / "hosts"),
        log_path=_log_path(stores, document),
        name=f"/{document.name}",
        driver=stores.snapshots.name,
        host_config=document.host_config,
        graph_driver=_graph_driver(stores, document.id),
        mounts=_mount_points(document),
        config=document.config,
        network_settings=NetworkSettings(networks=_networks(document)),
    )


def inspect_with_size(stores: Stores, container: Container) -> ContainerInspect:
    """With `SizeRw` and `SizeRootFs`. Blocks: it walks what the container wrote."""
    result = inspect(stores, container)
    result.size_rw, result.size_root_fs = _sizes(stores, container.document)
    return result


# How often a tree that changes under our eyes is looked through again.
_LOOKS = 3
_UNKNOWN = -1


def _sizes(stores: Stores, document: Document) -> tuple[int, int]:
    """(what the container wrote, that and its image), in bytes; as dockerd has it, -1 for what a
    container wrote that does not let itself be measured, and 0 for one that has just gone."""
    written = _written(stores, document)
    try:
        layers = {layer: stores.snapshots.usage(layer).bytes for layer in set(document.diff_ids)}
    except EngineError:
        if _has_files(stores, document):
            raise
        return 0, 0  # with it went the layers of an image that had gone before
    return written, max(written, 0) + sum(layers[layer] for layer in document.diff_ids)


def _written(stores: Stores, document: Document) -> int:
    for _ in range(_LOOKS):
        try:
            return stores.snapshots.key_usage(document.id).bytes
        except EngineError as error:
            if not _has_files(stores, document):
                return 0
            if error.kind is not Kind.CONFLICT:
                log.warning("container %s: its size: %s", document.id[:12], error.message)
                break
    return _UNKNOWN


def _has_files(stores: Stores, document: Document) -> bool:
    keys = stores.snapshots.keys()
    return document.id in keys


def _log_path(stores: Stores, document: Document) -> str:
    if read_log_config(document.host_config.log_config).driver == "none":
        return ""
    return str(stores.log_path(document.id))


def _graph_driver(stores: Stores, container_id: str) -> GraphDriver:
    """Where the container's changes are on the host. Backup tools look here."""
    try:
        root = stores.snapshots.mounts(container_id)
    except EngineError:
        return GraphDriver(name=stores.snapshots.name)
    if isinstance(root, OverlayRoot):
        # There is no merged directory: nothing of a container is in the host's mount table.
        data = {
            "LowerDir": ":".join(root.lower),
            "UpperDir": root.upper,
            "WorkDir": root.work,
        }
    elif isinstance(root, ImagesRoot):
        # The layers are files that hold file systems; the kernel shows these to the container only.
        data = {
            "LowerDir": ":".join(root.paths()),
            "UpperDir": root.upper,
            "WorkDir": root.work,
        }
    else:
        data = {"Dir": root.source}
    return GraphDriver(name=stores.snapshots.name, data=data)


def _mount_points(document: Document) -> list[MountPoint]:
    return mounts.plan(document.host_config).points


def _networks(document: Document) -> dict[str, EndpointSettings]:
    mode = document.host_config.network_mode
    if mode.startswith("container:"):
        return {}
    return {mode: EndpointSettings(network_id=network_id(mode) if document.life.running else "")}


# --- the rows of ps -------------------------------------------------------------------------------


def summary(container: Container) -> ContainerSummary:
    """One row, without sizes."""
    document = container.document
    return ContainerSummary(
        id=document.id,
        names=[f"/{document.name}"],
        image=document.config.image,
        image_id=document.image,
        command=shown_command(document.config),
        created=document.created_ns // 1_000_000_000,
        labels=document.config.labels or {},
        state=document.life.status,
        status=status_text(document.life, time.time()),
        host_config=SummaryHostConfig(
            network_mode=document.host_config.network_mode,
            annotations=document.host_config.annotations or UNSET,
        ),
        network_settings=SummaryNetworkSettings(networks=_networks(document)),
        mounts=_mount_points(document),
    )


def shown_command(config: ContainerConfig) -> str:
    """The command as a line. As Docker has it, arguments with a space are in quotes."""
    program, *arguments = process.command(config)
    return " ".join([program, *(f"'{one}'" if " " in one else one for one in arguments)])


def summaries_with_size(stores: Stores, containers: list[Container]) -> list[ContainerSummary]:
    """The rows with `SizeRw` and `SizeRootFs`. Blocks: it walks what the containers wrote."""
    rows = []
    for container in containers:
        row = summary(container)
        row.size_rw, row.size_root_fs = _sizes(stores, container.document)
        rows.append(row)
    return rows


def status_text(life: Life, now: float) -> str:
    """`Up 5 minutes`, as Docker words it; `now` in seconds since 1970."""
    if life.running:
        return f"Up {human_duration(now - _seconds(life.started_at))}"
    if life.status == EXITED:
        ago = human_duration(now - _seconds(life.finished_at))
        return f"Exited ({life.exit_code}) {ago} ago"
    return {CREATED: "Created", REMOVING: "Removal In Progress"}[life.status]


def _seconds(timestamp: str) -> float:
    # datetime reads microseconds at most; they are more than enough here.
    return datetime.datetime.fromisoformat(f"{timestamp[:19]}+00:00").timestamp()


def human_duration(seconds: float) -> str:
    """Docker's rough words for a time span (docker/go-units, HumanDuration)."""
    whole = int(seconds)
    minutes, hours = whole // 60, int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"
