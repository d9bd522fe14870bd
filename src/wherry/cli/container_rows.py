"""A container of the list as a row: what each column of `wherry ps` shows."""

from __future__ import annotations

import time

from wherry.cli.listing import Method
from wherry.cli.quoting import ellipsis, quoted
from wherry.cli.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.client.documents import ContainerSummary, Port

COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Names": "NAMES",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
}
SHORT_ID = 12


def container_row(summary: ContainerSummary, truncated: bool) -> dict[str, Callable[..., object]]:
    """The fields that a format may name, each computed when it is asked for."""
    labels = summary["Labels"] or {}

    return {
        "Command": lambda: _command(summary["Command"], truncated),
        "CreatedAt": lambda: _created_at(summary["Created"]),
        "ID": lambda: summary["Id"][:SHORT_ID] if truncated else summary["Id"],
        "Image": lambda: _image(summary, truncated),
        "Label": Method(lambda name: labels.get(name, "")),
        "Labels": lambda: ",".join(f"{key}={labels[key]}" for key in sorted(labels)),
        "LocalVolumes": lambda: _local_volumes(summary),
        "Mounts": lambda: _mounts(summary, truncated),
        "Names": lambda: _names(summary["Names"] or [], truncated),
        "Networks": lambda: _networks(summary),
        "Platform": lambda: None,
        "Ports": lambda: displayed_ports(summary["Ports"] or []),
        "RunningFor": lambda: human_duration(time.time() - summary["Created"]) + " ago",
        "Size": lambda: _size(summary),
        "State": lambda: summary["State"],
        "Status": lambda: summary["Status"],
    }


def _command(command: str, truncated: bool) -> str:
    return quoted(ellipsis(command, 20) if truncated else command)


def _created_at(created: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(created))


def _image(summary: ContainerSummary, truncated: bool) -> str:
    image = summary["Image"]
    if not image:
        return "<no image>"
    if not truncated:
        return image
    image_id = summary["ImageID"]
    if image in (image_id, image_id.partition(":")[2]):
        return image.removeprefix("sha256:")[:SHORT_ID]
    name, at, _ = image.partition("@")
    return name if at else image


def _names(names: list[str], truncated: bool) -> str:
    stripped = [name.removeprefix("/") for name in names]
    if truncated:
        # A name with a slash is a link's, as other containers call this one.
        own = [name for name in stripped if "/" not in name]
        stripped = own[:1] or stripped
    return ",".join(stripped)


def _networks(summary: ContainerSummary) -> str:
    settings = summary.get("NetworkSettings") or {"Networks": None}
    return ",".join(settings["Networks"] or {})


def _mounts(summary: ContainerSummary, truncated: bool) -> str:
    names = []
    for mount in summary.get("Mounts") or []:
        name = mount.get("Name") or mount.get("Source") or ""
        names.append(ellipsis(name, 15) if truncated else name)
    return ",".join(names)


def _local_volumes(summary: ContainerSummary) -> str:
    mounts = summary.get("Mounts") or []
    return str(sum(mount.get("Driver") == "local" for mount in mounts))


def _size(summary: ContainerSummary) -> str:
    text = human_size(summary.get("SizeRw", 0), 3)
    virtual = summary.get("SizeRootFs", 0)
    return f"{text} (virtual {human_size(virtual, 3)})" if virtual > 0 else text


def displayed_ports(ports: list[Port]) -> str:
    """Ports in Docker's short form: neighbours as a range, `0.0.0.0:80-81->80-81/tcp, 443/tcp`."""
    ranges: dict[str, list[int]] = {}
    closed: list[str] = []
    mapped: list[str] = []
    for port in sorted(ports, key=_port_order):
        private, ip, kind = port["PrivatePort"], port.get("IP", ""), port["Type"]
        host = f"[{ip}]" if ":" in ip else ip
        if ip and port.get("PublicPort", 0) != private:
            mapped.append(f"{host}:{port.get('PublicPort', 0)}->{private}/{kind}")
            continue
        key = f"{host}/{kind}"
        open_range = ranges.get(key)
        if open_range is not None and open_range[1] + 1 == private:
            open_range[1] = private
            continue
        if open_range is not None:
            closed.append(_port_range(key, *open_range))
        ranges[key] = [private, private]
    return ", ".join(
        closed + [_port_range(key, first, last) for key, (first, last) in ranges.items()] + mapped
    )


def _port_order(port: Port) -> tuple[int, str, int, str]:
    return port["PrivatePort"], port.get("IP", ""), port.get("PublicPort", 0), port["Type"]


def _port_range(key: str, first: int, last: int) -> str:
    host, _, kind = key.rpartition("/")
    span = f"{first}" if first == last else f"{first}-{last}"
    return f"{host}:{span}->{span}/{kind}" if host else f"{span}/{kind}"
