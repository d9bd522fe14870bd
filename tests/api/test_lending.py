"""Bodies that a thread reads from the socket itself: whole, broken off, refused, left waiting."""

import asyncio
import contextlib
import io
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import leaks
import pytest

from wherry.api.http.body import IncomingBody
from wherry.api.http.messages import Answer, HTTPError, Reply, Request, Stream
from wherry.api.http.server import Server
from wherry.errdefs import EngineError


@dataclass
class Borrower:
    """Answers with the number of bytes that `read`, in a thread, has had of the body."""

    read: Callable[[io.BufferedReader], bytes] = io.BufferedReader.read
    streams: bool = False
    got: list[bytes] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: Request) -> Answer:
        body = request.body
        assert isinstance(body, IncomingBody)
        file, abandon = body.lend()
        work = asyncio.create_task(asyncio.to_thread(self._work, file))
        self.began.set()
        if self.streams:
            return Stream(200, self._pieces(work))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            abandon()
            await asyncio.gather(work, return_exceptions=True)

    async def _pieces(self, work: "asyncio.Task[Reply]") -> AsyncIterator[bytes]:
        yield b"begun "
        yield (await work).body

    def _work(self, file: io.RawIOBase) -> Reply:
        try:
            with file, io.BufferedReader(file, 1000) as body:
                self.got.append(self.read(body))
        except EngineError as error:
            self.failures.append(error.message)
            return Reply(error.kind.http_status, error.message.encode())
        return Reply(200, b"%d" % len(self.got[-1]))

    def refuse(self, error: HTTPError) -> Reply:
        return Reply(error.status, error.message.encode())


@pytest.fixture(params=["unix", "tcp"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> socket.socket:
    if request.param == "tcp":
        return socket.create_server(("127.0.0.1", 0))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.listen()
    return listening


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = leaks.descriptors()
    yield
    assert leaks.descriptors() <= before


@contextlib.asynccontextmanager
async def client_of(
    borrower: Borrower, listener: socket.socket
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, Server]]:
    server = Server(borrower)
    await server.listen(listener)
    place = listener.getsockname()
    connect = asyncio.open_unix_connection(place) if isinstance(place, str) else None
    reader, writer = await (connect or asyncio.open_connection(*place))
    try:
        yield reader, writer, server
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await server.close(0)
        for _ in range(3):  # what was called for by threads that have ended
            await asyncio.sleep(0)


def head(*fields: str) -> bytes:
    return "\r\n".join(["POST / HTTP/1.1", "Host: x", *fields, "", ""]).encode()


CHUNKED = head("Transfer-Encoding: chunked")


def chunks(data: bytes, sizes: random.Random) -> bytes:
    coded, at = b"", 0
    while at < len(data):
        piece = data[at : at + sizes.choice((1, 7, 500, 32768, 300_000))]
        coded += b"%x\r\n%s\r\n" % (len(piece), piece)
        at += len(piece)
    return coded + b"0\r\n\r\n"


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    async with asyncio.timeout(30):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        status = int(lines[0].split()[1])
        if status == 100:
            return status, b""
        (length,) = (line.split()[1] for line in lines if line.startswith("Content-Length"))
        return status, await reader.readexactly(int(length))


@pytest.mark.parametrize("seed", range(6))
async def test_it_arrives_whole_and_the_next_request_too(
    listener: socket.socket, seed: int
) -> None:
    chance = random.Random(seed)
    borrower = Borrower()
    data = chance.randbytes(chance.choice((0, 1, 900, 700_000, 2_000_000)))
    requests = CHUNKED + chunks(data, chance) + head(f"Content-Length: {len(data)}") + data
    async with client_of(borrower, listener) as (reader, writer, _):
        at = 0
        asking = asyncio.gather(answer(reader), return_exceptions=True)
        while at < len(requests):
            size = chance.choice((3, 100, 5000, 1 << 20))
            writer.write(requests[at : at + size])
            await writer.drain()
            at += size
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        assert await asking == [(200, b"%d" % len(data))]
        assert await answer(reader) == (200, b"%d" % len(data))
    assert borrower.got == [data, data]


async def test_the_answer_may_begin_before_the_body_ends(listener: socket.socket) -> None:
    async with client_of(Borrower(streams=True), listener) as (reader, writer, _):
        writer.write(head("Content-Length: 8") + b"half")
        await reader.readuntil(b"begun ")
        writer.write(b"half")
        assert await reader.readuntil(b"0\r\n\r\n") == b"\r\n1\r\n8\r\n0\r\n\r\n"


async def test_it_is_asked_for(listener: socket.socket) -> None:
    async with client_of(Borrower(), listener) as (reader, writer, _):
        writer.write(head("Content-Length: 2", "Expect: 100-continue"))
        assert (await answer(reader))[0] == 100
        writer.write(b"ok")
        assert await answer(reader) == (200, b"2")


@pytest.mark.parametrize("half", [True, False], ids=["half-closed", "closed"])
async def test_a_client_that_ends_too_early(listener: socket.socket, half: bool) -> None:
    borrower = Borrower()
    async with client_of(borrower, listener) as (reader, writer, _):
        writer.write(head("Content-Length: 8") + b"half")
        await borrower.began.wait()
        if half:
            writer.write_eof()
            status, said = await answer(reader)
            assert (status, said) == (400, b"unexpected end of the request's body")
        else:
            writer.close()
        async with asyncio.timeout(30):
            while not borrower.failures:
                await asyncio.sleep(0.001)
    assert borrower.failures == ["unexpected end of the request's body"]


@pytest.mark.parametrize("nonsense", [b"zz\r\n", b"3\r\nabcdef\r\n", b"1" * 5000])
async def test_a_malformed_body(listener: socket.socket, nonsense: bytes) -> None:
    borrower = Borrower()
    async with client_of(borrower, listener) as (reader, writer, _):
        writer.write(CHUNKED)
        await borrower.began.wait()
        writer.write(b"2\r\nok\r\n" + nonsense)
        status, said = await answer(reader)
        assert status == 400
        assert b"malformed chunk" in said
        assert await reader.read() == b""


async def test_who_reads_no_more_is_not_waited_for(listener: socket.socket) -> None:
    """The client reads why, although it is still sending."""
    borrower = Borrower(lambda body: body.read(10))
    async with client_of(borrower, listener) as (reader, writer, _):
        writer.write(head("Content-Length: 8000000") + bytes(4_000_000))
        assert await answer(reader) == (200, b"10")
        writer.write(bytes(4_000_000))
        await writer.drain()
        assert await reader.read() == b""


@pytest.mark.parametrize("listener", ["unix"], indirect=True)  # in TCP it may be a half-close
async def test_a_client_that_leaves_is_noticed_when_it_has_sent_all(
    listener: socket.socket,
) -> None:
    hold_up, go_on = os.pipe()

    def read(body: io.BufferedReader) -> bytes:
        data = body.read()
        os.read(hold_up, 1)
        return data

    borrower = Borrower(read)
    try:
        async with client_of(borrower, listener) as (_, writer, _):
            writer.write(head("Content-Length: 2"))
            await borrower.began.wait()
            writer.write(b"ok")
            await writer.drain()
            writer.close()
            async with asyncio.timeout(30):
                await borrower.cancelled.wait()
            os.write(go_on, b"!")
    finally:
        os.close(hold_up)
        os.close(go_on)


async def test_the_daemons_end_ends_the_waiting(listener: socket.socket) -> None:
    borrower = Borrower()
    async with client_of(borrower, listener) as (_, writer, server):
        writer.write(head("Content-Length: 2") + b"o")
        await borrower.began.wait()
        async with asyncio.timeout(30):
            await server.close(0)
    assert borrower.failures == ["the upload was broken off"]
