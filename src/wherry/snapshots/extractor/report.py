"""What the extractor's child tells the daemon, as JSON. Light to import: the child does."""

from typing import TypedDict, final


@final
class Report(TypedDict):
    """A layer was unpacked. Paths are relative to its root, undecodable bytes as surrogates.

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
