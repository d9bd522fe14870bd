"""`wherry images`: what can be run."""

from __future__ import annotations

from wherry.cli.command import Command, Context
from wherry.cli.flags import FILTER, FORMAT_HELP, Flag, Parsed, filters_of
from wherry.cli.image_rows import COLUMNS, COLUMNS_WITH_DIGESTS, HEADERS, image_row, named
from wherry.cli.listing import print_rows
from wherry.cli.output import out_line


def _run(context: Context, parsed: Parsed) -> int:
    form = parsed.text("format")
    filters = filters_of(parsed.texts("filter"))
    if parsed.arguments:
        filters.setdefault("reference", []).append(parsed.arguments[0])
    digests = parsed.switch("digests") or ".Digest" in form
    images = context.client.images(parsed.switch("all"), digests, filters)
    truncated = not parsed.switch("no-trunc")
    rows = [image_row(image, name, truncated) for image in images for name in named(image, digests)]
    if parsed.switch("quiet") and not form:
        for row in rows:
            out_line(str(row["ID"]()))
        return 0
    print_rows(rows, form, COLUMNS_WITH_DIGESTS if digests else COLUMNS, HEADERS)
    return 0


IMAGES = Command(
    "wherry images [OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    _run,
    maximum=1,
    flags=(
        Flag("all", "a", "Show all images, intermediate ones too"),
        Flag("digests", "", "Show digests"),
        FILTER,
        Flag("format", "", FORMAT_HELP, "string"),
        Flag("no-trunc", "", "Don't truncate output"),
        Flag("quiet", "q", "Only show image IDs"),
        Flag("tree", refused="images here have one platform, so there is nothing below them"),
    ),
    examples=(
        ("wherry images busybox", "the images of one repository"),
        ("wherry images --format 'table {{.Repository}}\\t{{.Size}}'", "a table of two columns"),
    ),
)
