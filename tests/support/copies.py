"""What a COPY comes to: its layer, read by tar's own reader and as a layer file."""

from __future__ import annotations

import io
from pathlib import Path

import erofslayers
import trees

from wherry.build.copying import CopyOptions, CopyPlan, GivenFile, GivenTree, plan_copy
from wherry.layers.files import FileTree
from wherry.layers.tar import Entry, TarReader


def plan(
    source: FileTree,
    *patterns: str | GivenFile | GivenTree,
    to: str = "/",
    upon: FileTree | None = None,
    workdir: str = "/",
    **options: object,
) -> CopyPlan:
    chosen = CopyOptions(**options)  # type: ignore[arg-type]  # a test's own words
    return plan_copy(source, patterns, to, workdir, upon, chosen)


def whole(made: CopyPlan, size: int = 1 << 18) -> bytes:
    stream = made.tar()
    pieces = []
    while piece := stream.read(size):
        pieces.append(piece)
    return b"".join(pieces)


def entries(made: CopyPlan) -> dict[str, Entry]:
    """By name, in the order of the archive; none comes twice."""
    found: dict[str, Entry] = {}
    for entry in TarReader(io.BytesIO(whole(made))):
        name = entry.name.decode("utf-8", "surrogateescape")
        assert name not in found
        found[name] = entry
    return found


def contents(made: CopyPlan) -> dict[str, bytes]:
    """Of the regular files in the archive."""
    reader = TarReader(io.BytesIO(whole(made)))
    return {entry.name.decode(): reader.read() for entry in reader if entry.kind == "file"}


def picture(made: CopyPlan, folder: Path) -> dict[bytes, trees.Picture]:
    """What the layer looks like once it is a file system."""
    path = folder / "layer"
    erofslayers.write_layer(whole(made), path)
    return erofslayers.checked_picture(path)
