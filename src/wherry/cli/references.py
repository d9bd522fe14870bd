"""Images' names on the command line, as far as it takes them apart itself."""

from __future__ import annotations


def split_tag(image: str) -> tuple[str, str]:
    """The repository, and the tag or digest or nothing."""
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    repository, colon, tag = name.rpartition(":")
    # A colon before a slash is a registry's port.
    return (repository, tag) if colon and "/" not in tag else (name, "")


def with_tag(image: str) -> str:
    return image if split_tag(image)[1] else f"{image}:latest"
