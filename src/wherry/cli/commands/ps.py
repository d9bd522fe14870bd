"""`wherry ps`: the containers."""

from __future__ import annotations

from wherry.cli.command import Command, Context
from wherry.cli.container_rows import COLUMNS, HEADERS, container_row
from wherry.cli.flags import FILTER, FORMAT_HELP, Flag, Parsed, filters_of, integer
from wherry.cli.listing import print_rows
from wherry.cli.output import out_line


def _run(context: Context, parsed: Parsed) -> int:
    form = parsed.text("format")
    last = parsed.number("last") or -1
    if parsed.switch("latest") and last < 0:
        last = 1
    size = parsed.switch("size") or ".Size" in form
    filters = filters_of(parsed.texts("filter"))
    summaries = context.client.containers(parsed.switch("all"), last, size, filters)
    truncated = not parsed.switch("no-trunc")
    rows = [container_row(summary, truncated) for summary in summaries]
    if parsed.switch("quiet"):
        for row in rows:
            out_line(str(row["ID"]()))
        return 0
    columns = (*COLUMNS, "Size") if size else COLUMNS
    print_rows(rows, form, columns, HEADERS, checked=True)
    return 0


PS = Command(
    "wherry ps [OPTIONS]",
    "List containers",
    _run,
    flags=(
        Flag("all", "a", "Show all containers, not only running ones"),
        FILTER,
        Flag("format", "", FORMAT_HELP, "string"),
        Flag(
            "last", "n", "Show n last created containers, in any state", "int",
            convert=integer, default=-1,
        ),
        Flag("latest", "l", "Show the latest created container, in any state"),
        Flag("no-trunc", "", "Don't truncate output"),
        Flag("quiet", "q", "Only show container IDs"),
        Flag("size", "s", "Show what each container has written, and its size in all"),
    ),
    examples=(
        ("wherry ps -a --filter status=exited", "all containers that have ended"),
        ("wherry ps --format '{{.ID}}: {{.Names}}'", "a line of one's own for each"),
    ),
)  # fmt: skip
