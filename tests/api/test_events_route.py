"""`GET /events` as clients of each version get it."""

import asyncio
import time

import msgspec
import pytest
from apispec import check, needs_specification

OLD_FIELDS = {"status": "start", "id": "c0ffee", "from": "app"}


async def read_event(reader: asyncio.StreamReader) -> dict[str, object]:
    size = int(await reader.readline(), 16)
    piece = await reader.readexactly(size + 2)
    found: dict[str, object] = msgspec.json.decode(piece)
    return found


async def listen(served, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await served.connect()
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    # Before anything happens: this is how clients know that they are listening.
    status, headers = await served.read_head(reader)
    assert (status, headers["content-type"]) == (200, "application/json")
    return reader, writer


@pytest.mark.parametrize("version", ["/v1.41", "/v1.44", "/v1.51", ""])
async def test_the_old_fields_are_there_up_to_1_51(served, version: str) -> None:
    reader, _writer = await listen(served, f"{version}/events")
    bus = served.engine.system.bus
    bus.publish("container", "start", "c0ffee", {"image": "app", "name": "web"})
    event = await read_event(reader)
    assert list(event)[:3] == ["status", "id", "from"]
    assert {name: event[name] for name in OLD_FIELDS} == OLD_FIELDS
    assert event["Actor"] == {"ID": "c0ffee", "Attributes": {"image": "app", "name": "web"}}
    bus.publish("image", "tag", "sha256:1", {"name": "app:1"})
    assert set(OLD_FIELDS) & set(await read_event(reader)) == {"status", "id"}
    bus.publish("builder", "prune", "", {})
    assert set(OLD_FIELDS) & set(await read_event(reader)) == set()


@needs_specification
async def test_it_is_what_the_specification_says(served) -> None:
    reader, _writer = await listen(served, "/events")
    served.engine.system.bus.publish("container", "start", "c0ffee", {"image": "app"})
    event = await read_event(reader)
    check("EventMessage", {name: value for name, value in event.items() if name not in OLD_FIELDS})


async def test_filters_and_times_are_passed_on(served) -> None:
    bus = served.engine.system.bus
    bus.publish("container", "start", "before", {})
    bus.publish("image", "tag", "before", {})
    answer = await served.call("GET", '/events?since=1&until=2&filters={"type":{"image":true}}')
    assert (answer.status, answer.body) == (200, b"")
    soon = f"{time.time() + 0.05:.9f}"
    answer = await served.call("GET", f'/events?until={soon}&filters={{"type":["image"]}}')
    assert [msgspec.json.decode(line)["Type"] for line in answer.body.splitlines()] == ["image"]


@pytest.mark.parametrize("query", ["since=5&until=4", "since=x", "until=yesterday", "filters=[]"])
async def test_what_makes_no_sense_is_refused(served, query: str) -> None:
    assert (await served.call("GET", f"/events?{query}")).status == 400


async def test_the_listening_ends_with_its_client(served) -> None:
    reader, writer = await served.connect()
    writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    await served.read_head(reader)
    assert len(served.engine.system.bus) == 1
    writer.close()
    async with asyncio.timeout(5):
        while len(served.engine.system.bus):
            await asyncio.sleep(0.001)


async def test_the_daemons_end_is_the_streams_end(served) -> None:
    reader, _writer = await listen(served, "/events")
    await served.api.settle(0)
    assert await asyncio.wait_for(reader.readline(), 5) == b"0\r\n"
