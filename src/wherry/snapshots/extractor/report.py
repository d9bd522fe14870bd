"""What the extractor's child tells the daemon, as JSON. Light to import: the child does."""

from typing import TypedDict, final


@final
class Report(TypedDict):
    """A layer was unpacked. Paths are relative to its root, as `text_of` writes them.

    `whiteouts` are names that the layer removes, absent from it; `opaque` are its own directories
    that hide what lower layers have in them ("" is the root).
    """

    bytes: int
    inodes: int
    whiteouts: list[str]
    opaque: list[str]


@final
class Refusal(TypedDict):
    """A layer was not unpacked: the name of an errdefs.Kind, and a sentence."""

    kind: str
    message: str


def text_of(path: bytes) -> str:
    """A path as JSON can hold it, whatever its bytes and whatever the locale."""
    return path.decode("utf-8", "surrogateescape")


def path_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
