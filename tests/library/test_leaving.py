"""However a program leaves its engine: what it started ends with it, and nothing else is left."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.library.conftest import Opened, Place

import wherry

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root and the real kernel"),
]

# It says that it runs, and ends of a SIGTERM.
OBEDIENT = ["sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done"]
STUBBORN = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.01; done"]
ALONE = {"network": "none"}


async def ready(container: wherry.Container) -> None:
    async for line in container.logs():
        assert line.text == "ready"
        return


async def test_leaving_stops_what_was_not_detached(
    opened: Callable[..., Opened], place: Place, nothing_left: None
) -> None:
    async with opened() as engine:
        stopped = await engine.run("box", OBEDIENT, name="stopped", **ALONE)
        removed = await engine.run("box", OBEDIENT, name="removed", remove=True, **ALONE)
        detached = await engine.run("box", OBEDIENT, name="detached", detach=True, **ALONE)
        for container in (stopped, removed, detached):
            await ready(container)
        pid = (await detached.inspect()).state.pid
    os.kill(pid, 0)
    assert await stopped.wait() == 3
    with pytest.raises(wherry.EngineError, match="is not open"):
        await stopped.inspect()

    async with opened() as engine:
        found = {one.names[0]: one.state for one in await engine.containers.list(all=True)}
        assert found == {"/stopped": "exited", "/detached": "running"}
        again = await engine.containers.get("stopped")
        assert await again.wait() == 3
        detached = await engine.containers.get("detached")
        await detached.stop()
        assert await detached.wait() == 3


async def test_leaving_by_an_exception(opened: Callable[..., Opened], nothing_left: None) -> None:
    async def program() -> None:
        async with opened() as engine:
            await ready(await engine.run("box", OBEDIENT, **ALONE))
            raise RuntimeError("the program's own")

    with pytest.raises(RuntimeError, match="the program's own"):
        await program()
    async with opened() as engine:
        assert await engine.containers.list() == []


async def test_leaving_by_cancellation(opened: Callable[..., Opened], nothing_left: None) -> None:
    running = asyncio.Event()

    async def program() -> None:
        async with opened() as engine:
            container = await engine.run("box", OBEDIENT, **ALONE)
            await ready(container)
            running.set()
            await container.wait()

    task = asyncio.create_task(program())
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with opened() as engine:
        assert await engine.containers.list() == []
        [one] = await engine.containers.list(all=True)
        assert one.status.startswith("Exited (3)")


async def test_who_is_cancelled_again_does_not_wait_for_the_stubborn(
    opened: Callable[..., Opened], nothing_left: None
) -> None:
    running = asyncio.Event()

    async def program() -> None:
        async with opened(stop_timeout=-1) as engine:
            for _ in range(3):
                await ready(await engine.run("box", STUBBORN, remove=True, **ALONE))
            running.set()

    task = asyncio.create_task(program())
    await running.wait()
    done, _ = await asyncio.wait([task], timeout=0.2)
    assert not done
    async with asyncio.timeout(30):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with opened() as engine:
        assert await engine.containers.list(all=True) == []


async def test_a_wait_that_is_under_way_is_told(opened: Callable[..., Opened]) -> None:
    async with opened() as engine:
        container = await engine.run("box", ["sleep", "1000"], detach=True, **ALONE)
        waiting = asyncio.create_task(container.wait())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises(wherry.EngineError, match="the engine was left"):
        await waiting
    async with opened() as engine:
        await (await engine.containers.get(container.id)).remove(force=True)


async def test_events_end_with_the_engine(opened: Callable[..., Opened]) -> None:
    async with opened() as engine:
        events = engine.events()
        async with events:
            pass
        events = engine.events()
        listening = asyncio.create_task(anext(events))
        await asyncio.sleep(0)
    with pytest.raises(StopAsyncIteration):
        await listening


# --- Programs that are told to end from outside --------------------------------------------------

PROGRAM = """
import asyncio, sys
import wherry

running = asyncio.Event()

async def use():
    engine = wherry.Engine({root!r}, exec_root={exec_root!r}, cgroup_parent={cgroup!r}, {options})
    async with engine:
        await engine.images.load({box!r})
        container = await engine.run("box", {command!r}, network="none")
        async for line in container.logs():
            print(line, flush=True)
            break
        running.set()
        await container.wait()

async def main():
    {main}

asyncio.run(main())
"""


class Program:
    """A Python program with an engine of its own."""

    def __init__(
        self,
        place: Place,
        box: Path,
        command: list[str],
        main: str = "await use()",
        options: str = "",
    ) -> None:
        text = PROGRAM.format(
            root=str(place.root),
            exec_root=str(place.exec_root),
            cgroup=place.cgroup,
            box=str(box),
            command=command,
            main=main,
            options=options,
        )
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-c", text],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said == "ready\n", self.process.communicate()

    def end(self, *signals: signal.Signals) -> str:
        """What it has said of its end."""
        for number in signals:
            self.process.send_signal(number)
            time.sleep(0.2)  # two signals at once are one
        _, said = self.process.communicate(timeout=60)
        return said


async def states(opened: Callable[..., Opened]) -> list[str]:
    async with opened() as engine:
        found = [one.status for one in await engine.containers.list(all=True)]
        for one in await engine.containers.list(all=True):
            await (await engine.containers.get(one.id)).remove(force=True)
        return found


async def test_an_interrupt(
    opened: Callable[..., Opened], place: Place, box: Path, nothing_left: None
) -> None:
    program = Program(place, box, OBEDIENT)
    said = program.end(signal.SIGINT)
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert "never" not in said
    assert place.left() == Place.NOTHING
    assert [status[:10] for status in await states(opened)] == ["Exited (3)"]


async def test_an_impatient_interrupt(
    opened: Callable[..., Opened], place: Place, box: Path, nothing_left: None
) -> None:
    """The loop is given up with all of its tasks; the engine's end is awaited all the same."""
    program = Program(place, box, STUBBORN, options="stop_timeout=-1")
    said = program.end(signal.SIGINT, signal.SIGINT)
    assert said.rstrip().endswith("KeyboardInterrupt"), said
    assert "was never retrieved" not in said
    assert place.left() == Place.NOTHING
    assert [status[:12] for status in await states(opened)] == ["Exited (137)"]


async def test_a_main_that_returns_while_a_task_has_the_engine(
    opened: Callable[..., Opened], place: Place, box: Path, nothing_left: None
) -> None:
    """asyncio.run cancels all tasks at once, the engine's own among them."""
    main = "user = asyncio.create_task(use()); await running.wait()"
    program = Program(place, box, OBEDIENT, main)
    assert "never" not in program.end()
    assert program.process.returncode == 0
    assert [status[:10] for status in await states(opened)] == ["Exited (3)"]


async def test_a_program_that_is_killed_leaves_its_containers_to_the_next(
    opened: Callable[..., Opened], place: Place, box: Path, nothing_left: None
) -> None:
    program = Program(place, box, OBEDIENT)
    program.end(signal.SIGKILL)
    async with opened() as engine:
        [one] = await engine.containers.list()
        container = await engine.containers.get(one.id)
        await container.stop()
        assert await container.wait() == 3
        await container.remove()
