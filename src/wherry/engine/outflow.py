"""A stream that worker threads make and the loop takes: the other direction of `feed`."""

import asyncio
from collections.abc import AsyncGenerator, Generator

from wherry.threads import to_thread


async def outflow(source: Generator[bytes]) -> AsyncGenerator[bytes]:
    """The pieces of a generator that blocks, each made in a worker thread while the one before is
    on its way.

    Whoever stops in between, closed or cancelled, waits for the piece that is being made, and has
    closed `source` then.
    """
    making = asyncio.create_task(to_thread(next, source, b""))
    try:
        while piece := await asyncio.shield(making):
            making = asyncio.create_task(to_thread(next, source, b""))
            yield piece
    finally:
        await asyncio.gather(making, return_exceptions=True)
        await to_thread(source.close)
