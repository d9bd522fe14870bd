"""COPY and ADD, planned: what is copied is known and has a digest, and nothing is made yet."""

from __future__ import annotations

import hashlib
import io
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.build.copying.digesting import Tally
from wherry.build.copying.options import CopyOptions, GivenFile, GivenTree, InlineFile, Origin
from wherry.build.copying.ownership import Attributes
from wherry.build.copying.placing import Placing
from wherry.build.copying.sources import Selected, Unit, decoded, encoded, select
from wherry.build.copying.stream import PieceStream
from wherry.build.copying.unpacking import is_archive
from wherry.build.copying.walking import Walk
from wherry.layers.files import FileTree
from wherry.layers.tar import Readable
from wherry.spec.digest import Digest

_CONTEXT: Final = "the build context"
_AS_CONTEXT: Final = CopyOptions()


class CopyPlan:
    """What a COPY or an ADD copies.

    It reads from its trees while `digest`, `files` or `bytes` are computed and while `tar` is read,
    and closes none. For one thread at a time.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        destination: str,
        slash: bool,
        target: FileTree | None,
        options: CopyOptions,
    ) -> None:
        """`destination` is absolute and normal."""
        self._attributes = Attributes(options)
        self._destination = encoded(destination.lstrip("/"))
        self._slash = slash
        self._target = target
        self._keyword = options.keyword
        self._units: list[tuple[Unit, Walk | None]] = [
            (unit, None if isinstance(unit, GivenFile) else Walk(unit, options.excludes))
            for unit in units
        ]

    @cached_property
    def _tally(self) -> Tally:
        tally = Tally(self._attributes)
        for unit, walk in self._units:
            tally.add(unit, walk or ())
        return tally

    @property
    def digest(self) -> Digest:
        """That of all that is copied: of each file its place below the destination, type, mode,
        owner, content, link and xattrs; no time, and nothing of the target."""
        return Digest.from_hex(self._tally.hexdigest())

    @property
    def files(self) -> int:
        """Files of every kind, directories too; an archive that is unpacked is one."""
        return self._tally.files

    @property
    def bytes(self) -> int:
        """Of regular files, each hardlinked one counted once."""
        return self._tally.bytes

    @property
    def is_directory(self) -> bool:
        """Whether there is one source, and it is a directory: what is in it is copied."""
        sources = [unit for unit, _ in self._units]
        return (
            len(sources) == 1
            and isinstance(sources[0], Selected)
            and (sources[0].node.kind == "dir")
        )

    def tar(self) -> Readable:
        """The layer. The same files upon the same target give the same bytes.

        Reading raises InvalidArgument where sources do not fit what is there, naming the place;
        Conflict and DataLoss where a source is not what its tree said.
        """
        placing = Placing(
            self._target, self._destination, self._slash, self._attributes, self._keyword
        )
        return PieceStream(placing.pieces(self._units))


def plan_copy(
    source: FileTree,
    patterns: Sequence[str | GivenFile | GivenTree],
    destination: str,
    workdir: str,
    target: FileTree | None,
    options: CopyOptions,
    *,
    where: str = _CONTEXT,
    is_ignored: Callable[[str], bool] = lambda path: False,
) -> CopyPlan:
    """Find what `patterns` name in `source`.

    `destination` is as written, relative to `workdir`. `target` is what the layer comes upon, or
    None with `--link`: then the destination's directories are made anew. `where` completes "not
    found in ..." and `is_ignored` tells of a path that is not in `source` whether .dockerignore
    left it out.

    Raises InvalidArgument for a source that is not there, for a pattern that is none, and for a
    `--chmod` that is none.
    """
    origin = Origin(where, is_ignored)
    units: list[Unit] = []
    for pattern in (*patterns, *map(_inline, options.files)):
        if isinstance(pattern, GivenFile):
            units.append(_given(pattern))
        elif isinstance(pattern, GivenTree):
            units += select(pattern.tree, "/", origin, parents=False)
        else:
            found = select(source, pattern, origin, options.parents)
            units += (_judged(unit, options.unpack) for unit in found)
    return CopyPlan(
        units,
        posixpath.normpath(posixpath.join("/", workdir, destination)),
        destination in ("", ".") or destination.endswith(("/", "/.")),
        target,
        options,
    )


def plan_tree(source: FileTree, path: bytes, options: CopyOptions = _AS_CONTEXT) -> CopyPlan:
    """A layer of what is at the normal `path`, for a mount: a directory's contents in its root, or
    a file, by its own name.

    It is all root's, as in a context, unless `options` say otherwise. A name that begins with
    `.wh.` cannot be kept in a layer, and is refused.
    """
    node = source.node(path)
    if node is None:
        raise errdefs.invalid(f'"/{decoded(path)}": not found in {_CONTEXT}')
    unit = Selected(source, path, path.rpartition(b"/")[2], node)
    return CopyPlan([unit], "/", slash=True, target=None, options=options)


def _inline(file: InlineFile) -> GivenFile:
    content = encoded(file.content)

    def opened() -> BinaryIO:
        return io.BytesIO(content)

    return GivenFile(
        posixpath.basename(file.name), len(content), hashlib.sha256(content).digest(), opened
    )


def _given(given: GivenFile) -> GivenFile:
    if not given.unpack:
        return given
    with given.open() as stream:
        return given if is_archive(stream) else replace(given, unpack=False)


def _judged(unit: Selected, unpack: bool) -> Selected:
    """The unit, as an archive if it is one and those are unpacked."""
    if not unpack or unit.node.kind != "file" or not unit.node.size:
        return unit
    with unit.tree.open(unit.path) as stream:
        return replace(unit, archive=True) if is_archive(stream) else unit
