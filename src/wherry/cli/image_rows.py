"""An image of the list as rows: what each column of `wherry images` shows."""

from __future__ import annotations

import time

from wherry.cli.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wherry.client.documents import ImageSummary

COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size")
COLUMNS_WITH_DIGESTS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}
NONE = "<none>"


def named(image: ImageSummary, digests: bool) -> Iterator[tuple[str, str, str]]:
    """(repository, tag, digest) for each row of one image: a row per name, or one without any."""
    tags: dict[str, list[str]] = {}
    for name in image["RepoTags"] or []:
        repository, _, tag = name.rpartition(":")
        if name != "<none>:<none>":
            tags.setdefault(repository, []).append(tag)
    known: dict[str, list[str]] = {}
    for name in image["RepoDigests"] or []:
        repository, _, digest = name.partition("@")
        if name != "<none>@<none>":
            known.setdefault(repository, []).append(digest)
    if not tags and not known:
        yield NONE, NONE, NONE
    for repository, names in tags.items():
        for tag in names:
            found = known.get(repository) if digests else None
            for digest in found or [NONE]:
                yield repository, tag, digest
    for repository, values in known.items():
        if repository not in tags:
            for digest in values if digests else [""]:
                yield repository, NONE, digest


def image_row(
    image: ImageSummary, name: tuple[str, str, str], truncated: bool
) -> dict[str, Callable[..., object]]:
    """The fields that a format may name, each computed when it is asked for."""
    repository, tag, digest = name
    return {
        "Containers": lambda: _counted(image.get("Containers", -1)),
        "CreatedAt": lambda: time.strftime(
            "%Y-%m-%d %H:%M:%S %z %Z", time.localtime(image["Created"])
        ),
        "CreatedSince": lambda: human_duration(time.time() - image["Created"]) + " ago",
        "Digest": lambda: digest,
        "ID": lambda: image["Id"].removeprefix("sha256:")[:12] if truncated else image["Id"],
        "Repository": lambda: repository,
        "SharedSize": lambda: _sized(image.get("SharedSize", -1)),
        "Size": lambda: human_size(image["Size"], 3),
        "Tag": lambda: tag,
        "UniqueSize": lambda: _unique(image),
        "VirtualSize": lambda: human_size(image["Size"]),
    }


def _counted(count: int) -> str:
    return "N/A" if count < 0 else str(count)


def _sized(size: int) -> str:
    return "N/A" if size < 0 else human_size(size)


def _unique(image: ImageSummary) -> str:
    shared = image.get("SharedSize", -1)
    return "N/A" if shared < 0 else human_size(image["Size"] - shared)
