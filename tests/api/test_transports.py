"""What is particular to TCP and TLS: certificates, strangers, and clients that take their time.

That a connection is the same over all ways is in test_attach.py and test_http_connection.py, which
run over each.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from certificates import Certificate, Certificates

from wherry.api.http import connection, terminator
from wherry.client import calls
from wherry.client.aio import AsyncEngineClient
from wherry.client.connection import Connection
from wherry.client.engine import EngineClient
from wherry.client.remote import TcpAddress, TlsFiles
from wherry.errdefs import EngineError
from wherry.tls import Wire

TLS = pytest.mark.parametrize("served", ["tls"], indirect=True)
TCP = pytest.mark.parametrize("served", ["tcp"], indirect=True)
BOTH = pytest.mark.parametrize("served", ["tcp", "tls"], indirect=True)
ALL = pytest.mark.parametrize("served", ["unix", "tcp", "tls"], indirect=True)


def ping(port: int, files: TlsFiles | None, name: str = "127.0.0.1") -> str:
    """What a client gets to know."""
    client = EngineClient(TcpAddress(name, port, files))
    try:
        return client.api_version
    except EngineError as error:
        return error.message
    finally:
        client.close()


def files(certs: Certificates, own: Certificate | None, ca: Path | None = None) -> TlsFiles:
    cert, key = (str(own.cert), str(own.key)) if own else ("", "")
    return TlsFiles(str(ca or certs.ca), cert, key, verify=True)


@TLS
@pytest.mark.parametrize(
    ("own", "words"),
    [
        (lambda certs: certs.client, "1.51"),
        (lambda certs: None, "certificate required"),
        (lambda certs: certs.stranger, "unknown ca"),
        (lambda certs: certs.expired_client, "certificate expired"),
        (lambda certs: certs.server, "unsupported certificate"),
    ],
)
async def test_whom_the_daemon_lets_in(
    served, certs: Certificates, own: Callable[[Certificates], Certificate | None], words: str
) -> None:
    said = await asyncio.to_thread(ping, served.address.port, files(certs, own(certs)))
    assert said.endswith(words)
    assert not served.server._connections or words == "1.51"


@TLS
async def test_whom_the_client_believes(served, certs: Certificates) -> None:
    port = served.address.port
    told = await asyncio.to_thread(ping, port, files(certs, certs.client, certs.strange_ca))
    assert told.startswith(f"can't trust the daemon at tcp://127.0.0.1:{port}: ")
    told = await asyncio.to_thread(ping, port, files(certs, certs.client), "127.0.0.2")
    assert "not valid for '127.0.0.2'" in told or "Is the daemon running" in told
    believing = TlsFiles("", str(certs.client.cert), str(certs.client.key), verify=False)
    assert await asyncio.to_thread(ping, port, believing) == "1.51"


async def test_a_daemon_whose_certificate_has_run_out(certs: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.expired_server.cert, certs.expired_server.key)
    listening = await asyncio.start_server(_hang_up, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    told = await asyncio.to_thread(ping, port, files(certs, certs.client))
    assert told == (f"can't trust the daemon at tcp://127.0.0.1:{port}: certificate has expired")
    listening.close()


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@BOTH
async def test_the_wrong_protocol_is_said(served, certs: Certificates) -> None:
    port = served.address.port
    wrong = None if served.way == "tls" else files(certs, certs.client)
    told = await asyncio.to_thread(ping, port, wrong)
    if served.way == "tls":
        assert told == "Client sent an HTTP request to an HTTPS server."
    else:
        assert told == f"no TLS with the daemon at tcp://127.0.0.1:{port}: it does not speak TLS"


@TLS
async def test_noise_at_a_tls_port_is_hung_up_on(served) -> None:
    for noise in (b"\x00" * 100, b"\x16\x03\x01\xff\xff", b"\x16" * 20_000, b"\x80\x2e\x01\x00"):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.address.port)
        writer.write(noise)
        writer.write_eof()
        assert len(await asyncio.wait_for(reader.read(), 5)) < 100
        writer.close()
    assert (await served.call("GET", "/_ping")).status == 200


@TLS
async def test_a_handshake_that_takes_too_long(served, monkeypatch) -> None:
    monkeypatch.setattr(terminator, "HANDSHAKE_SECONDS", 0.3)
    waiting = [await asyncio.open_connection("127.0.0.1", served.address.port) for _ in range(50)]
    for _, writer in waiting[:25]:
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03")
    # Nobody else waits for them.
    monkeypatch.undo()
    assert (await asyncio.wait_for(served.call("GET", "/_ping"), 5)).status == 200
    assert not served.engine.containers.all
    for reader, writer in waiting:
        assert await _until_cut(reader) == b""
        writer.close()


@ALL
async def test_a_head_that_takes_too_long(served, monkeypatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    reader, writer = await served.connect()
    writer.write(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await served.read_answer(reader)).status == 200
    await asyncio.sleep(0.5)  # between requests there is all the time in the world
    writer.write(b"GET /_ping HTTP/1.1\r\nHo")
    await asyncio.sleep(0.1)
    writer.write(b"st: x\r\n\r\n")
    assert (await served.read_answer(reader)).status == 200
    for letter in b"GET /_p":
        writer.write(bytes([letter]))
        await asyncio.sleep(0.05)
    answer = await asyncio.wait_for(served.read_answer(reader), 5)
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert await _until_cut(reader) == b""
    writer.close()


async def _until_cut(reader: asyncio.StreamReader) -> bytes:
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""


@ALL
async def test_who_has_said_all_still_gets_a_quick_answer(served) -> None:
    reader, writer = await served.connect()
    writer.write(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
    writer.write_eof()
    assert (await served.read_answer(reader)).status == 200
    writer.close()


@TCP
async def test_over_tcp_who_has_said_all_is_not_waited_for_long(
    served, container, monkeypatch
) -> None:
    monkeypatch.setattr(connection, "TCP_PATIENCE", 0.2)
    reader, writer = await served.connect()
    writer.write(f"POST /containers/{container.id}/wait HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (await served.read_head(reader))[0] == 200
    writer.write_eof()
    assert await _until_cut(reader) == b""
    writer.close()


@TLS
async def test_a_connection_that_was_cut_is_no_end_of_input(
    served, container, certs: Certificates
) -> None:
    """Somebody between the two may cut it wherever he likes; `close_notify` he can't say."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            heard.append(data)

    served.engine.containers.shim = listen
    network = socket.create_connection(("127.0.0.1", served.address.port))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certs.ca)
    context.load_cert_chain(certs.client.cert, certs.client.key)
    wire = Wire(context, server_side=False, hostname="127.0.0.1")

    def speak() -> None:
        wire.shake_hands()
        while not wire.ready:
            network.sendall(wire.outgoing())
            wire.receive(network.recv(65536))
        wire.send(
            b"POST /containers/box/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
            b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nhalf a sent"
        )
        network.sendall(wire.outgoing())
        wire.receive(network.recv(65536))
        container.started.set()

    await asyncio.to_thread(speak)
    while not heard:
        await asyncio.sleep(0.01)
    network.close()
    await asyncio.wait_for(container.exited.wait(), 5)
    assert b"".join(heard) == b"half a sent"
    # The attached client has gone altogether: it is no half of a connection that goes on.
    assert not served.server._connections


@ALL
async def test_an_upload_and_its_answer_at_once(served) -> None:
    """Both directions full at the same time: neither waits for the other for ever."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"%x\r\n%b\r\n" % (1 << 16, bytes(1 << 16))
        yield b"0\r\n\r\n"

    reader, writer = await served.connect()
    writer.write(b"POST /images/load HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    async for piece in pieces():
        writer.write(piece)
        await writer.drain()
    assert (await asyncio.wait_for(served.read_answer(reader), 30)).status == 200
    assert served.engine.images.loaded == 200 << 16
    writer.close()


@TLS
async def test_the_end_in_the_middle_of_a_handshake(served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.address.port)
    writer.write(b"\x16\x03\x01")
    while not served.server._terminators:
        await asyncio.sleep(0.01)
    await served.server.close(0.05)
    assert await _until_cut(reader) == b""
    assert not served.server._terminators
    writer.close()


@ALL
async def test_a_blocking_client_may_close_at_any_time(served) -> None:
    def come_and_go() -> None:
        for _ in range(10):
            Connection(served.address).close()

    await asyncio.to_thread(come_and_go)
    assert (await served.call("GET", "/_ping")).status == 200


@ALL
async def test_a_client_that_awaits(served, container) -> None:
    client = AsyncEngineClient(served.address)
    assert (await client.version())["ApiVersion"] == "1.51"
    stream = await client.attach(
        calls.attach_container("box", stdin=True, stdout=True, stderr=True)
    )
    container.started.set()
    await stream.write(b"hello")
    stream.write_eof()
    heard = b""
    while data := await stream.read():
        heard += data
    assert heard == served.frame(1, b"hello")
    await stream.close()


@TLS
async def test_a_client_that_awaits_is_told_why_not(served, certs: Certificates) -> None:
    address = TcpAddress("127.0.0.1", served.address.port, files(certs, None))
    with pytest.raises(EngineError, match="the daemon says: certificate required"):
        await AsyncEngineClient(address).version()
