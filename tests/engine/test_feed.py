"""A stream between the loop and a thread: whole, bounded, and ended by either side."""

import asyncio
import io
from collections.abc import AsyncIterator

import pytest

from wherry.engine import feed as feeding
from wherry.engine.feed import Feed
from wherry.errdefs import EngineError


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def read_all(feed: Feed) -> bytes:
    with feed, io.BufferedReader(feed, 1000) as stream:
        return stream.read()


async def test_everything_arrives_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "_HIGH", 100)
    parts = [bytes([number]) * (number % 77) for number in range(250)]
    feed = Feed()
    reading = asyncio.create_task(asyncio.to_thread(read_all, feed))
    await feed.fill(pieces(*parts))
    assert await reading == b"".join(parts)


async def test_a_slow_reader_holds_the_writer_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "_HIGH", 10)
    feed = Feed()
    taken = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b"x" * 10

    filling = asyncio.create_task(feed.fill(source()))
    for _ in range(50):
        await asyncio.sleep(0)
    assert taken <= 2
    assert len(await asyncio.to_thread(read_all, feed)) == 1000
    await filling


async def test_what_breaks_off_fails_the_reader() -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionError

    feed = Feed()
    reading = asyncio.create_task(asyncio.to_thread(read_all, feed))
    with pytest.raises(ConnectionError):
        await feed.fill(breaks())
    with pytest.raises(EngineError, match="broken off"):
        await reading


async def test_a_reader_that_gives_up_lets_the_writer_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeding, "_HIGH", 10)
    feed = Feed()
    filling = asyncio.create_task(feed.fill(pieces(*[b"x" * 10] * 50)))
    await asyncio.sleep(0)
    await asyncio.to_thread(feed.close)
    async with asyncio.timeout(5):
        await filling
