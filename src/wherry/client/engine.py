"""`EngineClient`: the Engine API for a program with one thread and no patience."""

from __future__ import annotations

from wherry.client import calls
from wherry.client.connection import Connection, StaleConnectionError
from wherry.client.errors import broken, vanished
from wherry.client.jsontext import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from wherry.client.address import Address
    from wherry.client.building import BuildEvent, CacheEntry, Pruned
    from wherry.client.calls import Call, Filters
    from wherry.client.connection import Response
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

MAX_MESSAGE = 1024 * 1024


class EngineClient:
    """Calls to one daemon, over one kept connection and as many as its streams need.

    The version is negotiated with the first call. Every method raises EngineError: of the kind
    that the daemon answered with, or Unavailable if it doesn't answer.

        client = EngineClient(UnixAddress("/run/wherry/wherry.sock"))
        created = client.create_container({"Image": "busybox", "Cmd": ["true"]})
        waiting = client.wait(created["Id"], "next-exit")
        client.start(created["Id"])
        code = waiting.result()["StatusCode"]
    """

    def __init__(self, address: Address, version: str | None = None) -> None:
        """`version` is spoken without asking the daemon for its own."""
        self.address = address
        self._version = version
        self._kept: Connection | None = None

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    @property
    def api_version(self) -> str:
        """The version that both sides know."""
        if self._version is None:
            headers = self._send(calls.ping(), None).headers
            self._version = calls.negotiate(headers.get("api-version"))
        return self._version

    # Transport

    def request(self, call: Call) -> Response:
        """Send over the kept connection, which the answer must be read from before the next."""
        return self._send(call, self.api_version)

    def _send(self, call: Call, version: str | None) -> Response:
        kept = self._kept
        if kept is not None and kept.reusable:
            try:
                return kept.send(call, version)
            except StaleConnectionError:
                if not call.retry:
                    raise vanished(self.address, kept.why()) from None
        self._kept = Connection(self.address)
        try:
            return self._kept.send(call, version)
        except StaleConnectionError:
            raise vanished(self.address, self._kept.why()) from None

    def request_apart(self, call: Call, stream: Iterable[bytes] | None = None) -> Response:
        """Send over a connection of its own: for answers that take their time."""
        version = self.api_version
        connection = Connection(self.address)
        try:
            return connection.send(call, version, stream)
        except StaleConnectionError:
            raise vanished(self.address, connection.why()) from None

    def _do(self, call: Call) -> None:
        self.request(call).read()

    # System

    def version(self) -> Version:
        document: Version = _decode(self.request(calls.version()))
        return document

    def info(self) -> dict[str, object]:
        document: dict[str, object] = _decode(self.request(calls.info()))
        return document

    def events(self, call: Call) -> Iterator[EventMessage]:
        """What happens, each when it has happened; without end if the call has no `until`."""
        return messages(self.request_apart(call))

    def disk_usage(self, types: Sequence[str] = ()) -> DiskUsage:
        document: DiskUsage = _decode(self.request(calls.disk_usage(types)))
        return document

    # Containers

    def containers(
        self,
        all: bool = False,  # noqa: A002  the API's own word
        limit: int = 0,
        size: bool = False,
        filters: Filters | None = None,
    ) -> list[ContainerSummary]:
        call = calls.list_containers(all, limit, size, filters)
        document: list[ContainerSummary] = _decode(self.request(call))
        return document

    def create_container(
        self, body: Mapping[str, object], name: str = "", platform: str = ""
    ) -> CreateResponse:
        call = calls.create_container(body, name, platform)
        document: CreateResponse = _decode(self.request(call))
        return document

    def start(self, ref: str, detach_keys: str = "") -> None:
        self._do(calls.start_container(ref, detach_keys))

    def stop(self, ref: str, timeout: int | None = None, signal: str = "") -> None:
        self._do(calls.stop_container(ref, timeout, signal))

    def restart(self, ref: str, timeout: int | None = None, signal: str = "") -> None:
        self._do(calls.restart_container(ref, timeout, signal))

    def rename(self, ref: str, name: str) -> None:
        self._do(calls.rename_container(ref, name))

    def kill(self, ref: str, signal: str = "") -> None:
        self._do(calls.kill_container(ref, signal))

    def remove(
        self, ref: str, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        self._do(calls.remove_container(ref, force, volumes, link))

    def resize(self, ref: str, height: int, width: int) -> None:
        self._do(calls.resize_container(ref, height, width))

    def inspect(self, ref: str) -> ContainerInspect:
        document: ContainerInspect = _decode(self.request(calls.inspect_container(ref)))
        return document

    def wait(self, ref: str, condition: str = "") -> Waiting:
        """Register a wait: when this returns, no exit can be missed any more."""
        return Waiting(self.request_apart(calls.wait_container(ref, condition)))

    def attach(self, call: Call) -> tuple[_socket.socket, bytes]:
        """The stream of an attach call, and its first bytes."""
        return self.request_apart(call).hijack()

    def logs(self, call: Call) -> Iterator[bytes]:
        """A logs call's bytes: frames, or raw output of a container with a terminal."""
        return self.request_apart(call).pieces()

    # Images

    def images(
        self,
        all: bool = False,  # noqa: A002  the API's own word
        digests: bool = False,
        filters: Filters | None = None,
    ) -> list[ImageSummary]:
        call = calls.list_images(all, digests, filters)
        document: list[ImageSummary] = _decode(self.request(call))
        return document

    def history(self, ref: str) -> list[HistoryItem]:
        """The steps that made an image, the newest first."""
        document: list[HistoryItem] = _decode(self.request(calls.image_history(ref)))
        return document

    def load(self, archive: Iterable[bytes], quiet: bool = False) -> Iterator[ProgressMessage]:
        """Send an archive; the daemon's messages, each as soon as it has come."""
        return messages(self.request_apart(calls.load_images(quiet), archive))

    def save(self, refs: Sequence[str]) -> Iterator[bytes]:
        """An archive of images. Raises EngineError here if there is no such image."""
        return self.request_apart(calls.save_images(refs)).pieces()

    def import_image(
        self,
        archive: Iterable[bytes],
        name: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        platform: str = "",
    ) -> Iterator[ProgressMessage]:
        """Send a root file system's tar; the last message's status is the new image's ID."""
        call = calls.import_image(name, message, changes, platform)
        return messages(self.request_apart(call, archive))

    def pull(self, repository: str, tag: str, platform: str = "") -> Iterator[ProgressMessage]:
        return messages(self.request_apart(calls.pull_image(repository, tag, platform)))

    def tag(self, ref: str, repository: str, tag: str) -> None:
        self._do(calls.tag_image(ref, repository, tag))

    def remove_image(
        self, ref: str, force: bool = False, noprune: bool = False
    ) -> list[ImageDeleteItem]:
        call = calls.remove_image(ref, force, noprune)
        document: list[ImageDeleteItem] = _decode(self.request(call))
        return document

    # Builds

    def build(self, call: Call, context: Iterable[bytes] | None = None) -> BuildEvents:
        """What a build says, of a call of `building.build_image`; `context` is its tar.

        Raises EngineError here if the build is refused; one that fails says so in its last event.
        """
        return BuildEvents(self.request_apart(call, context))

    def build_output(self, path: str) -> Iterator[bytes]:
        """A result of a build, which is there to be fetched once: a tar."""
        return self.request_apart(calls.build_output(path)).pieces()

    def build_cache(self) -> list[CacheEntry]:
        document: list[CacheEntry] = _decode(self.request(calls.build_cache()))
        return document

    def prune_build_cache(self, call: Call) -> Pruned:
        document: Pruned = _decode(self.request(call))
        return document

    def lend_agent(self, session: str, name: str) -> tuple[_socket.socket, bytes]:
        """A connection that an ssh agent may be asked over, and its first bytes."""
        return self.request_apart(calls.lend_agent(session, name)).hijack()


class Waiting:
    """A registered wait; its descriptor is readable when the result is there."""

    def __init__(self, response: Response) -> None:
        self._response = response

    @property
    def ready(self) -> bool:
        """Whether the result came together with the registration."""
        return self._response.buffered

    def fileno(self) -> int:
        return self._response.fileno()

    def result(self) -> WaitResponse:
        """The exit, when it has come. Raises EngineError if the daemon goes away before."""
        document: WaitResponse = _decode(self._response)
        return document

    def close(self) -> None:
        self._response.close()


class BuildEvents:
    """A build's events, each when it has come. Closing this early cancels the build.

    Raises EngineError if the stream stops before its end.
    """

    def __init__(self, response: Response) -> None:
        self._response = response
        self._pieces = response.pieces()
        self._lines: list[bytes] = []
        self._rest = b""

    def __iter__(self) -> BuildEvents:
        return self

    def __next__(self) -> BuildEvent:
        while not self._lines:
            *lines, self._rest = (self._rest + next(self._pieces)).split(b"\n")
            self._lines = [line for line in reversed(lines) if line.strip()]
        event: BuildEvent = _message(self._lines.pop())
        return event

    def wait(self, milliseconds: int) -> bool:
        """Whether there is more to read, or comes within this time; also the stream's end."""
        if self._lines or self._response.buffered:
            return True
        import select

        poller = select.poll()
        poller.register(self._response.fileno(), select.POLLIN)
        return bool(poller.poll(milliseconds))

    def close(self) -> None:
        self._response.close()


def messages(response: Response) -> Iterator[Any]:
    """A body of JSON objects, one to a line, each as soon as it has come."""
    rest = b""
    for piece in response.pieces():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MAX_MESSAGE:
            response.close()
            raise broken("the daemon sent a progress message without an end")
        for line in lines:
            if line.strip():
                yield _message(line)
    if rest.strip():
        yield _message(rest)


def _message(line: bytes) -> Any:  # noqa: ANN401  the caller says what it asked for
    try:
        return loads(line)
    except ValueError as error:
        raise broken(f"the daemon sent a message that is no JSON: {error}") from error


def _decode(response: Response) -> Any:  # noqa: ANN401  the caller says which document it asked for
    try:
        return loads(response.read())
    except ValueError as error:
        raise broken(f"the daemon's answer is no JSON: {error}") from error
