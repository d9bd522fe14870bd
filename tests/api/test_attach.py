"""Hijacked connections: every byte, both ends, and who waits for whom."""

import asyncio
import hashlib
import os
import resource

import pytest

UPGRADE = b"Connection: Upgrade\r\nUpgrade: tcp\r\n"


async def attach(served, query="stream=1&stdin=1&stdout=1&stderr=1", upgrade=UPGRADE, early=b""):
    reader, writer = await served.connect()
    line = f"POST /v1.51/containers/box/attach?{query} HTTP/1.1\r\nHost: x\r\n".encode()
    writer.write(line + upgrade + b"\r\n" + early)
    status, headers = await served.read_head(reader)
    return reader, writer, status, headers


async def read_frames(reader: asyncio.StreamReader) -> bytes:
    """The payloads until the end."""
    payloads = []
    while header := await reader.read(8):
        if len(header) < 8:
            header += await reader.readexactly(8 - len(header))
        payloads.append(await reader.readexactly(int.from_bytes(header[4:], "big")))
    return b"".join(payloads)


async def test_upgraded(served, container) -> None:
    reader, writer, status, headers = await attach(served)
    assert status == 101
    assert headers["content-type"] == "application/vnd.docker.multiplexed-stream"
    assert (headers["connection"], headers["upgrade"]) == ("Upgrade", "tcp")
    container.started.set()
    writer.write(b"hello")
    assert await reader.readexactly(13) == served.frame(1, b"hello")
    writer.write_eof()
    assert await reader.read() == b""
    await asyncio.wait_for(container.exited.wait(), 5)
    writer.close()


async def test_without_upgrade(served, container) -> None:
    reader, writer, status, headers = await attach(served, upgrade=b"")
    assert status == 200
    assert headers["content-type"] == "application/vnd.docker.raw-stream"
    assert "content-length" not in headers
    container.started.set()
    writer.write(b"x")
    writer.write_eof()
    assert await read_frames(reader) == b"x"
    writer.close()


async def test_a_terminal_is_raw(served, container) -> None:
    container.request.tty = True
    _, writer, status, headers = await attach(served)
    assert (status, headers["content-type"]) == (101, "application/vnd.docker.raw-stream")
    writer.close()


async def test_bytes_behind_the_request_are_not_lost(served, container) -> None:
    reader, writer, *_ = await attach(served, early=b"early ")
    writer.write(b"late")
    writer.write_eof()
    container.started.set()
    assert await read_frames(reader) == b"early late"
    writer.close()


async def test_an_end_behind_the_request_is_not_lost(served, container) -> None:
    reader, writer = await served.connect()
    writer.write(
        b"POST /containers/box/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
        + UPGRADE
        + b"\r\nall of it"
    )
    writer.write_eof()
    assert (await served.read_head(reader))[0] == 101
    container.started.set()
    assert await asyncio.wait_for(read_frames(reader), 5) == b"all of it"
    writer.close()


async def test_fifty_megabytes_through_and_back(served, container) -> None:
    block = os.urandom(1 << 20)
    sent, received = hashlib.sha256(), hashlib.sha256()
    reader, writer, *_ = await attach(served)
    container.started.set()

    async def send() -> None:
        for _ in range(50):
            sent.update(block)
            writer.write(block)
            await writer.drain()
        writer.write_eof()

    async def receive() -> None:
        while header := await reader.read(8):
            if len(header) < 8:
                header += await reader.readexactly(8 - len(header))
            received.update(await reader.readexactly(int.from_bytes(header[4:], "big")))

    await asyncio.wait_for(asyncio.gather(send(), receive()), 60)
    assert received.digest() == sent.digest()
    writer.close()


async def test_a_reader_that_is_slow_holds_the_container_back(served, container) -> None:
    written = 0

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        for _ in range(1000):
            writer.write(served.frame(1, bytes(1 << 16)))
            await writer.drain()
            written += 1 << 16

    served.engine.containers.shim = shout
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader, writer, *_ = await attach(served)
    reader._transport.pause_reading()
    container.started.set()
    seen = -1
    while seen != written:  # until nothing moves any more
        seen = written
        await asyncio.sleep(0.2)
    assert written < 8 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10
    reader._transport.resume_reading()
    assert len(await read_frames(reader)) == 1000 << 16
    writer.close()


async def test_a_container_that_does_not_read_holds_the_client_back(served, container) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()
        await container.exited.wait()

    served.engine.containers.shim = deaf
    _, writer, *_ = await attach(served)
    container.started.set()
    sent = 0
    while sent < 64 << 20:
        writer.write(bytes(1 << 20))
        try:
            await asyncio.wait_for(writer.drain(), 0.3)
        except TimeoutError:
            break
        sent += 1 << 20
    assert sent < 8 << 20
    writer.transport.abort()
    container.exited.set()


async def test_the_containers_end_comes_after_all_its_output(served, container) -> None:
    async def last_words(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(served.frame(2, b"x" * (1 << 20)))
        await writer.drain()

    served.engine.containers.shim = last_words
    reader, writer, *_ = await attach(served)
    container.started.set()
    assert await read_frames(reader) == b"x" * (1 << 20)
    writer.close()


async def test_input_after_the_containers_end_is_no_error(served, container) -> None:
    async def head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(served.frame(1, await reader.readexactly(4)))

    served.engine.containers.shim = head
    reader, writer, *_ = await attach(served)
    container.started.set()
    writer.write(b"1234" + bytes(1 << 20))
    assert await read_frames(reader) == b"1234"
    writer.write(bytes(1 << 20))
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_leaves_closes_the_shims_stream(served, container) -> None:
    _, writer, *_ = await attach(served)
    container.started.set()
    writer.close()
    await asyncio.wait_for(container.exited.wait(), 5)


async def test_a_client_that_leaves_after_its_half_close_is_noticed(served, container) -> None:
    ended = asyncio.Event()
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read() == b""
        ended.set()
        try:
            while True:
                writer.write(b"\0" * 8)
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            gone.set()

    served.engine.containers.shim = silent
    _, writer, *_ = await attach(served)
    container.started.set()
    writer.write_eof()
    await asyncio.wait_for(ended.wait(), 5)
    assert not gone.is_set()
    writer.close()
    await asyncio.wait_for(gone.wait(), 5)


async def test_without_stdin_nothing_is_passed_on(served, container) -> None:
    if served.way == "tcp":
        pytest.skip("over TCP who has left is as silent as who only listens")
    got = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read())

    served.engine.containers.shim = listen
    reader, writer, *_ = await attach(served, "stream=1&stdout=1", early=b"noise")
    container.started.set()
    writer.write(b"more noise")
    await writer.drain()
    writer.close()
    assert await asyncio.wait_for(got, 5) == b""
    assert await reader.read() == b""


async def test_history_comes_first(served, container) -> None:
    served.engine.containers.log_chunks = [served.frame(1, b"before "), served.frame(1, b"and ")]
    reader, writer, *_ = await attach(served, "stream=1&stdin=1&stdout=1&logs=1", early=b"now")
    container.started.set()
    writer.write_eof()
    assert await read_frames(reader) == b"before and now"
    writer.close()


async def test_history_alone_ends(served, container) -> None:
    served.engine.containers.log_chunks = [served.frame(1, b"before")]
    reader, writer, *_ = await attach(served, "stdout=1&logs=1")
    assert await asyncio.wait_for(read_frames(reader), 5) == b"before"
    writer.close()


@pytest.mark.parametrize(("query", "keys"), [("", b"\x10\x11"), ("&detachKeys=ctrl-a,x", b"\x01x")])
async def test_detach_keys_end_the_attachment_and_not_the_typing(
    served, container, query, keys
) -> None:
    typed = b""

    async def terminal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal typed
        typed = await reader.read()

    container.request.tty = True
    served.engine.containers.shim = terminal
    reader, writer, *_ = await attach(served, "stream=1&stdin=1&stdout=1" + query)
    container.started.set()
    for byte in b"ls" + keys:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    await asyncio.wait_for(container.exited.wait(), 5)
    assert typed == b"ls"
    assert served.engine.containers.options[1:] == ["detached box"]
    writer.close()


async def test_errors_come_before_the_upgrade(served, container) -> None:
    _, writer, status, _ = await attach(served, "stream=1&detachKeys=ctrl-1")
    assert status == 400
    writer.close()
    assert (await served.call("POST", "/containers/none/attach?stream=1")).status == 404


async def test_the_servers_end_cuts_attachments(served, container) -> None:
    reader, writer, *_ = await attach(served)
    container.started.set()
    await served.server.close(0.05)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
