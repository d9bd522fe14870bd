"""Work in threads: what it waits for is broken off, and takes no thread from others."""

import asyncio
import socket
import threading

import pytest

from wherry.build.threads import Stop, in_thread
from wherry.errdefs import EngineError


async def test_who_waits_for_somebody_outside_takes_no_thread_from_work() -> None:
    answered = threading.Event()
    begun = threading.Semaphore(0)

    def wait(stop: Stop) -> bool:
        begun.release()
        return answered.wait()

    waiting = [asyncio.create_task(in_thread(wait, waits=True)) for _ in range(100)]
    try:
        for _ in waiting:
            assert await in_thread(lambda stop: begun.acquire(timeout=30))
        assert await in_thread(lambda stop: "done") == "done"
    finally:
        answered.set()
        assert all(await asyncio.gather(*waiting))


async def test_a_cancelled_wait_is_broken_off() -> None:
    ours, theirs = socket.socketpair()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    seen: list[bytes] = []

    def wait(stop: Stop) -> None:
        with stop.ending(lambda: ours.shutdown(socket.SHUT_RDWR)):
            loop.call_soon_threadsafe(begun.set)
            seen.append(ours.recv(1))

    with ours, theirs:
        task = asyncio.create_task(in_thread(wait, waits=True))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen == [b""]


def test_what_is_to_stop_already_is_broken_off_at_once() -> None:
    stop = Stop()
    ended: list[int] = []
    with stop.ending(lambda: ended.append(1)):
        pass
    stop.set()
    assert ended == []
    with stop.ending(lambda: ended.append(2)):
        assert ended == [2]
    with pytest.raises(EngineError, match="cancelled"):
        stop.check()
