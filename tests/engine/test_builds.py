"""Builds as the engine leads them: uploads, cancelling, agents, and the files of a tree."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from wherry.build.events import Built
from wherry.build.request import BuildRequest, Output
from wherry.engine.agents import MAX_OFFERS, Agents
from wherry.engine.build_outputs import BuildOutputs
from wherry.engine.builds import Builds
from wherry.errdefs import EngineError

IMAGE = "sha256:" + "a1b2" * 16


class Builder:
    """Does what a test says, in a thread where it reads."""

    def __init__(self, work) -> None:
        self.work = work
        self.ended = asyncio.Event()

    async def build(self, request, context, emit) -> Built:
        try:
            return await self.work(request, context, emit)
        finally:
            self.ended.set()


def builds(work, tmp_path: Path) -> tuple[Builds, Builder]:
    stores = SimpleNamespace(settings=SimpleNamespace(exec_root=tmp_path), database=None)
    builder = Builder(work)
    return Builds(stores, builder, list), builder  # type: ignore[arg-type]


async def pieces(*parts: bytes, forever: bool = False):
    for part in parts:
        yield part
    if forever:
        await asyncio.Event().wait()


def silent(event) -> None:
    pass


async def test_the_upload_is_a_file_for_the_builder(tmp_path: Path) -> None:
    read = []

    async def work(request, context, emit):
        with context:
            read.append(await asyncio.to_thread(context.read))
        return Built()

    running, _ = builds(work, tmp_path)
    await running.build(BuildRequest(), pieces(b"a", b"b"), silent)
    assert read == [b"ab"]


class Images:
    """Stores in which nothing is but hidden images, that are taken away."""

    def __init__(self) -> None:
        self.hidden: set[str] = set()
        self.removed: list[set[str]] = []
        self.images = SimpleNamespace(collector=SimpleNamespace(change=self.change))
        self.tasks: set[asyncio.Task] = set()

    def change(self, work) -> None:
        transaction = SimpleNamespace(
            step_images=lambda: self.hidden,
            names=list,
            images=lambda: [SimpleNamespace(id=one, blobs=set(), layers=()) for one in self.hidden],
            layers=list,
            delete_image=lambda one: self.removed.append({one}),
        )
        work(transaction)

    def in_background(self, work) -> None:
        self.tasks.add(asyncio.ensure_future(work))

    async def settle(self) -> None:
        await asyncio.gather(*self.tasks)


async def test_an_image_goes_when_all_who_might_read_it_are_done() -> None:
    stores = Images()
    stores.hidden = {IMAGE}
    outputs = BuildOutputs(stores, list)  # type: ignore[arg-type]
    request = BuildRequest(outputs=(Output("local"),))
    async with outputs.unwanted():
        outputs.offer(request, Built(image=IMAGE), unwanted=True)
        assert outputs.images() == {IMAGE}
        async with outputs.unwanted():
            outputs.close()  # the first one's is done with, and the second builds the same
            await stores.settle()
            assert stores.removed == []
            outputs.offer(request, Built(image=IMAGE), unwanted=True)
    await stores.settle()
    assert stores.removed == []
    outputs.close()
    await stores.settle()
    assert stores.removed == [{IMAGE}]


async def test_an_image_that_somebody_has_come_to_want_stays() -> None:
    stores = Images()  # it is not hidden any more
    outputs = BuildOutputs(stores, list)  # type: ignore[arg-type]
    async with outputs.unwanted():
        outputs.offer(BuildRequest(outputs=()), Built(image=IMAGE), unwanted=True)
    await stores.settle()
    assert stores.removed == []


async def test_cancelling_does_not_wait_for_an_upload_that_stalls(tmp_path: Path) -> None:
    reading = asyncio.Event()

    async def work(request, context, emit):
        task = asyncio.ensure_future(asyncio.to_thread(context.read))
        reading.set()
        try:
            await asyncio.shield(task)
        finally:
            await asyncio.wait([task])
        return Built()

    running, builder = builds(work, tmp_path)
    source = pieces(b"some", forever=True)
    task = asyncio.create_task(running.build(BuildRequest(id="x"), source, silent))
    await reading.wait()
    await running.cancel("x")
    with pytest.raises(EngineError, match="the build x was cancelled"):
        await asyncio.wait_for(task, 5)
    assert builder.ended.is_set()
    await running.cancel("unknown")


async def test_the_client_s_leaving_is_a_cancellation(tmp_path: Path) -> None:
    began = asyncio.Event()

    async def work(request, context, emit):
        began.set()
        await asyncio.Event().wait()

    running, builder = builds(work, tmp_path)
    for identity in ("", "x"):
        builder.ended.clear()
        began.clear()
        task = asyncio.create_task(running.build(BuildRequest(id=identity), None, silent))
        await began.wait()
        if identity:
            with pytest.raises(EngineError, match="under way already"):
                await running.build(BuildRequest(id=identity), None, silent)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert builder.ended.is_set()


async def lend(agents: Agents, listener: Path):
    """A client's offer, as the daemon has it; and the client's end of it."""
    accepted: asyncio.Future = asyncio.get_running_loop().create_future()

    async def accept(reader, writer) -> None:
        accepted.set_result(writer)

    server = await asyncio.start_unix_server(accept, listener)
    client = await asyncio.open_unix_connection(listener)
    writer = await accepted
    server.close()
    task = asyncio.create_task(agents.lend("session", "default", writer.transport, b""))
    return client, task


async def test_an_agent_is_lent_one_conversation_at_a_time(tmp_path: Path) -> None:
    agents = Agents(tmp_path / "agents")
    async with agents.sockets({"default": "session"}) as sockets:
        step = asyncio.create_task(asyncio.open_unix_connection(sockets["default"]))
        (reader, writer), task = await lend(agents, tmp_path / "l")
        step_reader, step_writer = await step
        step_writer.write(b"question")
        assert await reader.read(100) == b"question"
        writer.write(b"answer")
        assert await step_reader.read(100) == b"answer"
        step_writer.close()
        assert await reader.read() == b""
        writer.close()
        await asyncio.wait_for(task, 5)
    assert not list((tmp_path / "agents").iterdir())


async def test_offers_end_with_their_client_and_are_not_too_many(tmp_path: Path) -> None:
    agents = Agents(tmp_path / "agents")
    (_, writer), task = await lend(agents, tmp_path / "l")
    writer.close()
    await asyncio.wait_for(task, 5)
    offers = [await lend(agents, tmp_path / f"l{number}") for number in range(MAX_OFFERS + 1)]
    (reader, _), last = offers[-1]
    assert await reader.read() == b""
    await last
    for (_, writer), task in offers[:-1]:
        writer.close()
        await asyncio.wait_for(task, 5)


async def test_without_agents_nothing_is_made(tmp_path: Path) -> None:
    async with Agents(tmp_path / "agents").sockets({}) as sockets:
        assert sockets == {}
    assert not (tmp_path / "agents").exists()
