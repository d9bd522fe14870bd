"""What a program says of a build, made the request that an engine is given."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypedDict

from wherry import errdefs
from wherry.build.request import BuildRequest, Output
from wherry.client.buildcontext import ContextError, FolderContext
from wherry.client.packing import END, pack_file
from wherry.engine.outflow import outflow
from wherry.threads import to_thread

Context = str | os.PathLike[str] | AsyncIterator[bytes] | None
"""A folder, a URL or git repository, an archive as it comes, or no files at all."""

_URLS: Final = ("http://", "https://", "git://", "ssh://", "git@", "github.com/")
_ELSEWHERE: Final = (*_URLS, "docker-image://", "oci-layout://", "target:")


class Options(TypedDict, total=False):
    """What `build` takes beside the context.

    `dockerfile` is a path: here if the context is a folder, else in the context; `text` is the
    Dockerfile itself, in its place. `contexts` are further ones by name: folders, or what
    `--build-context` takes. `args` with None are named and have no value. `secrets` are by ID, as
    are `ssh`, sockets of agents on the engine's machine. `outputs` are for results that are no
    image; `AnyEngine.build_output` fetches them.
    """

    tags: Sequence[str]
    dockerfile: str | os.PathLike[str]
    text: str | bytes
    args: Mapping[str, str | None]
    target: str
    labels: Mapping[str, str]
    platform: str
    contexts: Mapping[str, str | os.PathLike[str]]
    secrets: Mapping[str, bytes]
    ssh: Mapping[str, str | os.PathLike[str]]
    network: str
    extra_hosts: Mapping[str, str]
    pull: bool
    no_cache: bool
    no_cache_filter: Sequence[str]
    check: bool
    outputs: Sequence[Output]


class Prepared:
    """A request, and the archive that goes with it."""

    def __init__(self, request: BuildRequest, upload: AsyncIterator[bytes] | None) -> None:
        self.request = request
        self.upload = upload


async def prepare(context: Context, options: Options) -> Prepared:
    """Raises InvalidArgument for what is not there, or makes no sense."""
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        raise TypeError(f"a build has no option {', '.join(sorted(unknown))}")
    if isinstance(context, str) and context.startswith(_URLS):
        return Prepared(_request(options, remote=context), None)
    text = options.get("text")
    if context is None:
        if text is None:
            raise errdefs.invalid("a build without a context needs the Dockerfile's text")
        return Prepared(_request({**options, "text": b""}, dockerfile="Dockerfile"), _alone(text))
    if isinstance(context, AsyncIterator):
        if text is not None:
            raise errdefs.invalid("the Dockerfile of an archive has to be in the archive")
        return Prepared(_request(options), context)
    return await to_thread(_of_folder, os.fspath(context), options)


def _of_folder(root: str, options: Options) -> Prepared:
    if not os.path.isdir(root):
        raise errdefs.invalid(f"unable to prepare context: {root} is no directory")
    given = options.get("contexts", {})
    folders = {name: os.fspath(place) for name, place in given.items() if not _elsewhere(place)}
    text = options.get("text")
    for name, folder in folders.items():
        if not os.path.isdir(folder):
            raise errdefs.invalid(f"context {name}: there is no directory {folder}")
    try:
        folder_context = FolderContext(
            root,
            os.fspath(options.get("dockerfile", "")),
            text=text.encode() if isinstance(text, str) else text,
            folders=folders,
        )
    except ContextError as error:
        raise errdefs.invalid(str(error)) from error
    request = _request(
        {**options, "contexts": _further(given) | folder_context.contexts, "text": b""},
        dockerfile=folder_context.dockerfile,
    )
    return Prepared(request, outflow(_packed(folder_context)))


def _packed(context: FolderContext) -> Generator[bytes]:
    try:
        yield from context.packed()
    except ContextError as error:
        raise errdefs.invalid(str(error)) from error


async def _alone(text: str | bytes) -> AsyncIterator[bytes]:
    """A Dockerfile that copies nothing needs no other file."""
    yield pack_file("Dockerfile", text.encode() if isinstance(text, str) else text) + END


def _request(options: Options, *, remote: str = "", dockerfile: str = "") -> BuildRequest:
    text = options.get("text") or None
    platform = options.get("platform", "")
    return BuildRequest(
        dockerfile=dockerfile or os.fspath(options.get("dockerfile", "Dockerfile")),
        inline=text.encode() if isinstance(text, str) else text,
        remote=remote,
        contexts=_further(options.get("contexts", {})),
        tags=tuple(options.get("tags", ())),
        labels=options.get("labels", {}),
        outputs=tuple(options.get("outputs", ())) or (Output("image"),),
        target=options.get("target", ""),
        build_args=options.get("args", {}),
        platforms=(platform,) if platform else (),
        pull=options.get("pull", False),
        no_cache=options.get("no_cache", False),
        no_cache_filter=tuple(options.get("no_cache_filter", ())),
        check=options.get("check", False),
        network=options.get("network", ""),
        extra_hosts=tuple(options.get("extra_hosts", {}).items()),
        secrets=options.get("secrets", {}),
        ssh={name: Path(place) for name, place in options.get("ssh", {}).items()},
    )


def _further(contexts: Mapping[str, str | os.PathLike[str]]) -> dict[str, str]:
    return {name: os.fspath(place) for name, place in contexts.items() if _elsewhere(place)}


def _elsewhere(place: str | os.PathLike[str]) -> bool:
    return isinstance(place, str) and place.startswith((*_ELSEWHERE, "upload:"))
