"""What a build is given: its contexts, and the Dockerfile among them."""

from __future__ import annotations

import contextlib
import functools
import posixpath
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.build.context import (
    Context,
    ContextFiles,
    Folder,
    SelectedTree,
    ignore_patterns,
    open_remote,
    open_upload,
)
from wherry.build.context.selecting import IGNORE
from wherry.build.dockerfile import Dockerfile, parse, suggestion
from wherry.build.events import Event, VertexStarted
from wherry.build.materials import Material, of_tree
from wherry.build.plan import IMAGE
from wherry.build.request import DEFAULT_AGENT, UPLOAD, BuildRequest
from wherry.build.threads import Stop, in_thread
from wherry.build.vertices import vertex
from wherry.ignore import Patterns
from wherry.layers.files import FileTree, resolve

MAX_DOCKERFILE: Final = 16 << 20
"""Bytes; so many nobody has written by hand."""


@dataclass(frozen=True)
class Sources:
    """`contexts` are the build's own, "", which may be missing, and further ones by name."""

    dockerfile: Dockerfile
    contexts: Mapping[str, Material]


async def sources(
    request: BuildRequest,
    upload: BinaryIO | None,
    folder: Path,
    emit: Callable[[Event], None],
    opened: contextlib.AsyncExitStack,
) -> Sources:
    """Read them. `opened` closes what they have open.

    Raises InvalidArgument for a context that is none, DockerfileError for such a Dockerfile.
    """
    async with vertex(emit, VertexStarted("context", "[internal] load build context")):
        context = await in_thread(lambda stop: _context(request, upload, folder, stop), waits=True)
        if context is not None:
            opened.callback(context.close)
    fetched = await _fetched(request, folder, emit, opened)
    return await in_thread(lambda stop: _sources(request, context, fetched))


async def _fetched(
    request: BuildRequest,
    folder: Path,
    emit: Callable[[Event], None],
    opened: contextlib.AsyncExitStack,
) -> dict[str, Material]:
    """The further contexts that are elsewhere."""
    found: dict[str, Material] = {}
    for name, source in request.contexts.items():
        if source.startswith((UPLOAD, IMAGE)):
            continue
        started = VertexStarted(f"context {name}", f"[context {name}] load from address")
        async with vertex(emit, started):
            fetching = functools.partial(_open_remote, request, source, folder)
            context = await in_thread(fetching, waits=True)
            opened.callback(context.close)
            found[name] = of_tree(f'the context "{name}"', context.tree, lambda path: False)
    return found


def _open_remote(request: BuildRequest, address: str, folder: Path, stop: Stop) -> Context:
    return open_remote(address, folder, stop, request.ssh.get(DEFAULT_AGENT))


def _context(
    request: BuildRequest, upload: BinaryIO | None, folder: Path, stop: Stop
) -> Context | None:
    if request.remote:
        return _open_remote(request, request.remote, folder, stop)
    if upload is None:
        return None
    with upload:
        return open_upload(stop.watch(upload), folder)


def _sources(
    request: BuildRequest, context: Context | None, fetched: Mapping[str, Material]
) -> Sources:
    """In a thread."""
    name = "Dockerfile"
    if request.inline is not None:
        name = request.dockerfile
        dockerfile = parse(request.inline, name)
    elif context is None:
        raise errdefs.invalid("there is no Dockerfile: neither a context nor its text was given")
    else:
        name = name if context.only_dockerfile else _normal(request.dockerfile)
        dockerfile = _dockerfile(context.tree, name)
    contexts = {**fetched, **_uploaded(request.contexts, context)}
    if context is not None and not context.only_dockerfile:
        contexts[""] = _main(context, name, hidden=_folders(request.contexts).values())
    return Sources(dockerfile, contexts)


def _main(context: Context, dockerfile: str, hidden: Collection[bytes]) -> Material:
    """The build's own context.

    Whoever sent it has left out what its .dockerignore names, but for the two files that the engine
    needs to see; an archive that somebody made otherwise stays as it is, as with Docker.
    """
    patterns = ignore_patterns(context.tree, dockerfile)
    own = (dockerfile, f"{dockerfile}{IGNORE}", IGNORE)
    hidden = {*hidden, *_unwanted(context.tree, own, patterns)}
    tree: ContextFiles = context.tree
    if hidden:
        tree = SelectedTree(tree, Patterns(()), hidden)
    return of_tree("the build context", tree, patterns.matches)


def _unwanted(tree: FileTree, own: Iterable[str], patterns: Patterns) -> set[bytes]:
    """Of the files that only the engine needs those that are ignored, and the directories that are
    there for their sake alone."""
    hidden: set[bytes] = set()
    for path in sorted(own):
        while path and patterns.matches(path):
            name = path.encode(errors="surrogateescape")
            node = tree.node(name)
            if node is None or (node.kind == "dir" and not _is_all_hidden(tree, name, hidden)):
                break
            hidden.add(name)
            path = path.rpartition("/")[0]
    return hidden


def _is_all_hidden(tree: FileTree, folder: bytes, hidden: Collection[bytes]) -> bool:
    return all(folder + b"/" + name in hidden for name in tree.names(folder))


def _uploaded(contexts: Mapping[str, str], context: Context | None) -> dict[str, Material]:
    """The further contexts that are folders of the upload."""
    found: dict[str, Material] = {}
    for name, path in _folders(contexts).items():
        if context is None:
            raise errdefs.invalid(f"the context {name} is a folder of an upload, and there is none")
        tree = Folder(context.tree, path)
        patterns = ignore_patterns(tree, "")
        found[name] = of_tree(f'the context "{name}"', tree, patterns.matches)
    return found


def _folders(contexts: Mapping[str, str]) -> dict[str, bytes]:
    """Of further contexts those that are folders of the upload, and where."""
    return {
        name: _normal(source.removeprefix(UPLOAD)).encode(errors="surrogateescape")
        for name, source in contexts.items()
        if source.startswith(UPLOAD)
    }


def _dockerfile(tree: FileTree, name: str) -> Dockerfile:
    """Raises InvalidArgument if the context has none of that name."""
    data = read_file(tree, name, MAX_DOCKERFILE)
    if data is None and name == "Dockerfile":
        data = read_file(tree, "dockerfile", MAX_DOCKERFILE)
    if data is None:
        raise errdefs.invalid(f"Cannot locate specified Dockerfile: {name}{_near(tree, name)}")
    return parse(data, name)


def _normal(path: str) -> str:
    """A path of the context, without what leads nowhere."""
    return posixpath.normpath("/" + path).lstrip("/")


def _near(tree: FileTree, path: str) -> str:
    folder, _, name = path.rpartition("/")
    where = resolve(tree, folder.encode())
    node = tree.node(where)
    if node is None or node.kind != "dir":
        return f" (the context has no directory {folder})"
    names = [other.decode(errors="replace") for other in tree.names(where)]
    return suggestion(name, names)


def read_file(tree: FileTree, path: str, limit: int) -> bytes | None:
    """The content of a small file, or None if there is none. Symlinks stay in the tree.

    Raises InvalidArgument for one that is too large.
    """
    found = resolve(tree, path.encode(errors="surrogateescape"))
    node = tree.node(found)
    if node is None or node.kind != "file":
        return None
    if node.size > limit:
        raise errdefs.invalid(f"{path} has {node.size} bytes, and {limit} are most")
    with tree.open(found) as file:
        return file.read(limit + 1)
