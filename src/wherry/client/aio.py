"""`AsyncEngineClient`: the Engine API for programs that wait for much at once, such as tests."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from wherry.client import calls
from wherry.client.address import UnixAddress
from wherry.client.connection import MAX_DOCUMENT, READ_SIZE
from wherry.client.errors import broken, daemon_error, unreachable, vanished
from wherry.client.http import (
    Data,
    Head,
    ProtocolError,
    ResponseParser,
    encode_chunk,
    encode_request,
)
from wherry.client.jsontext import loads
from wherry.threads import to_waiting_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
    from types import TracebackType

    from wherry.client.address import Address
    from wherry.client.building import BuildEvent, CacheEntry, Pruned
    from wherry.client.calls import Call, Filters
    from wherry.client.documents import (
        ContainerInspect,
        ContainerSummary,
        CreateResponse,
        DiskUsage,
        EventMessage,
        HistoryItem,
        ImageDeleteItem,
        ImageSummary,
        ProgressMessage,
        Version,
        WaitResponse,
    )
    from wherry.client.http import Event


class AsyncResponse:
    """An answer whose head is read, on a connection of its own. Read it to its end, or close it."""

    def __init__(
        self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._parser = ResponseParser(call.method, upgrade=call.upgrade)
        self._events: list[Event] = []
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.upgraded = False

    async def read_head(self) -> None:
        while not self._events:
            self._events += self._parser.feed(await self._receive())
        head = self._events.pop(0)
        assert isinstance(head, Head)
        self.status, self.headers, self.upgraded = head.status, head.headers, head.upgraded

    async def _receive(self) -> bytes:
        try:
            return await self.reader.read(READ_SIZE)
        except ConnectionError:
            return b""

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises EngineError if it stops before its end."""
        try:
            while True:
                events, self._events = self._events, []
                for event in events:
                    if isinstance(event, Data):
                        yield event.data
                if self._parser.done:
                    return
                self._events = self._parser.feed(await self._receive())
        except ProtocolError as error:
            raise broken(str(error)) from error
        finally:
            self.close()

    async def read(self, limit: int = MAX_DOCUMENT) -> bytes:
        """The whole body, at most `limit` bytes."""
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) > limit:
                raise broken(f"the daemon's answer is longer than {limit} bytes")
        return bytes(body)

    def early(self) -> bytes:
        """What was read of a hijacked stream together with the head; the rest is in `reader`."""
        events, self._events = self._events, []
        return b"".join(event.data for event in events if isinstance(event, Data))

    def close(self) -> None:
        self.writer.close()


class AsyncStream:
    """A hijacked connection: a container's raw or multiplexed stream, and its input."""

    def __init__(self, response: AsyncResponse) -> None:
        self._response = response
        self._early = response.early()

    async def read(self) -> bytes:
        """The next bytes, or none at the end."""
        if self._early:
            early, self._early = self._early, b""
            return early
        return await self._response.reader.read(READ_SIZE)

    async def write(self, data: bytes) -> None:
        self._response.writer.write(data)
        await self._response.writer.drain()

    def write_eof(self) -> None:
        """End the container's input; its output still comes."""
        self._response.writer.write_eof()

    async def close(self) -> None:
        self._response.close()
        await self._response.writer.wait_closed()

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class AsyncEngineClient:
    """Calls to one daemon, each over a connection of its own.

    The version is negotiated with the first call. Every method raises EngineError: of the kind
    that the daemon answered with, or Unavailable if it doesn't answer.
    """

    def __init__(self, address: Address, version: str | None = None) -> None:
        """`version` is spoken without asking the daemon for its own."""
        self.address = address
        self._version = version

    async def api_version(self) -> str:
        """The version that both sides know."""
        if self._version is None:
            response = await self._send(calls.ping(), None, None)
            response.close()
            self._version = calls.negotiate(response.headers.get("api-version"))
        return self._version

    async def request(
        self, call: Call, stream: AsyncIterable[bytes] | None = None
    ) -> AsyncResponse:
        """Send `call`, with `stream` as its body if given; the answer with its head read."""
        return await self._send(call, await self.api_version(), stream)

    async def _send(
        self, call: Call, version: str | None, stream: AsyncIterable[bytes] | None
    ) -> AsyncResponse:
        reader, writer, why = await _connect(self.address)
        response = AsyncResponse(call, reader, writer)
        try:
            await _send_request(writer, call, version, stream)
            await response.read_head()
            if response.status >= 400:
                raise daemon_error(response.status, await response.read())
        except ProtocolError as error:
            response.close()
            reason = await to_waiting_thread(why) if why is not None else ""
            if reason:
                raise vanished(self.address, reason) from error
            raise broken(str(error)) from error
        except BaseException:
            response.close()
            raise
        return response

    async def _do(self, call: Call) -> None:
        await (await self.request(call)).read()

    async def _document(self, call: Call) -> Any:  # noqa: ANN401  the caller says which it asked for
        try:
            return loads(await (await self.request(call)).read())
        except ValueError as error:
            raise broken(f"the daemon's answer is no JSON: {error}") from error

    # System

    async def version(self) -> Version:
        document: Version = await self._document(calls.version())
        return document

    async def info(self) -> dict[str, object]:
        document: dict[str, object] = await self._document(calls.info())
        return document

    async def events(self, call: Call) -> AsyncIterator[EventMessage]:
        """What happens, each when it has happened; without end if the call has no `until`."""
        async for event in self._messages(call, None):
            yield event

    async def disk_usage(self, types: Sequence[str] = ()) -> DiskUsage:
        document: DiskUsage = await self._document(calls.disk_usage(types))
        return document

    # Containers

    async def containers(
        self,
        all: bool = False,  # noqa: A002  the API's own word
        limit: int = 0,
        size: bool = False,
        filters: Filters | None = None,
    ) -> list[ContainerSummary]:
        call = calls.list_containers(all, limit, size, filters)
        document: list[ContainerSummary] = await self._document(call)
        return document

    async def create_container(
        self, body: Mapping[str, object], name: str = "", platform: str = ""
    ) -> CreateResponse:
        call = calls.create_container(body, name, platform)
        document: CreateResponse = await self._document(call)
        return document

    async def start(self, ref: str, detach_keys: str = "") -> None:
        await self._do(calls.start_container(ref, detach_keys))

    async def stop(self, ref: str, timeout: int | None = None, signal: str = "") -> None:
        await self._do(calls.stop_container(ref, timeout, signal))

    async def restart(self, ref: str, timeout: int | None = None, signal: str = "") -> None:
        await self._do(calls.restart_container(ref, timeout, signal))

    async def rename(self, ref: str, name: str) -> None:
        await self._do(calls.rename_container(ref, name))

    async def kill(self, ref: str, signal: str = "") -> None:
        await self._do(calls.kill_container(ref, signal))

    async def remove(
        self, ref: str, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        await self._do(calls.remove_container(ref, force, volumes, link))

    async def resize(self, ref: str, height: int, width: int) -> None:
        await self._do(calls.resize_container(ref, height, width))

    async def inspect(self, ref: str) -> ContainerInspect:
        document: ContainerInspect = await self._document(calls.inspect_container(ref))
        return document

    async def wait(self, ref: str, condition: str = "") -> AsyncWaiting:
        """Register a wait: when this returns, no exit can be missed any more."""
        return AsyncWaiting(await self.request(calls.wait_container(ref, condition)))

    async def attach(self, call: Call) -> AsyncStream:
        """The stream of an attach call; close it."""
        response = await self.request(call)
        if not response.upgraded:
            response.close()
            raise broken("the daemon answered where it should have opened a stream")
        return AsyncStream(response)

    async def logs(self, call: Call) -> AsyncIterator[bytes]:
        """A logs call's bytes: frames, or raw output of a container with a terminal."""
        async for piece in (await self.request(call)).pieces():
            yield piece

    # Images

    async def images(
        self,
        all: bool = False,  # noqa: A002  the API's own word
        digests: bool = False,
        filters: Filters | None = None,
    ) -> list[ImageSummary]:
        call = calls.list_images(all, digests, filters)
        document: list[ImageSummary] = await self._document(call)
        return document

    async def history(self, ref: str) -> list[HistoryItem]:
        """The steps that made an image, the newest first."""
        document: list[HistoryItem] = await self._document(calls.image_history(ref))
        return document

    async def load(
        self, archive: AsyncIterable[bytes], quiet: bool = False
    ) -> AsyncIterator[ProgressMessage]:
        """Send an archive; the daemon's messages, each as soon as it has come."""
        async for message in self._messages(calls.load_images(quiet), archive):
            yield message

    async def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        """An archive of images; EngineError comes with its first piece."""
        async for piece in (await self.request(calls.save_images(refs))).pieces():
            yield piece

    async def import_image(
        self,
        archive: AsyncIterable[bytes],
        name: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        platform: str = "",
    ) -> str:
        """Make an image of a root file system's tar; its ID."""
        call = calls.import_image(name, message, changes, platform)
        image_id = ""
        async for said in self._messages(call, archive):
            image_id = said.get("status", image_id)
        return image_id

    async def _messages(
        self, call: Call, archive: AsyncIterable[bytes] | None
    ) -> AsyncIterator[Any]:
        response = await self.request(call, archive)
        rest = b""
        try:
            async for piece in response.pieces():
                *lines, rest = (rest + piece).split(b"\n")
                for line in filter(bytes.strip, lines):
                    yield loads(line)
            if rest.strip():
                yield loads(rest)
        finally:
            response.close()

    async def tag(self, ref: str, repository: str, tag: str) -> None:
        await self._do(calls.tag_image(ref, repository, tag))

    async def remove_image(
        self, ref: str, force: bool = False, noprune: bool = False
    ) -> list[ImageDeleteItem]:
        call = calls.remove_image(ref, force, noprune)
        document: list[ImageDeleteItem] = await self._document(call)
        return document

    # Builds

    async def build(
        self, call: Call, context: AsyncIterable[bytes] | None = None
    ) -> AsyncIterator[BuildEvent]:
        """What a build says, of a call of `building.build_image`; `context` is its tar.

        Raises EngineError if the build is refused; one that fails says so in its last event.
        Closing the iterator early cancels the build.
        """
        async for event in self._messages(call, context):
            yield event

    async def build_output(self, path: str) -> AsyncIterator[bytes]:
        """A result of a build, which is there to be fetched once: a tar."""
        async for piece in (await self.request(calls.build_output(path))).pieces():
            yield piece

    async def build_cache(self) -> list[CacheEntry]:
        document: list[CacheEntry] = await self._document(calls.build_cache())
        return document

    async def prune_build_cache(self, call: Call) -> Pruned:
        document: Pruned = await self._document(call)
        return document


class AsyncWaiting:
    """A registered wait."""

    def __init__(self, response: AsyncResponse) -> None:
        self._response = response

    async def result(self) -> WaitResponse:
        """The exit, when it has come. Raises EngineError if the daemon goes away before."""
        document: WaitResponse = loads(await self._response.read())
        return document

    def close(self) -> None:
        self._response.close()


async def _connect(
    address: Address,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Callable[[], str] | None]:
    """A connection, and what to ask, in a thread, about its end without an answer."""
    if isinstance(address, UnixAddress):
        try:
            return *await asyncio.open_unix_connection(address.path), None
        except OSError as error:
            raise unreachable(address, error) from error
    link = await to_waiting_thread(address.dial)
    # What the blocking client has is the plain class below this one.
    connected = socket.socket(fileno=link.socket.detach())
    connected.setblocking(False)
    return *await asyncio.open_connection(sock=connected), link.why


async def _send_request(
    writer: asyncio.StreamWriter,
    call: Call,
    version: str | None,
    stream: AsyncIterable[bytes] | None,
) -> None:
    headers = call.headers()
    body = call.body
    if stream is not None:
        headers.append(("Transfer-Encoding", "chunked"))
    elif body is None and call.method == "POST":
        body = b""
    writer.write(encode_request(call.method, call.target(version), headers, body))
    try:
        await writer.drain()
        if stream is not None:
            async for piece in stream:
                if piece:
                    writer.write(encode_chunk(piece))
                    await writer.drain()
            writer.write(encode_chunk(b""))
            await writer.drain()
    except ConnectionError:
        return  # the daemon refused early and closed; what it said is still to be read
