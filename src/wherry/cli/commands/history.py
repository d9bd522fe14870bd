"""`wherry history`: the steps that made an image."""

from __future__ import annotations

import time

from wherry.cli.command import Command, Context
from wherry.cli.flags import FORMAT_HELP, Flag, Parsed
from wherry.cli.listing import print_rows
from wherry.cli.output import out_line
from wherry.cli.quoting import ellipsis
from wherry.cli.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.client.documents import HistoryItem

COLUMNS = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")
EXACT_COLUMNS = ("ID", "CreatedAt", "CreatedBy", "Size", "Comment")
HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
CREATED_BY_WIDTH = 45


def _run(context: Context, parsed: Parsed) -> int:
    human, truncated = parsed.switch("human"), not parsed.switch("no-trunc")
    steps = context.client.history(parsed.arguments[0])
    rows = [_row(step, human, truncated) for step in steps]
    form = parsed.text("format")
    if parsed.switch("quiet") and not form:
        for row in rows:
            out_line(str(row["ID"]()))
        return 0
    print_rows(rows, form, COLUMNS if human else EXACT_COLUMNS, HEADERS)
    return 0


def _row(step: HistoryItem, human: bool, truncated: bool) -> dict[str, Callable[..., object]]:
    identity, created, size = step["Id"], step["Created"], step["Size"]
    by = step["CreatedBy"].replace("\t", " ")
    return {
        "Comment": lambda: step["Comment"],
        "CreatedAt": lambda: _moment(created),
        "CreatedBy": lambda: ellipsis(by, CREATED_BY_WIDTH) if truncated else by,
        "CreatedSince": lambda: _since(created) if human else _moment(created),
        "ID": lambda: identity.removeprefix("sha256:")[:12] if truncated else identity,
        "Size": lambda: human_size(size, 3) if human else str(size),
    }


def _moment(created: int) -> str:
    """RFC 3339, in the zone of whoever reads it."""
    moment = time.localtime(created)
    zone = time.strftime("%z", moment)
    text = f"{moment.tm_year:04}-{time.strftime('%m-%dT%H:%M:%S', moment)}"
    return text + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}")


def _since(created: int) -> str:
    # The year 1 and 1970 are no times: an image need not say when it was made.
    return "N/A" if created <= 0 else human_duration(time.time() - created) + " ago"


HISTORY = Command(
    "wherry history [OPTIONS] IMAGE",
    "Show the steps that made an image",
    _run,
    minimum=1,
    maximum=1,
    flags=(
        Flag("format", "", FORMAT_HELP, "string"),
        Flag("human", "H", "Print sizes and dates in human readable format", default=True),
        Flag("no-trunc", "", "Don't truncate output"),
        Flag("platform", "", "", "string", refused="images here have one platform"),
        Flag("quiet", "q", "Only show image IDs"),
    ),
    examples=(
        ("wherry history --no-trunc busybox", "with whole lines"),
        ("wherry history --format '{{.Size}} {{.CreatedBy}}' busybox", "two columns"),
    ),
)
