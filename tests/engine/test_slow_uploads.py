"""Clients that begin to send an archive, and then do not go on."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import BinaryIO

import pytest

from wherry.engine import images
from wherry.engine.model import ImportRequest


class Store:
    """One that reads all that it is given."""

    def load(self, archive: BinaryIO, _: object) -> list[object]:
        archive.read()
        return []

    def import_image(self, archive: BinaryIO, _: object) -> str:
        archive.read()
        return ""


async def stalled() -> AsyncIterator[bytes]:
    yield b"a"
    await asyncio.Event().wait()


async def test_they_leave_threads_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_UPLOADS", 2)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(3))
    verbs = images.Images(SimpleNamespace(images=Store()), list)  # type: ignore[arg-type]

    async def load() -> None:
        async for _ in verbs.load(stalled(), quiet=True):
            pass

    slow = [asyncio.create_task(load()) for _ in range(4)]
    slow += [asyncio.create_task(verbs.import_image(stalled(), ImportRequest())) for _ in range(4)]
    for _ in range(20):
        await asyncio.sleep(0)
    try:
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(int, "7") == 7
    finally:
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
