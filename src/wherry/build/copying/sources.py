"""What the sources of a COPY stand for in their tree."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from wherry import errdefs
from wherry.build.copying.options import GivenFile, Origin
from wherry.build.copying.wildcards import compile_component, has_wildcards
from wherry.layers.files import FileTree, Node, resolve

_NEAR: Final = 0.6
_MOST_NAMES: Final = 5_000
_PIVOT: Final = "/./"


@dataclass(frozen=True, slots=True)
class Selected:
    """A file or a directory of `tree` that is to be copied.

    `path` has no symlink in it. `name` is what the user called it: a file is called so where it is
    put into a directory. `include` is the pattern of `--parents`, relative to `path`. `archive`: it
    is to be unpacked.
    """

    tree: FileTree
    path: bytes
    name: bytes
    node: Node
    include: str = ""
    archive: bool = False


Unit: TypeAlias = Selected | GivenFile
"""What is copied by itself: hardlinks are kept within one, and not across."""


def select(tree: FileTree, pattern: str, origin: Origin, parents: bool) -> Iterator[Selected]:
    """Everything that a source names; nothing where wildcards match nothing, as in BuildKit.

    Raises InvalidArgument for a path without wildcards that is not there, and for a pattern that
    is none.
    """
    include = ""
    required = ""
    if parents:
        pattern, include = _pivoted(pattern)
        if not any(map(has_wildcards, f"{pattern}/{include}".split("/"))):
            required = posixpath.join(pattern, include)
    path = _normal(pattern)
    if required and tree.node(resolve(tree, encoded(_normal(required)))) is None:
        raise _missing(tree, _normal(required), origin)
    for found in _matches(tree, path):
        whole = resolve(tree, found)
        node = tree.node(whole)
        if node is None:
            raise _missing(tree, decoded(found), origin)
        yield Selected(tree, whole, found.rpartition(b"/")[2], node, include)


def encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def decoded(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _normal(path: str) -> str:
    """Relative to the tree's root, out of which no `..` leads. Symlinks are not looked at."""
    return posixpath.normpath("/" + path).lstrip("/")


def _pivoted(source: str) -> tuple[str, str]:
    """The directory that paths are kept from, and the pattern below it."""
    before, pivot, after = source.partition(_PIVOT)
    if not pivot:
        before, after = "", source
    return before, _normal(after)


def _matches(tree: FileTree, pattern: str) -> Iterator[bytes]:
    """Paths as the pattern spells them, in the order of their names.

    The part before the first wildcard is followed through symlinks; the others name only what is
    there itself.
    """
    parts = pattern.split("/") if pattern else []
    plain = 0
    while plain < len(parts) and not has_wildcards(parts[plain]):
        plain += 1
    if plain == len(parts):
        yield encoded(pattern)
        return
    compiled = [compile_component(part) for part in parts[plain:]]
    found = [resolve(tree, encoded("/".join(parts[:plain])))]
    for expression in compiled:
        found = [
            directory + b"/" + name if directory else name
            for directory in found
            if (node := tree.node(directory)) is not None and node.kind == "dir"
            for name in tree.names(directory)
            if expression.fullmatch(decoded(name))
        ]
    yield from found


def _missing(tree: FileTree, path: str, origin: Origin) -> errdefs.EngineError:
    """What is missing, where, and what could be meant; it begins as BuildKit says it."""
    said = f'"/{path}": not found in {origin.where}'
    node = tree.node(encoded(path))
    if node is not None and node.kind == "symlink":
        leads = decoded(resolve(tree, encoded(path)))
        return errdefs.invalid(f'{said}: it is a symlink to "/{leads}", which is not there')
    if origin.is_ignored(path):
        return errdefs.invalid(f"{said}: .dockerignore leaves it out")
    near = _near(tree, path)
    return errdefs.invalid(f'{said}; is "/{near}" meant?' if near else said)


def _near(tree: FileTree, path: str) -> str:
    """The most similar path that is there: each missing component replaced by one that is."""
    found: list[str] = []
    for part in path.split("/"):
        directory = resolve(tree, encoded("/".join(found)))
        node = tree.node(directory)
        if node is None or node.kind != "dir":
            return ""
        names = [decoded(name) for name in tree.names(directory)[:_MOST_NAMES]]
        if part not in names:
            folded = {name.casefold(): name for name in names}
            close = difflib.get_close_matches(part.casefold(), folded, 1, _NEAR)
            if not close:
                return ""
            part = folded[close[0]]
        found.append(part)
    return "/".join(found)
