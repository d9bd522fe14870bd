"""`wherry tag`: another name for an image."""

from __future__ import annotations

from wherry.cli.command import Command, Context
from wherry.cli.errors import CliError
from wherry.cli.flags import Parsed
from wherry.cli.references import split_tag


def _run(context: Context, parsed: Parsed) -> int:
    source, target = parsed.arguments
    if "@" in target:
        raise CliError(f"refusing to create a tag with a digest reference: {target}")
    repository, tag = split_tag(target)
    context.client.tag(source, repository, tag or "latest")
    return 0


TAG = Command(
    "wherry tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Give an image another name",
    _run,
    minimum=2,
    maximum=2,
    examples=(
        ("wherry tag busybox busybox:mine", "a second tag"),
        ("wherry tag 5d9c4676 registry.example:5000/tools/busybox", "a name by the image's ID"),
    ),
)
