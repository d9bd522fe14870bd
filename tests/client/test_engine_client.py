"""Both clients against a daemon that misbehaves on purpose."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from wherry.client import calls
from wherry.client.address import UnixAddress
from wherry.client.aio import AsyncEngineClient
from wherry.client.engine import EngineClient
from wherry.errdefs import EngineError, Kind

PONG = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: 0\r\n\r\n"
PONG_CLOSING = (
    b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


class Daemon(Protocol):
    address: UnixAddress
    received: list[bytes]

    def then(self, script: object) -> None: ...
    def then_say(self, *answers: bytes) -> None: ...
    def read_request(self, peer: socket.socket) -> bytes: ...


def answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


def test_one_connection_carries_many_calls(daemon: Daemon) -> None:
    daemon.then_say(PONG, answer(200, b"[]"), answer(200, b'{"Version":"1"}'))
    client = EngineClient(daemon.address)
    assert client.containers() == []
    assert client.version()["Version"] == "1"
    assert [request.split()[1] for request in daemon.received] == [
        b"/_ping",
        b"/v1.51/containers/json",
        b"/v1.51/version",
    ]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.INVALID_ARGUMENT),
        (404, Kind.NOT_FOUND),
        (409, Kind.CONFLICT),
        (418, Kind.INVALID_ARGUMENT),
        (500, Kind.INTERNAL),
        (501, Kind.NOT_IMPLEMENTED),
        (503, Kind.UNAVAILABLE),
        (599, Kind.INTERNAL),
    ],
)
def test_an_error_has_its_kind_and_the_daemons_words(
    daemon: Daemon, status: int, kind: Kind
) -> None:
    daemon.then_say(PONG, answer(status, b'{"message":"no such thing: x"}'))
    with pytest.raises(EngineError, match=r"^no such thing: x$") as caught:
        EngineClient(daemon.address).start("x")
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"page not found\n", "page not found"),
        (b"", "the daemon answered with status 500"),
        (b'{"message":7}', "the daemon answered with status 500"),
        (b"[1]", "the daemon answered with status 500"),
    ],
)
def test_an_error_without_a_message_still_says_something(
    daemon: Daemon, body: bytes, message: str
) -> None:
    daemon.then_say(PONG, answer(500, body))
    with pytest.raises(EngineError) as caught:
        EngineClient(daemon.address).start("x")
    assert caught.value.message == message


def test_already_so_is_no_error(daemon: Daemon) -> None:
    daemon.then_say(PONG, b"HTTP/1.1 304 Not Modified\r\n\r\n")
    EngineClient(daemon.address).start("x")


def test_a_stale_connection_is_replaced_for_what_only_reads(daemon: Daemon) -> None:
    daemon.then_say(PONG)  # and closes
    daemon.then_say(answer(200, b"[]"))
    assert EngineClient(daemon.address).containers() == []


def test_a_stale_connection_is_not_silently_replaced_for_what_acts(daemon: Daemon) -> None:
    daemon.then_say(PONG)
    with pytest.raises(EngineError, match="without an answer"):
        EngineClient(daemon.address).start("x")


def test_an_announced_close_is_honoured(daemon: Daemon) -> None:
    daemon.then_say(PONG_CLOSING)
    daemon.then_say(answer(204, b""))
    EngineClient(daemon.address).start("x")


@pytest.mark.parametrize(
    "reply",
    [
        b"no http\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{]}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200",
    ],
)
def test_nonsense_is_unavailable(daemon: Daemon, reply: bytes) -> None:
    daemon.then_say(PONG, reply)
    with pytest.raises(EngineError) as caught:
        EngineClient(daemon.address).containers()
    assert caught.value.kind is Kind.UNAVAILABLE


def test_nobody_listens(tmp_path: Path) -> None:
    address = UnixAddress(str(tmp_path / "nobody.sock"))
    with pytest.raises(EngineError, match="Is the daemon running") as caught:
        EngineClient(address).containers()
    assert caught.value.kind is Kind.UNAVAILABLE


def test_an_upload_refused_early_says_why(daemon: Daemon) -> None:
    def refuse(peer: socket.socket) -> None:
        daemon.read_request(peer)
        peer.sendall(answer(400, b'{"message":"not a tar archive"}'))
        peer.shutdown(socket.SHUT_WR)

    def endless() -> Iterator[bytes]:
        for _ in range(2000):
            yield b"x" * 65536

    daemon.then_say(PONG)
    daemon.then(refuse)
    with pytest.raises(EngineError):
        list(EngineClient(daemon.address).load(endless()))


def test_a_wait_that_is_over_at_once_is_ready(daemon: Daemon) -> None:
    daemon.then_say(PONG)
    daemon.then_say(answer(200, b'{"StatusCode":7}'))
    waiting = EngineClient(daemon.address).wait("x")
    assert waiting.ready
    assert waiting.result() == {"StatusCode": 7}


def test_an_attached_stream_loses_no_early_bytes(daemon: Daemon) -> None:
    def stream(peer: socket.socket) -> None:
        daemon.read_request(peer)
        peer.sendall(b"HTTP/1.1 101 UPGRADED\r\n\r\nearly ")
        assert peer.recv(100) == b"typed"
        assert peer.recv(100) == b""  # half-closed
        peer.sendall(b"late")

    daemon.then_say(PONG)
    daemon.then(stream)
    call = calls.attach_container("x", stdin=True, stdout=True, stderr=True)
    sock, early = EngineClient(daemon.address).attach(call)
    sock.sendall(b"typed")
    sock.shutdown(socket.SHUT_WR)
    rest = b""
    while data := sock.recv(100):
        rest += data
    sock.close()
    assert early + rest == b"early late"
    assert b"Upgrade: tcp" in daemon.received[1]


def test_progress_messages_come_one_by_one(daemon: Daemon) -> None:
    body = b'{"stream":"a\\n"}\r\n{"stream":"b"}\n\n{"error":"c"}'
    daemon.then_say(PONG)

    def reply(peer: socket.socket) -> None:
        received = daemon.read_request(peer)
        while b"0\r\n\r\n" not in received:
            received += peer.recv(65536)
        daemon.received[-1] = received
        peer.sendall(answer(200, body))

    daemon.then(reply)
    messages = list(EngineClient(daemon.address).load(iter([b"tar", b"", b"ball"])))
    assert messages == [{"stream": "a\n"}, {"stream": "b"}, {"error": "c"}]
    assert daemon.received[1].endswith(b"\r\n\r\n3\r\ntar\r\n4\r\nball\r\n0\r\n\r\n")


def test_save_names_all_its_images(daemon: Daemon) -> None:
    daemon.then_say(PONG)
    daemon.then_say(answer(200, b"a tar"))
    client = EngineClient(daemon.address)
    assert b"".join(client.save(["a/b:1", "c"])) == b"a tar"
    assert daemon.received[1].split()[1] == b"/v1.51/images/get?names=a%2Fb%3A1&names=c"


def test_save_of_what_is_not_there_fails_at_once(daemon: Daemon) -> None:
    daemon.then_say(PONG)
    daemon.then_say(answer(404, b'{"message":"No such image: x"}'))
    with pytest.raises(EngineError, match="No such image: x"):
        EngineClient(daemon.address).save(["x"])


def test_an_import_says_everything_in_its_query(daemon: Daemon) -> None:
    daemon.then_say(PONG)
    daemon.then_say(answer(200, b'{"status":"sha256:1"}\r\n'))
    client = EngineClient(daemon.address)
    said = list(client.import_image(iter([]), "a/b:c", "m n", ["CMD x", "ENV A=1"], "linux"))
    assert said == [{"status": "sha256:1"}]
    assert daemon.received[1].split()[1] == (
        b"/v1.51/images/create?fromSrc=-&repo=a%2Fb%3Ac&message=m%20n&platform=linux"
        b"&changes=CMD%20x&changes=ENV%20A%3D1"
    )


# The asyncio client


async def test_async_calls(daemon: Daemon) -> None:
    daemon.then_say(PONG)
    daemon.then_say(answer(200, b'[{"Id":"1"}]'))
    daemon.then_say(answer(404, b'{"message":"gone"}'))
    client = AsyncEngineClient(daemon.address)
    assert [image["Id"] for image in await client.images()] == ["1"]
    with pytest.raises(EngineError, match="gone"):
        await client.kill("x")


async def test_async_wait_is_registered_before_it_is_over(daemon: Daemon) -> None:
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def reply(peer: socket.socket) -> None:
        daemon.read_request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)
        peer.sendall(b'12\r\n{"StatusCode": 3}\n\r\n0\r\n\r\n')

    daemon.then_say(PONG)
    daemon.then(reply)
    waiting = await AsyncEngineClient(daemon.address).wait("x", "next-exit")
    go_on.set()
    assert (await waiting.result())["StatusCode"] == 3


async def test_async_attach(daemon: Daemon) -> None:
    def stream(peer: socket.socket) -> None:
        daemon.read_request(peer)
        peer.sendall(b"HTTP/1.1 101 UPGRADED\r\n\r\nearly ")
        typed = b""
        while data := peer.recv(100):
            typed += data
        peer.sendall(typed)

    daemon.then_say(PONG)
    daemon.then(stream)
    client = AsyncEngineClient(daemon.address)
    call = calls.attach_container("x", stdin=True, stdout=True, stderr=True)
    async with await client.attach(call) as attached:
        await attached.write(b"typed")
        attached.write_eof()
        received = b""
        while data := await attached.read():
            received += data
    assert received == b"early typed"


async def test_async_load(daemon: Daemon) -> None:
    async def archive() -> AsyncIterator[bytes]:
        yield b"tar"

    def reply(peer: socket.socket) -> None:
        received = daemon.read_request(peer)
        while b"0\r\n\r\n" not in received:
            received += peer.recv(65536)
        peer.sendall(answer(200, b'{"stream":"Loaded\\n"}\n'))

    daemon.then_say(PONG)
    daemon.then(reply)
    client = AsyncEngineClient(daemon.address)
    assert [m async for m in client.load(archive())] == [{"stream": "Loaded\n"}]


async def test_async_save(daemon: Daemon) -> None:
    daemon.then_say(PONG)
    daemon.then_say(answer(200, b"a tar"))
    client = AsyncEngineClient(daemon.address)
    assert b"".join([piece async for piece in client.save(["a"])]) == b"a tar"


async def test_async_import(daemon: Daemon) -> None:
    async def archive() -> AsyncIterator[bytes]:
        yield b"tar"

    def reply(peer: socket.socket) -> None:
        received = daemon.read_request(peer)
        while b"0\r\n\r\n" not in received:
            received += peer.recv(65536)
        peer.sendall(answer(200, b'{"status":"sha256:1"}\r\n'))

    daemon.then_say(PONG)
    daemon.then(reply)
    assert await AsyncEngineClient(daemon.address).import_image(archive(), "a") == "sha256:1"


async def test_async_nonsense_is_unavailable(daemon: Daemon) -> None:
    daemon.then_say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    with pytest.raises(EngineError):
        await (await AsyncEngineClient(daemon.address).request(calls.version())).read()


def test_a_socket_of_others_says_who_may() -> None:
    from wherry.client.errors import unreachable

    error = unreachable(UnixAddress("/d.sock"), PermissionError(13, "Permission denied"))
    assert error.kind is Kind.FORBIDDEN
    assert "unix:///d.sock (be root, or in the socket's group)" in error.message
