"""What somebody who wants an image built can say: the whole of it, judged for its form already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from wherry.build.protocols import Limits

OutputType = Literal["image", "local", "tar", "oci", "docker", "cacheonly"]
OUTPUT_TYPES: tuple[OutputType, ...] = ("image", "local", "tar", "oci", "docker", "cacheonly")

DEFAULT_AGENT = "default"
"""The ID of the ssh agent that is meant where none is named."""

UPLOAD = "upload:"
"""Begins the source of a named context that is a folder of the upload: `upload:contexts/0`."""


class Output(Struct, frozen=True):
    """One thing that a build is to give.

    `image` is an image here, under the request's names. `local` and `tar` are the files of the
    last stage, `oci` and `docker` an archive with the image in it; the client fetches these.
    `cacheonly` is nothing at all. `attributes` are buildx's (`name`, `compression`, ...), without
    `type` and `dest`: where the client puts it is the client's matter.
    """

    type: OutputType
    attributes: Mapping[str, str] = {}


class BuildRequest(Struct, frozen=True, kw_only=True):
    """One build.

    `dockerfile` is a path in the context; `inline`, if given, is the Dockerfile's text in its
    place. `remote` is a URL or a git repository that is the context, "" if the context is uploaded.
    `contexts` are further ones by name: `docker-image://NAME`, a URL, a git repository, or
    `upload:FOLDER` for a folder of the upload, which the main context then does not have.

    `tags` are as the client wrote them. A build argument whose value is None is one that the client
    named without having a value for it: it counts as not given. `no_cache_filter` names stages.
    `platforms` has one member at most until images have several; none means the host's.
    `network` is `""` (the default), `default`, `bridge` (the same), `none`, `host`, or what
    else was asked for, which is refused; `extra_hosts` are (name, address).

    `secrets` are by ID; `ssh` names, by ID, sockets of agents on this host, and `agents` the
    sessions of those that the client forwards, which the engine makes sockets of.
    `cache_from` is named so that a warning can be given. `check` asks for the build checks instead
    of a build, `step_images` for an image of each step. `id` is what the client calls the build, to
    cancel it by.
    `registry_auth` is X-Registry-Config: per registry what it wants to know; never written down.
    """

    id: str = ""
    dockerfile: str = "Dockerfile"
    inline: bytes | None = None
    remote: str = ""
    contexts: Mapping[str, str] = {}

    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    outputs: tuple[Output, ...] = (Output("image"),)

    target: str = ""
    build_args: Mapping[str, str | None] = {}
    platforms: tuple[str, ...] = ()
    pull: bool = False
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    check: bool = False
    step_images: bool = False

    network: str = ""
    extra_hosts: tuple[tuple[str, str], ...] = ()
    limits: Limits = Limits()
    secrets: Mapping[str, bytes] = {}
    ssh: Mapping[str, Path] = {}
    agents: Mapping[str, str] = {}
    registry_auth: Mapping[str, Mapping[str, str]] = {}

    def __repr__(self) -> str:
        """Without what nobody may read in a log."""
        return f"BuildRequest(dockerfile={self.dockerfile!r}, tags={self.tags!r})"
