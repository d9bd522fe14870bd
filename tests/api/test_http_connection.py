"""A connection's life: requests in a row, bodies of all sizes, and clients that leave."""

import asyncio
import contextlib
import socket
import struct

import pytest

CREATE = b'{"Image":"busybox","Cmd":["cat"]}'


def request(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    fields = {"Host": "x", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body:
        fields |= {"Content-Length": str(len(body)), "Content-Type": "application/json"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body


async def test_keep_alive(served) -> None:
    reader, writer = await served.connect()
    for _ in range(3):
        writer.write(request("POST", "/containers/create", CREATE))
        assert (await served.read_answer(reader)).status == 201
    writer.write(request("GET", "/_ping", Connection="close"))
    assert (await served.read_answer(reader)).headers["connection"] == "close"
    assert await reader.read() == b""
    writer.close()


async def test_pipelined_requests_are_answered_in_order(served) -> None:
    reader, writer = await served.connect()
    writer.write(
        request("POST", "/containers/create?name=a", CREATE)
        + request("GET", "/_ping")
        + request("GET", "/nowhere")
        + request("HEAD", "/_ping")
    )
    answers = [await served.read_answer(reader) for _ in range(3)]
    answers.append(await served.read_answer(reader, "HEAD"))
    assert [answer.status for answer in answers] == [201, 200, 404, 200]
    writer.close()


async def test_a_client_that_pipelines_without_reading_is_held_back(served) -> None:
    served.engine.containers.start_gate = asyncio.Event()
    await served.call("POST", "/containers/create?name=a", CREATE)
    _, writer = await served.connect()
    writer.transport.set_write_buffer_limits(0)
    writer.write(request("POST", "/containers/a/start"))
    drained = asyncio.create_task(_send_pings(writer, 100_000))
    done, _ = await asyncio.wait([drained], timeout=0.3)
    assert not done
    drained.cancel()
    served.engine.containers.start_gate.set()
    writer.transport.abort()


async def test_a_client_that_asks_without_reading_answers_is_held_back(served) -> None:
    _, writer = await served.connect()
    writer.transport.pause_reading()
    asking = asyncio.create_task(_send_pings(writer, 100_000))
    done, _ = await asyncio.wait([asking], timeout=0.5)
    assert not done
    asking.cancel()
    (connection,) = served.server._connections
    assert connection._transport.get_write_buffer_size() < 1 << 20
    writer.transport.abort()


async def test_the_absolute_form_of_a_target(served) -> None:
    answer = await served.call("GET", "http://docker/v1.44/containers/json?all=1")
    assert (answer.status, answer.body) == (200, b"[]\n")
    assert served.engine.containers.options[-1][0] is True
    assert (await served.call("GET", "http://docker")).status == 404


async def _send_pings(writer: asyncio.StreamWriter, count: int) -> None:
    for _ in range(count):
        writer.write(request("GET", "/_ping"))
        await writer.drain()


async def test_head_has_no_body(served) -> None:
    reader, writer = await served.connect()
    writer.write(request("HEAD", "/_ping", Connection="close"))
    raw = await reader.read()
    assert raw.endswith(b"\r\n\r\n")
    assert b"Content-Length: 0" in raw
    writer.close()


async def test_garbage_gets_400_as_json_and_the_end(served) -> None:
    reader, writer = await served.connect()
    writer.write(b"\x16\x03\x01 this is TLS\r\n\r\n")
    answer = await served.read_answer(reader)
    assert answer.status == 400
    assert answer.body == b'{"message":"malformed request line"}\n'
    assert await reader.read() == b""
    writer.close()


async def test_a_target_that_is_no_utf8(served) -> None:
    answer = await served.call("GET", "/containers/%ff/json")
    assert answer.status == 400
    assert b"malformed request target" in answer.body


async def test_100_continue_is_said_before_the_body_is_awaited(served) -> None:
    reader, writer = await served.connect()
    head = request("POST", "/images/load", Content_Length="4", Expect="100-continue")
    writer.write(head)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 Continue")
    writer.write(b"data")
    answer = await served.read_answer(reader)
    assert answer.status == 200
    assert served.engine.images.loaded == 4
    writer.close()


async def test_a_huge_body_is_refused_unread(served) -> None:
    reader, writer = await served.connect()
    writer.write(request("POST", "/containers/create", Content_Length=str(100 << 20)))
    answer = await served.read_answer(reader)
    assert answer.status == 413
    assert b"larger than the 4096 KiB" in answer.body
    assert answer.headers["connection"] == "close"
    # A client that sends it all the same comes to read the answer, not an error.
    for _ in range(100):
        writer.write(bytes(1 << 20))
        await writer.drain()
    writer.close()


async def test_a_small_body_is_taken_in_before_it_is_refused(served) -> None:
    """Go's clients, Docker's among them, stop sending when the answer comes."""
    reader, writer = await served.connect()
    writer.write(request("POST", "/build?securityopt=x", Transfer_Encoding="chunked"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    writer.write(b"5\r\nhello\r\n")
    writer.write(b"0\r\n\r\n")
    assert (await served.read_answer(reader)).status == 400
    # It was read to its end, so the connection is as good as before.
    writer.write(request("GET", "/_ping"))
    assert (await served.read_answer(reader)).status == 200
    writer.close()


async def test_an_endless_body_is_refused_all_the_same(served) -> None:
    reader, writer = await served.connect()
    writer.write(request("POST", "/build?securityopt=x", Transfer_Encoding="chunked"))
    writer.write(b"5\r\nhello\r\n")  # and nothing for as long as we care
    answer = await served.read_answer(reader)
    assert answer.status == 400
    assert answer.headers["connection"] == "close"
    writer.close()


async def test_a_huge_chunked_body_is_refused_when_it_gets_too_long(served) -> None:
    reader, writer = await served.connect()
    writer.write(request("POST", "/containers/create", Transfer_Encoding="chunked"))
    piece = b"%x\r\n%b\r\n" % (1 << 16, bytes(1 << 16))
    for _ in range(80):
        writer.write(piece)
        await writer.drain()
    assert (await served.read_answer(reader)).status == 413
    writer.close()


async def test_a_chunked_body(served) -> None:
    reader, writer = await served.connect()
    head = request(
        "POST", "/containers/create", Transfer_Encoding="chunked", Content_Type="application/json"
    )
    writer.write(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(CREATE), CREATE))
    assert (await served.read_answer(reader)).status == 201
    writer.close()


async def test_half_closing_after_the_request_still_gets_the_answer(served) -> None:
    reader, writer = await served.connect()
    writer.write(request("GET", "/version"))
    writer.write_eof()
    answer = await served.read_answer(reader)
    assert answer.status == 200
    assert await reader.read() == b""
    writer.close()


async def test_half_closing_within_the_body_is_an_error(served) -> None:
    reader, writer = await served.connect()
    writer.write(request("POST", "/containers/create", Content_Length="100") + b"{")
    writer.write_eof()
    answer = await served.read_answer(reader)
    assert answer.status == 400
    assert b"unexpected end" in answer.body
    writer.close()


async def test_a_client_that_leaves_ends_the_reading_of_a_log(served, container) -> None:
    reader, writer = await served.connect()
    writer.write(request("GET", f"/containers/{container.id}/logs?stdout=1&follow=1"))
    assert (await served.read_head(reader))[0] == 200
    writer.close()
    await asyncio.wait_for(served.engine.containers.log_closed.wait(), 5)


async def test_a_half_closed_client_that_leaves_is_noticed_too(served, container) -> None:
    reader, writer = await served.connect()
    writer.write(request("GET", f"/containers/{container.id}/logs?stdout=1&follow=1"))
    assert (await served.read_head(reader))[0] == 200
    writer.write_eof()
    done = asyncio.create_task(served.engine.containers.log_closed.wait())
    assert not (await asyncio.wait([done], timeout=0.1))[0]
    writer.close()
    await asyncio.wait_for(done, 5)


async def test_a_start_goes_on_without_its_client(served, container) -> None:
    gate = served.engine.containers.start_gate = asyncio.Event()
    _, writer = await served.connect()
    writer.write(request("POST", f"/containers/{container.id}/start"))
    while not served.api._pending._tasks:
        await asyncio.sleep(0)
    writer.close()
    await writer.wait_closed()
    settled = asyncio.create_task(served.api.settle(5))
    await asyncio.sleep(0.01)
    assert container.state == "created"
    gate.set()
    await settled
    assert container.state == "running"


async def test_a_reset_is_survived(served) -> None:
    for _ in range(20):
        raw = await served.dial()
        raw.setblocking(False)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(BlockingIOError):
            raw.send(request("GET", "/version"))
        raw.close()
    assert (await served.call("GET", "/_ping")).status == 200


async def test_the_end_closes_idle_connections_and_cuts_the_others(served, container) -> None:
    idle, idle_writer = await served.connect()
    idle_writer.write(request("GET", "/_ping"))
    await served.read_answer(idle)
    busy, busy_writer = await served.connect()
    busy_writer.write(request("POST", f"/containers/{container.id}/wait"))
    await served.read_head(busy)
    await served.server.close(0.05)
    assert await idle.read() == b""
    assert await busy.read() == b""
    idle_writer.close()
    busy_writer.close()
