"""An engine that only pretends, and the API served over it on a real socket."""

import asyncio
import contextlib
import hashlib
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from certificates import Certificates, issue
from fakebuilds import FakeBuilds

from wherry import errdefs
from wherry.api.application import Api
from wherry.api.http.server import Server
from wherry.client.address import Address, UnixAddress
from wherry.client.remote import TcpAddress
from wherry.client.remote import TlsFiles as ClientFiles
from wherry.daemon.credentials import TlsFiles
from wherry.engine.events import Events, Listener
from wherry.engine.model import (
    AttachedStream,
    AttachOptions,
    BuildCache,
    ContainerInspect,
    ContainerSummary,
    CreateRequest,
    CreateResponse,
    Descriptor,
    DiskUsage,
    EndpointSettings,
    EventOptions,
    HostConfig,
    ImageDeleteItem,
    ImageHistoryItem,
    ImageInspect,
    ImageSummary,
    ImportRequest,
    JSONMessage,
    LogOptions,
    LogStream,
    MountPoint,
    NetworkSettings,
    State,
    SystemInfo,
    SystemVersion,
    VersionComponent,
    WaitResult,
)

Shim = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """`cat` without a terminal."""
    while data := await reader.read(65536):
        writer.write(frame(1, data))
        await writer.drain()


@dataclass
class FakeContainer:
    id: str
    name: str
    request: CreateRequest
    state: str = "created"
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    signals: list[str] = field(default_factory=list)
    size: tuple[int, int] | None = None


class FakeWaiter:
    def __init__(self, container: FakeContainer) -> None:
        self.container = container

    async def result(self) -> WaitResult:
        await self.container.exited.wait()
        return WaitResult(status_code=7)


class FakeContainers:
    def __init__(self) -> None:
        self.all: dict[str, FakeContainer] = {}
        self.shim: Shim = echo
        self.options: list[object] = []
        self.log_chunks: list[bytes] = []
        self.log_closed = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.start_gate: asyncio.Event | None = None

    def find(self, ref: str) -> FakeContainer:
        for container in self.all.values():
            if ref in (container.id, container.name) or container.id.startswith(ref):
                return container
        raise errdefs.not_found(f"No such container: {ref}")

    async def create(
        self, name: str | None, request: CreateRequest, platform: str | None
    ) -> CreateResponse:
        if request.image == "bug":
            raise ZeroDivisionError("a bug")
        if request.image != "busybox":
            raise errdefs.not_found(f"No such image: {request.image}")
        identity = hashlib.sha256(str(len(self.all)).encode()).hexdigest()
        name = name or f"c{len(self.all)}"
        if any(c.name == name for c in self.all.values()):
            raise errdefs.conflict(f'The container name "/{name}" is already in use')
        self.all[identity] = FakeContainer(identity, name, request)
        return CreateResponse(id=identity)

    async def start(self, ref: str) -> None:
        container = self.find(ref)
        if container.state == "running":
            raise errdefs.EngineError(errdefs.Kind.NOT_MODIFIED, "already running")
        if self.start_gate is not None:
            await self.start_gate.wait()
        container.state = "running"
        container.started.set()

    async def inspect(self, ref: str, size: bool) -> ContainerInspect:
        container = self.find(ref)
        return ContainerInspect(
            id=container.id,
            created="2026-01-01T00:00:00.5Z",
            name=f"/{container.name}",
            path="cat",
            state=State(status=container.state, running=container.state == "running"),
            config=container.request.config(),
            host_config=container.request.host_config,
            mounts=[MountPoint(type="bind", source="/a", destination="/b")],
            network_settings=NetworkSettings(networks={"none": EndpointSettings()}),
        )

    async def list(self, all, limit, size, filters) -> Sequence[ContainerSummary]:  # noqa: A002
        self.options.append((all, limit, size, filters))
        return [
            ContainerSummary(id=c.id, names=[f"/{c.name}"], state=c.state, status="Up")
            for c in self.all.values()
            if all or c.state == "running"
        ]

    async def logs(self, ref: str, options: LogOptions) -> LogStream:
        container = self.find(ref)
        self.options.append(options)

        async def chunks() -> AsyncIterator[bytes]:
            try:
                for chunk in self.log_chunks:
                    yield chunk
                if options.follow:
                    await container.exited.wait()
            finally:
                self.log_closed.set()

        return LogStream(container.request.tty, chunks())

    async def attach(self, ref: str, options: AttachOptions) -> AttachedStream:
        container = self.find(ref)
        self.options.append(options)
        ours, theirs = socket.socketpair()
        shim = self.shim

        async def run() -> None:
            await container.started.wait()
            reader, writer = await asyncio.open_unix_connection(sock=theirs)
            with contextlib.suppress(ConnectionError):
                await shim(reader, writer)
            writer.close()
            container.state = "exited"
            container.exited.set()

        task = asyncio.create_task(run())
        self.tasks.add(task)
        history = self._history() if options.logs else None
        return AttachedStream(ours if options.stream else None, container.request.tty, history)

    async def _history(self) -> AsyncIterator[bytes]:
        for chunk in self.log_chunks:
            yield chunk

    async def detached(self, ref: str) -> None:
        self.options.append(f"detached {ref}")

    async def resize(self, ref: str, height: int, width: int) -> None:
        self.find(ref).size = (height, width)

    async def wait(self, ref: str, condition: str) -> FakeWaiter:
        return FakeWaiter(self.find(ref))

    async def stop(self, ref: str, timeout: int | None, signal: str | None) -> None:
        container = self.find(ref)
        self.options.append((timeout, signal))
        container.state = "exited"
        container.exited.set()

    async def restart(self, ref: str, timeout: int | None, signal: str | None) -> None:
        self.find(ref)
        self.options.append((timeout, signal))

    async def rename(self, ref: str, name: str) -> None:
        self.find(ref).name = name

    async def kill(self, ref: str, signal: str) -> None:
        self.find(ref).signals.append(signal)

    async def remove(self, ref: str, force: bool, volumes: bool, link: bool) -> None:
        del self.all[self.find(ref).id]


class FakeImages:
    def __init__(self) -> None:
        self.loaded = 0
        self.load_ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def list(self, all, filters, digests, shared_size) -> Sequence[ImageSummary]:  # noqa: A002
        return [
            ImageSummary(
                id="sha256:" + "1" * 64,
                repo_tags=["busybox:latest"],
                labels={},
                descriptor=Descriptor(media_type="a/b", digest="sha256:" + "2" * 64, size=3),
            )
        ]

    async def inspect(self, ref: str) -> ImageInspect:
        return ImageInspect(
            id="sha256:" + "1" * 64, repo_tags=[ref], size=5, created="2026-01-01T00:00:00Z"
        )

    async def load(self, stream: AsyncIterator[bytes], quiet: bool) -> AsyncIterator[JSONMessage]:
        try:
            first = await anext(stream, b"")
            if first.startswith(b"bad"):
                raise errdefs.invalid("this is not an archive of images")
            self.loaded += len(first)
            yield JSONMessage(stream="reading\n")
            async for piece in stream:
                self.loaded += len(piece)
                if piece.endswith(b"late error"):
                    raise errdefs.data_loss("a layer's digest lies")
            yield JSONMessage(stream="Loaded image: busybox:latest\n")
        except BaseException as error:
            if not self.load_ended.done():
                self.load_ended.set_result(type(error).__name__)
            raise
        else:
            self.load_ended.set_result("")

    async def history(self, ref: str) -> Sequence[ImageHistoryItem]:
        return [
            ImageHistoryItem(id="sha256:" + "1" * 64, created=5, tags=[ref], size=7, comment="c"),
            ImageHistoryItem(created=4, created_by="RUN x"),
        ]

    async def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        self.save_refs = refs
        self.save_ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            if "nothing" in refs:
                raise errdefs.not_found("No such image: nothing")
            yield b"a "
            if "endless" in refs:
                while True:
                    await asyncio.sleep(0)
                    yield bytes(65536)
            if "damaged" in refs:
                raise errdefs.data_loss("a layer is cut off")
            yield b"tar"
        finally:
            self.save_ended.set_result(None)

    async def import_image(self, stream: AsyncIterator[bytes], request: ImportRequest) -> str:
        self.imported = (request, b"".join([piece async for piece in stream]))
        return "sha256:" + "3" * 64

    async def tag(self, ref: str, repo: str, tag: str) -> None:
        self.tagged = (ref, repo, tag)

    async def delete(self, ref: str, force: bool, noprune: bool) -> Sequence[ImageDeleteItem]:
        return [ImageDeleteItem(untagged=ref), ImageDeleteItem(deleted="sha256:" + "1" * 64)]


class FakeSystem:
    def __init__(self) -> None:
        self.bus = Events()

    async def disk_usage(self, kinds: Collection[str]) -> DiskUsage:
        self.kinds = kinds
        return DiskUsage(
            layers_size=5,
            images=[ImageSummary(id="sha256:" + "1" * 64, size=5)],
            containers=[],
            volumes=[],
            build_cache=[BuildCache(id="abc", size=7)],
        )

    def events(self, options: EventOptions) -> Listener:
        return self.bus.listen(options)

    def end_events(self) -> None:
        self.bus.close()

    async def version(self) -> SystemVersion:
        return SystemVersion(
            version="0.1.0",
            api_version="1.51",
            min_api_version="1.24",
            components=[VersionComponent(name="Engine", version="0.1.0", details={"a": "b"})],
        )

    async def info(self) -> SystemInfo:
        return SystemInfo(id="x", ncpu=2)


class FakeEngine:
    def __init__(self) -> None:
        self.containers = FakeContainers()
        self.images = FakeImages()
        self.builds = FakeBuilds()
        self.system = FakeSystem()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Served:
    """The API over a fake engine, and small ways to talk to it."""

    def __init__(
        self, way: str, address: Address, engine: FakeEngine, api: Api, server: Server
    ) -> None:
        self.way = way
        self.address = address
        self.engine = engine
        self.api = api
        self.server = server

    @staticmethod
    async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
        return await read_head(reader)

    @staticmethod
    async def read_answer(reader: asyncio.StreamReader, method: str = "GET") -> Answer:
        return await read_answer(reader, method)

    @staticmethod
    def frame(stream: int, data: bytes) -> bytes:
        return frame(stream, data)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(sock=await self.dial(), limit=1 << 20)

    async def dial(self) -> socket.socket:
        """A connected socket; over TLS it is a thread that speaks to the server."""
        link = await asyncio.to_thread(self.address.dial)
        dialled = socket.socket(fileno=link.socket.detach())
        if self.way == "tcp":
            dialled.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 128 * 1024)
            dialled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
        return dialled

    async def call(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        reader, writer = await self.connect()
        fields = {"Host": "x", "Connection": "close", **(headers or {})}
        if body is not None:
            fields.setdefault("Content-Type", "application/json")
            fields.setdefault("Content-Length", str(len(body)))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + (body or b""))
        answer = await read_answer(reader, method)
        writer.close()
        return answer


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head[:-4].split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, value in pairs}


async def read_answer(reader: asyncio.StreamReader, method: str = "GET") -> Answer:
    status, headers = await read_head(reader)
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    elif method != "HEAD" and status not in (101, 204, 304):
        body = await reader.readexactly(int(headers["content-length"]))
    return Answer(status, headers, body)


# What a connection is like, whatever it goes over.
_OVER_ALL_WAYS = ("test_attach", "test_http_connection")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    name = metafunc.module.__name__.rpartition(".")[2]
    if name in _OVER_ALL_WAYS and "served" in metafunc.fixturenames:
        metafunc.parametrize("served", ["unix", "tcp", "tls"], indirect=True)


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """The API on a unix socket, or on the way that a test's parameter says."""
    way = getattr(request, "param", "unix")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "api.sock")
        engine = FakeEngine()
        api = Api(engine)
        server = Server(api)
        address: Address
        if way == "unix":
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            address = UnixAddress(path)
            await server.listen(listener)
        else:
            listener = socket.socket()
            # The kernel's buffers grow otherwise, and hide who waits for whom.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
            listener.bind(("127.0.0.1", 0))
            certs = request.getfixturevalue("certs") if way == "tls" else None
            address = TcpAddress("127.0.0.1", listener.getsockname()[1], client_files(certs))
            context = server_files(certs).context() if certs else None
            await server.listen(listener, None if context is None else lambda: context)
        yield Served(way, address, engine, api, server)
        await server.close(0.1)
        for task in engine.containers.tasks:
            task.cancel()
        await asyncio.gather(*engine.containers.tasks, return_exceptions=True)


def client_files(certs: Certificates | None) -> ClientFiles | None:
    if certs is None:
        return None
    return ClientFiles(str(certs.ca), str(certs.client.cert), str(certs.client.key), verify=True)


def server_files(certs: Certificates) -> TlsFiles:
    return TlsFiles(certs.server.cert, certs.server.key, certs.ca)


@pytest.fixture
async def container(served: Served) -> FakeContainer:
    """A container without a terminal, created and not started."""
    created = await served.engine.containers.create(
        "box", CreateRequest(image="busybox", host_config=HostConfig()), None
    )
    return served.engine.containers.find(created.id)
