"""What worker threads make for the loop: whole, one piece ahead, and closed by whoever leaves."""

import asyncio
import threading
from collections.abc import Generator

import pytest

from wherry.engine.outflow import outflow
from wherry.errdefs import EngineError, not_found


class Source:
    """A generator of pieces that says how far it came."""

    def __init__(self, count: int, gate: threading.Event | None = None) -> None:
        self.count = count
        self.gate = gate
        self.made = 0
        self.closed = False

    def pieces(self) -> Generator[bytes]:
        try:
            for number in range(self.count):
                if self.gate:
                    self.gate.wait(10)
                self.made += 1
                yield b"%d," % number
        finally:
            self.closed = True


async def test_every_piece_comes_in_order() -> None:
    source = Source(100)
    pieces = [piece async for piece in outflow(source.pieces())]
    assert pieces == [b"%d," % number for number in range(100)]
    assert source.closed


async def test_it_is_at_most_one_piece_ahead() -> None:
    source = Source(100)
    stream = outflow(source.pieces())
    for number in range(10):
        await anext(stream)
        assert source.made <= number + 2
    await stream.aclose()
    assert source.closed
    assert source.made <= 11


async def test_an_error_comes_in_its_place() -> None:
    def failing() -> Generator[bytes]:
        yield b"first"
        raise not_found("gone")

    stream = outflow(failing())
    assert await anext(stream) == b"first"
    with pytest.raises(EngineError, match="gone"):
        await anext(stream)


async def test_whoever_is_cancelled_waits_for_the_piece_that_is_being_made() -> None:
    gate = threading.Event()
    source = Source(3, gate)
    taking = asyncio.create_task(anext(outflow(source.pieces())))
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.sleep(0)
    assert not source.closed
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert source.closed
    assert source.made == 1
