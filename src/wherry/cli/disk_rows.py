"""What takes how much of the disk as rows: a sum for each kind, and each thing by itself."""

from __future__ import annotations

from wherry.cli.timestamps import seconds_since
from wherry.cli.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.listing import Row
    from wherry.client.building import CacheEntry
    from wherry.client.documents import ContainerSummary, DiskUsage, ImageSummary, Volume

COLUMNS = ("Type", "TotalCount", "Active", "Size", "Reclaimable")
HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
IMAGE_COLUMNS = (
    "Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers",
)  # fmt: skip
CONTAINER_COLUMNS = (
    "ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names",
)  # fmt: skip
VOLUME_COLUMNS = ("Name", "Links", "Size")
VOLUME_HEADERS = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}
CACHE_COLUMNS = (
    "ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared",
)  # fmt: skip
CACHE_HEADERS = {
    "ID": "CACHE ID",
    "CacheType": "CACHE TYPE",
    "Size": "SIZE",
    "CreatedSince": "CREATED",
    "LastUsedSince": "LAST USED",
    "UsageCount": "USAGE",
    "Shared": "SHARED",
}
_ALIVE = ("running", "paused", "restarting")


def sums(usage: DiskUsage) -> list[Row]:
    """One row for each kind, in Docker's order."""
    return [
        _image_sum(usage.get("Images") or [], usage.get("LayersSize", 0)),
        _container_sum(usage.get("Containers") or []),
        _volume_sum(usage.get("Volumes") or []),
        _cache_sum(usage.get("BuildCache") or []),
    ]


def _sum(kind: str, total: int, active: int, size: int, reclaimable: str) -> Row:
    return {
        "Active": lambda: str(active),
        "Reclaimable": lambda: reclaimable,
        "Size": lambda: human_size(size),
        "TotalCount": lambda: str(total),
        "Type": lambda: kind,
    }


def _share(part: int, whole: int) -> str:
    return f"{human_size(part)} ({part * 100 // whole}%)" if whole > 0 else human_size(part)


def _image_sum(images: list[ImageSummary], layers_size: int) -> Row:
    active = sum(image.get("Containers", 0) > 0 for image in images)
    used = sum(
        image["Size"] - image.get("SharedSize", -1)
        for image in images
        if image.get("Containers", 0) and -1 not in (image["Size"], image.get("SharedSize", -1))
    )
    return _sum("Images", len(images), active, layers_size, _share(layers_size - used, layers_size))


def _container_sum(containers: list[ContainerSummary]) -> Row:
    active = [one for one in containers if one["State"] in _ALIVE]
    size = sum(one.get("SizeRw", 0) for one in containers)
    idle = size - sum(one.get("SizeRw", 0) for one in active)
    return _sum("Containers", len(containers), len(active), size, _share(idle, size))


def _volume_sum(volumes: list[Volume]) -> Row:
    usages = [usage for volume in volumes if (usage := volume.get("UsageData"))]
    active = sum(usage["RefCount"] > 0 for usage in usages)
    size = sum(max(usage["Size"], 0) for usage in usages)
    idle = sum(max(usage["Size"], 0) for usage in usages if not usage["RefCount"])
    return _sum("Local Volumes", len(volumes), active, size, _share(idle, size))


def cache_size(entries: list[CacheEntry]) -> int:
    """What would be free without the cache: what an image shares stays."""
    return sum(entry["Size"] for entry in entries if not entry["Shared"])


def _cache_sum(entries: list[CacheEntry]) -> Row:
    size = cache_size(entries)
    used = sum(entry["Size"] for entry in entries if entry["InUse"] and not entry["Shared"])
    active = sum(entry["InUse"] for entry in entries)
    return _sum("Build Cache", len(entries), active, size, human_size(size - used))


def volume_row(volume: Volume) -> Row:
    usage = volume.get("UsageData")
    labels = volume["Labels"] or {}
    return {
        # What volumes of a cluster have.
        **dict.fromkeys(("Availability", "Group", "Status"), lambda: "N/A"),
        "Driver": lambda: volume["Driver"],
        "Labels": lambda: ",".join(f"{name}={labels[name]}" for name in sorted(labels)),
        "Links": lambda: str(usage["RefCount"]) if usage else "N/A",
        "Mountpoint": lambda: volume["Mountpoint"],
        "Name": lambda: volume["Name"],
        "Scope": lambda: volume["Scope"],
        "Size": lambda: human_size(usage["Size"]) if usage else "N/A",
    }


def cache_row(entry: CacheEntry, truncated: bool) -> Row:
    """Without `truncated`, for JSON and templates, with whole IDs."""
    identity = entry["ID"][:12] if truncated else entry["ID"]
    parent = entry.get("Parent", "")
    return {
        "CacheType": lambda: entry["Type"],
        "CreatedAt": lambda: _moment(entry["CreatedAt"]),
        "CreatedSince": lambda: _since(entry["CreatedAt"]),
        "Description": lambda: entry["Description"],
        "ID": lambda: f"{identity}*" if entry["InUse"] else identity,
        "InUse": lambda: str(entry["InUse"]).lower(),
        "LastUsedAt": lambda: _moment(entry["LastUsedAt"]),
        "LastUsedSince": lambda: _since(entry["LastUsedAt"]),
        "Parent": lambda: parent[:12] if truncated else parent,
        "Shared": lambda: str(entry["Shared"]).lower(),
        "Size": lambda: human_size(entry["Size"], 3),
        "UsageCount": lambda: str(entry["UsageCount"]),
    }


def _moment(moment: str | None) -> str:
    """As Go prints a time in UTC."""
    return f"{moment.replace('T', ' ').removesuffix('Z')} +0000 UTC" if moment else ""


def _since(moment: str | None) -> str:
    return f"{human_duration(seconds_since(moment))} ago" if moment else ""
