"""A daemon as a `Backend`: the same calls and the same objects, over the Engine API."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.json import Decoder

from wherry import errdefs
from wherry.build.events import BuildFailedError, Built, Event, Failed
from wherry.build.request import BuildRequest
from wherry.build.usage import CacheEntry
from wherry.client import calls
from wherry.client.building import build_image
from wherry.engine.model import (
    ContainerInspect,
    ContainerSummary,
    CreateRequest,
    CreateResponse,
    EventMessage,
    EventOptions,
    ImageDeleteItem,
    ImageHistoryItem,
    ImageInspect,
    ImageSummary,
    ImportRequest,
    JSONMessage,
    LogOptions,
    LogStream,
    SystemInfo,
    SystemVersion,
    WaitResult,
)

if TYPE_CHECKING:
    from wherry.client.aio import AsyncEngineClient, AsyncResponse
    from wherry.client.calls import Call
    from wherry.library.backend import Filters

T = TypeVar("T")

_NANOS: Final = 1_000_000_000
_EVENTS: Final[Decoder[Event]] = Decoder(Event)
_MESSAGES: Final = Decoder(JSONMessage)
_HAPPENED: Final = Decoder(EventMessage)


class Remote:
    """The four nouns of one daemon."""

    def __init__(self, client: AsyncEngineClient) -> None:
        self.containers = Containers(client)
        self.images = Images(client)
        self.builds = Builds(client)
        self.system = System(client)


class Containers:
    def __init__(self, client: AsyncEngineClient) -> None:
        self._client = client

    async def create(
        self, name: str | None, request: CreateRequest, platform: str | None
    ) -> CreateResponse:
        call = calls.create_container(msgspec.to_builtins(request), name or "", platform or "")
        return await _document(self._client, call, CreateResponse)

    async def start(self, ref: str) -> None:
        await _change(self._client, calls.start_container(ref))

    async def inspect(self, ref: str, size: bool) -> ContainerInspect:
        return await _document(self._client, calls.inspect_container(ref, size), ContainerInspect)

    async def list(
        self,
        all: bool,  # noqa: A002 - the API's own word
        limit: int,
        size: bool,
        filters: Filters,
    ) -> Sequence[ContainerSummary]:
        call = calls.list_containers(all, limit, size, filters)
        return await _document(self._client, call, list[ContainerSummary])

    async def logs(self, ref: str, options: LogOptions) -> LogStream:
        tty = (await self.inspect(ref, False)).config.tty
        call = calls.container_logs(
            ref,
            follow=options.follow,
            since=_moment(options.since),
            until=_moment(options.until),
            tail="" if options.tail is None else str(options.tail),
            timestamps=options.timestamps,
            details=options.details,
        )
        wanted = {"stdout": options.stdout, "stderr": options.stderr}
        call.query = [(key, value) for key, value in call.query if wanted.get(key, True)]
        return LogStream(tty, (await self._client.request(call)).pieces())

    async def resize(self, ref: str, height: int, width: int) -> None:
        await _change(self._client, calls.resize_container(ref, height, width))

    async def rename(self, ref: str, name: str) -> None:
        await _change(self._client, calls.rename_container(ref, name))

    async def wait(self, ref: str, condition: str) -> Waiting:
        return Waiting(await self._client.request(calls.wait_container(ref, condition)))

    async def stop(self, ref: str, timeout: int | None, signal: str | None) -> None:
        await _change(self._client, calls.stop_container(ref, timeout, signal or ""))

    async def kill(self, ref: str, signal: str) -> None:
        await _change(self._client, calls.kill_container(ref, signal))

    async def remove(self, ref: str, force: bool, volumes: bool, link: bool) -> None:
        await _change(self._client, calls.remove_container(ref, force, volumes, link))


class Waiting:
    """A wait that the daemon has begun."""

    def __init__(self, response: AsyncResponse) -> None:
        self._response = response

    async def result(self) -> WaitResult:
        try:
            return _decoded(await self._response.read(), WaitResult)
        finally:
            self._response.close()


class Images:
    def __init__(self, client: AsyncEngineClient) -> None:
        self._client = client

    async def list(
        self,
        all: bool,  # noqa: A002 - the API's own word
        filters: Filters,
        digests: bool,
        shared_size: bool,
    ) -> Sequence[ImageSummary]:
        call = calls.list_images(all, digests, filters)
        return await _document(self._client, call, list[ImageSummary])

    async def inspect(self, ref: str) -> ImageInspect:
        return await _document(self._client, calls.inspect_image(ref), ImageInspect)

    async def history(self, ref: str) -> Sequence[ImageHistoryItem]:
        return await _document(self._client, calls.image_history(ref), list[ImageHistoryItem])

    async def load(self, stream: AsyncIterator[bytes], quiet: bool) -> AsyncIterator[JSONMessage]:
        response = await self._client.request(calls.load_images(quiet), stream)
        async for message in _lines(response, _MESSAGES):
            yield message

    async def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        response = await self._client.request(calls.save_images(refs))
        async for piece in response.pieces():
            yield piece

    async def import_image(self, stream: AsyncIterator[bytes], request: ImportRequest) -> str:
        name = f"{request.repo}:{request.tag}" if request.tag else request.repo
        call = calls.import_image(name, request.message, request.changes, request.platform)
        image_id = ""
        async for message in _lines(await self._client.request(call, stream), _MESSAGES):
            if message.error:
                raise errdefs.invalid(message.error)
            image_id = message.status or image_id
        return image_id

    async def tag(self, ref: str, repo: str, tag: str) -> None:
        await _change(self._client, calls.tag_image(ref, repo, tag))

    async def delete(self, ref: str, force: bool, noprune: bool) -> Sequence[ImageDeleteItem]:
        call = calls.remove_image(ref, force, noprune)
        return await _document(self._client, call, list[ImageDeleteItem])


class Builds:
    def __init__(self, client: AsyncEngineClient) -> None:
        self._client = client

    async def build(
        self,
        request: BuildRequest,
        context: AsyncIterator[bytes] | None,
        emit: Callable[[Event], None],
    ) -> Built:
        response = await self._client.request(_build_call(request), context)
        built: Built | None = None
        # Closing the connection before its end is how a build is cancelled.
        async for event in _lines(response, _EVENTS):
            match event:
                case Built():
                    built = event
                case Failed():
                    raise BuildFailedError(errdefs.Kind.INVALID_ARGUMENT, event.failure)
                case _:
                    emit(event)
        if built is None:
            raise errdefs.unavailable("the daemon went away while it was building")
        return built

    async def cache(self) -> Sequence[CacheEntry]:
        found = await _document(self._client, calls.build_cache(), list[_CacheEntry])
        return [entry.entry() for entry in found]

    async def output(self, output_id: str) -> AsyncIterator[bytes]:
        call = calls.build_output(f"/wherry/builds/{output_id}/output")
        async for piece in (await self._client.request(call)).pieces():
            yield piece


class System:
    def __init__(self, client: AsyncEngineClient) -> None:
        self._client = client

    async def version(self) -> SystemVersion:
        return await _document(self._client, calls.version(), SystemVersion)

    async def info(self) -> SystemInfo:
        return await _document(self._client, calls.info(), SystemInfo)

    def events(self, options: EventOptions) -> RemoteEvents:
        return RemoteEvents(self._client, options)


class RemoteEvents:
    """A daemon's events. It listens from `open` on, or else from the first of them on."""

    def __init__(self, client: AsyncEngineClient, options: EventOptions) -> None:
        self._client = client
        self._options = options
        self._response: AsyncResponse | None = None
        self._events: AsyncGenerator[EventMessage] | None = None

    async def open(self) -> None:
        if self._response is None:
            options = self._options
            call = calls.events(_moment(options.since), _moment(options.until), options.filters)
            self._response = await self._client.request(call)
            self._events = _lines(self._response, _HAPPENED)

    def __aiter__(self) -> RemoteEvents:
        return self

    async def __anext__(self) -> EventMessage:
        await self.open()
        assert self._events is not None
        return await anext(self._events)

    async def aclose(self) -> None:
        if self._events is not None and self._response is not None:
            self._response.close()
            await self._events.aclose()


class _CacheEntry(Struct, rename="pascal", kw_only=True):
    """The Engine API's form of a `CacheEntry`."""

    id: str = msgspec.field(name="ID")
    type: str
    description: str
    size: int
    created_at: str
    parents: tuple[str, ...] | None = None
    in_use: bool = False
    shared: bool = False
    last_used_at: str | None = None
    usage_count: int = 0

    def entry(self) -> CacheEntry:
        plain = msgspec.structs.asdict(self)
        plain |= {"parents": self.parents or (), "last_used_at": self.last_used_at or ""}
        return msgspec.convert(plain, CacheEntry)


def _build_call(request: BuildRequest) -> Call:
    """What `wherry.api.building.request` reads."""
    query = [("dockerfile", request.dockerfile), *(("t", tag) for tag in request.tags)]
    texts = {
        "remote": request.remote,
        "target": request.target,
        "networkmode": request.network,
        "platform": ",".join(request.platforms),
        "buildid": request.id,
        "buildargs": _json(request.build_args),
        "labels": _json(request.labels),
        "pull": "1" if request.pull else "",
        "nocache": "1" if request.no_cache else "",
    }
    query += [(name, text) for name, text in texts.items() if text]
    query += [("extrahosts", f"{name}:{address}") for name, address in request.extra_hosts]
    extras: dict[str, object] = {
        "secrets": {
            name: base64.b64encode(secret).decode() for name, secret in request.secrets.items()
        },
        "ssh": {name: str(path) for name, path in request.ssh.items()},
        "contexts": dict(request.contexts),
        "outputs": [
            {"type": output.type, "attributes": dict(output.attributes)}
            for output in request.outputs
        ],
        "no_cache_filter": list(request.no_cache_filter),
        "check": request.check,
    }
    inline = request.inline if request.remote else None
    return build_image(query, extras, dockerfile=inline)


def _json(given: Mapping[str, str | None] | Mapping[str, str]) -> str:
    return msgspec.json.encode(given).decode() if given else ""


def _moment(nanoseconds: int) -> str:
    return f"{nanoseconds // _NANOS}.{nanoseconds % _NANOS:09d}" if nanoseconds else ""


async def _change(client: AsyncEngineClient, call: Call) -> None:
    """NotModified where there was nothing to do, as from an engine of our own."""
    response = await client.request(call)
    await response.read()
    if response.status == errdefs.Kind.NOT_MODIFIED.value:
        raise errdefs.EngineError(errdefs.Kind.NOT_MODIFIED, "there is nothing to do")


async def _document(client: AsyncEngineClient, call: Call, wanted: type[T]) -> T:
    return _decoded(await (await client.request(call)).read(), wanted)


def _decoded(body: bytes, wanted: type[T]) -> T:
    return _understood(Decoder(wanted), body)


def _understood(decoder: Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise errdefs.unavailable(f"the daemon's answer is not understood: {error}") from error


async def _lines(response: AsyncResponse, decoder: Decoder[T]) -> AsyncGenerator[T]:
    """One document to a line, each as soon as it has come."""
    rest = b""
    try:
        async for piece in response.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in filter(bytes.strip, lines):
                yield _understood(decoder, line)
        if rest.strip():
            yield _understood(decoder, rest)
    finally:
        response.close()
