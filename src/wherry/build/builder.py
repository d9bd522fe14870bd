"""A build from end to end: a request and a context become an image.

    context ──open_upload──> a tree ──.dockerignore──> what COPY sees
                              │
                              └── Dockerfile ──parse, plan──> stages ──> state ──commit──> image

Whatever happens, what a build has opened is closed at its end, and what it has made and no record
or image names is freed.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from msgspec.structs import replace

from wherry import errdefs
from wherry.build import reading
from wherry.build.checking import check_job
from wherry.build.dockerfile import Arg, global_arguments, is_predefined, platform_arguments
from wherry.build.events import BuildStarted, BuildWarning, Built, Event
from wherry.build.flights import Pins
from wherry.build.job import Job, Surroundings
from wherry.build.numbering import Numbering
from wherry.build.plan import Names, plan
from wherry.build.request import BuildRequest
from wherry.build.solver import held
from wherry.build.stages import Stages
from wherry.build.state import State
from wherry.build.threads import finish
from wherry.images.collector import Lease
from wherry.images.making import Made, commit
from wherry.reference import Reference
from wherry.reference import parse as parse_reference
from wherry.spec.platform import Platform
from wherry.spec.platform import parse as parse_platform
from wherry.threads import to_thread

_SECOND = 10**9
_NETWORKS = frozenset(("", "default", "bridge", "none", "host"))


class Builder:
    """Builds images. One serves all builds of an engine, at the same time too.

    built = await builder.build(request, upload, print)
    """

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._closing: set[asyncio.Task[None]] = set()

    async def build(
        self, request: BuildRequest, context: BinaryIO | None, emit: Callable[[Event], None]
    ) -> Built:
        """Build, telling `emit` what happens. `context` is the upload, which a
        thread reads, and closes as soon as it has it.

        Raises BuildFailedError if a step failed, DockerfileError for a Dockerfile that is none, and
        other EngineErrors for what did not come so far. When it is cancelled, what is under way
        ends first, and nothing half made stays.
        """
        names = [_name(tag) for tag in request.tags]
        platform = _platform(request, self._around.host)
        if request.network not in _NETWORKS:
            raise errdefs.not_implemented(
                f"building in the network {request.network!r}: not supported by this version of "
                "Wherry, only default, host and none"
            )
        pins = Pins()
        opened = contextlib.AsyncExitStack()
        try:
            lease = await opened.enter_async_context(held(self._around.collector))
            sources = await reading.sources(request, context, self._around.folder, emit, opened)
            job = await self._job(request, sources, platform, lease, pins, emit)
            if request.check:
                await check_job(job)
                return Built()
            emit(BuildStarted(Numbering(job.dockerfile.meta_args, job.plan).total))
            await check_job(job)
            self._warn(job)
            state = await Stages(job).build()
            wanted = names if _keeps_image(job) else []
            made = await to_thread(_commit, job, state, wanted)
            return _built(made, wanted)
        finally:
            await self._close(opened, pins)

    async def close(self) -> None:
        """Wait until everything that builds have opened is closed."""
        while self._closing:
            await asyncio.wait(self._closing)

    async def _job(
        self,
        request: BuildRequest,
        sources: reading.Sources,
        platform: Platform,
        lease: Lease,
        pins: Pins,
        emit: Callable[[Event], None],
    ) -> Job:
        dockerfile = sources.dockerfile
        given = {name: value for name, value in request.build_args.items() if value is not None}
        always = platform_arguments(self._around.host, platform, request.target, given)
        meta = await to_thread(
            global_arguments, dockerfile.meta_args, always, given, dockerfile.escape
        )
        built = await to_thread(plan, dockerfile, meta, request.target, request.contexts)
        return Job(
            id=secrets.token_hex(8),
            request=request,
            dockerfile=dockerfile,
            plan=built,
            names=Names(dockerfile.stages, request.contexts),
            platform=platform,
            arguments=meta,
            contexts=sources.contexts,
            around=self._around,
            lease=lease,
            pins=pins,
            epoch=_epoch(given.get("SOURCE_DATE_EPOCH")),
            emit=emit,
        )

    def _warn(self, job: Job) -> None:
        unused = sorted(_unused(job))
        if unused:
            names = ", ".join(unused)
            job.emit(BuildWarning(f"One or more build-args [{names}] were not consumed"))
        if job.request.cache_from:
            job.emit(BuildWarning("--cache-from is ignored: the cache is this engine's own"))

    async def _close(self, opened: contextlib.AsyncExitStack, pins: Pins) -> None:
        """Close what a build has opened; later, if its work goes on for another build."""

        async def close() -> None:
            await pins.released()
            await opened.aclose()

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        if not pins.held:
            await finish(task)


def _unused(job: Job) -> Iterator[str]:
    """Arguments that the client gives and nothing in the Dockerfile declares."""
    declared = {
        one.name
        for instruction in job.dockerfile.instructions()
        if isinstance(instruction, Arg)
        for one in instruction.arguments
    }
    for name in job.given:
        if name not in declared and name not in job.arguments and not is_predefined(name):
            yield name


def _commit(job: Job, state: State, names: list[Reference]) -> Made:
    """In a thread: the image as it was wanted."""
    now = time.time_ns() if job.epoch is None else job.epoch
    config = state.config(now)
    if job.request.labels:
        labels = {**config.config.labels, **job.request.labels}
        config = replace(config, config=replace(config.config, labels=labels))
    return commit(config, job.around.collector, job.lease, names, hidden=not _keeps_image(job))


def _keeps_image(job: Job) -> bool:
    """Whether the image is wanted here, and not only what is made of it."""
    return any(one.type == "image" for one in job.request.outputs)


def _built(made: Made, names: list[Reference]) -> Built:
    # Encoders know strings, and no kinds of them.
    image, digest = str(made.id), str(made.manifest.digest)
    metadata: dict[str, object] = {
        "containerimage.config.digest": image,
        "containerimage.digest": digest,
        "containerimage.descriptor": {
            "mediaType": made.manifest.media_type,
            "digest": digest,
            "size": made.manifest.size,
        },
    }
    if names:
        metadata["image.name"] = ",".join(str(name) for name in names)
    return Built(
        image=image,
        digest=digest,
        tags=tuple(name.familiar() for name in names),
        metadata=metadata,
    )


def _name(tag: str) -> Reference:
    reference = parse_reference(tag)
    if reference.digest is not None:
        raise errdefs.invalid(f"invalid tag {tag!r}: an image is not built under a digest")
    return reference.tagged()


def _platform(request: BuildRequest, host: Platform) -> Platform:
    if not request.platforms:
        return host
    if len(request.platforms) > 1:
        raise errdefs.invalid(
            "several platforms in one build are not supported; build each by itself"
        )
    return parse_platform(request.platforms[0])


def _epoch(text: str | None) -> int | None:
    """SOURCE_DATE_EPOCH, in ns. Raises InvalidArgument."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise errdefs.invalid(f"SOURCE_DATE_EPOCH is seconds since 1970, not {text!r}")
    return int(text) * _SECOND
