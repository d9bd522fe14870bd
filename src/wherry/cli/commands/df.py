"""`wherry system df`: what takes how much of the disk."""

from __future__ import annotations

from wherry.cli import container_rows, image_rows
from wherry.cli.command import Command, Context
from wherry.cli.disk_rows import (
    CACHE_COLUMNS,
    CACHE_HEADERS,
    COLUMNS,
    CONTAINER_COLUMNS,
    HEADERS,
    IMAGE_COLUMNS,
    VOLUME_COLUMNS,
    VOLUME_HEADERS,
    cache_row,
    cache_size,
    sums,
    volume_row,
)
from wherry.cli.flags import FORMAT_HELP, Flag, Parsed
from wherry.cli.listing import print_rows
from wherry.cli.output import out, out_line
from wherry.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.listing import Row
    from wherry.client.building import CacheEntry
    from wherry.client.documents import DiskUsage, ImageSummary

    Rows = dict[str, list[Row]]


def _run(context: Context, parsed: Parsed) -> int:
    form = parsed.text("format")
    usage = context.client.disk_usage()
    if not parsed.switch("verbose"):
        print_rows(sums(usage), form, COLUMNS, HEADERS)
    elif form in ("", "table"):
        _show_tables(_rows(usage, truncated=True), cache_size(usage.get("BuildCache") or []))
    else:
        _show_whole(_rows(usage, truncated=False), form)
    return 0


def _rows(usage: DiskUsage, *, truncated: bool) -> Rows:
    return {
        "Images": [
            image_rows.image_row(image, (*_name(image), ""), truncated)
            for image in usage.get("Images") or []
        ],
        "Containers": [
            # What it shares with its image is no use of its own.
            container_rows.container_row({**container, "SizeRootFs": 0}, truncated)
            for container in usage.get("Containers") or []
        ],
        "Volumes": [volume_row(volume) for volume in usage.get("Volumes") or []],
        "BuildCache": [
            cache_row(entry, truncated)
            for entry in sorted(usage.get("BuildCache") or [], key=_last_use)
        ],
    }


def _name(image: ImageSummary) -> tuple[str, str]:
    """The first of its names."""
    repository, tag, _ = next(image_rows.named(image, digests=False))
    return repository, tag


def _last_use(entry: CacheEntry) -> str:
    return entry["LastUsedAt"] or ""


def _show_tables(rows: Rows, cache: int) -> None:
    out("Images space usage:\n\n")
    print_rows(rows["Images"], "", IMAGE_COLUMNS, image_rows.HEADERS)
    out("\nContainers space usage:\n\n")
    print_rows(rows["Containers"], "", CONTAINER_COLUMNS, container_rows.HEADERS)
    out("\nLocal Volumes space usage:\n\n")
    print_rows(rows["Volumes"], "", VOLUME_COLUMNS, VOLUME_HEADERS)
    out(f"\nBuild cache usage: {human_size(cache)}\n\n")
    print_rows(rows["BuildCache"], "", CACHE_COLUMNS, CACHE_HEADERS)


def _show_whole(rows: Rows, form: str) -> None:
    """All lists at once, as JSON or through a template that walks them."""
    from wherry.cli.listing import Method

    whole = {
        kind: [
            {name: field() for name, field in sorted(row.items()) if not isinstance(field, Method)}
            for row in members
        ]
        for kind, members in rows.items()
    }
    if form in ("json", "{{json .}}"):
        from wherry.client.jsontext import dumps

        out_line(dumps(whole, html=True))
        return
    from wherry.cli.rendering import Documents

    out_line(Documents(form.replace("\\t", "\t").replace("\\n", "\n")).render(whole))


DF = Command(
    "wherry system df [OPTIONS]",
    "Show what takes how much of the disk",
    _run,
    flags=(
        Flag("format", "", FORMAT_HELP, "string"),
        Flag("verbose", "v", "Show each image, container and volume"),
    ),
    examples=(
        ("wherry system df", "a sum for each kind, and what could be freed"),
        ("wherry system df -v", "each thing by itself"),
    ),
)
