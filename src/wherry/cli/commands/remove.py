"""`wherry rm` and `wherry rmi`."""

from __future__ import annotations

from wherry.cli.command import ANY_NUMBER, Command, Context
from wherry.cli.each import on_each
from wherry.cli.flags import Flag, Parsed
from wherry.cli.output import out_line


def _rm(context: Context, parsed: Parsed) -> int:
    force, volumes, link = (parsed.switch(name) for name in ("force", "volumes", "link"))

    def remove(ref: str) -> None:
        context.client.remove(ref.strip("/"), force, volumes, link)
        out_line(ref)

    return on_each(parsed.arguments, remove, missing_is_fine=force)


def _rmi(context: Context, parsed: Parsed) -> int:
    force = parsed.switch("force")

    def remove(ref: str) -> None:
        items = context.client.remove_image(ref, force, parsed.switch("no-prune"))
        for item in items:
            if "Deleted" in item:
                out_line(f"Deleted: {item['Deleted']}")
            if "Untagged" in item:
                out_line(f"Untagged: {item['Untagged']}")

    return on_each(parsed.arguments, remove, missing_is_fine=force)


RM = Command(
    "wherry rm [OPTIONS] CONTAINER [CONTAINER...]",
    "Remove one or more containers",
    _rm,
    minimum=1,
    maximum=ANY_NUMBER,
    flags=(
        Flag("force", "f", "Kill a running container first"),
        Flag("link", "l", "Remove the specified link"),
        Flag("volumes", "v", "Remove its anonymous volumes too"),
    ),
    examples=(
        ("wherry rm job", "remove a container that has ended"),
        ("wherry rm -f $(wherry ps -aq)", "remove all, running ones too"),
    ),
)
RMI = Command(
    "wherry rmi [OPTIONS] IMAGE [IMAGE...]",
    "Remove one or more images",
    _rmi,
    minimum=1,
    maximum=ANY_NUMBER,
    flags=(
        Flag("force", "f", "Remove it though containers or other names use it"),
        Flag("no-prune", "", "Do not delete untagged parents"),
        Flag("platform", "", "", "strings", many=True, refused="images here have one platform"),
    ),
    examples=(
        ("wherry rmi busybox:old", "remove one name, and the image with its last name"),
        ("wherry rmi -f 5d9c4676", "remove an image by its ID with all its names"),
    ),
)
