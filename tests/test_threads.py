"""Blocking work does not wait for a program that has filled its loop's threads."""

import asyncio
import contextvars
import threading

import pytest

from wherry.threads import own_threads, to_thread


def here() -> str:
    return threading.current_thread().name


async def test_without_own_threads_those_of_the_loop_serve() -> None:
    assert (await to_thread(here)).startswith("asyncio")


async def test_own_threads_go_with_the_last_who_has_them() -> None:
    before = set(threading.enumerate())
    async with own_threads():
        async with own_threads():
            assert (await to_thread(here)).startswith("wherry")
        assert (await to_thread(here)).startswith("wherry")
    assert set(threading.enumerate()) == before
    assert (await to_thread(here)).startswith("asyncio")


async def test_a_loop_whose_threads_are_all_taken_does_not_hold_it_up() -> None:
    go_on = threading.Event()
    async with own_threads(), asyncio.timeout(30):
        taken = [asyncio.create_task(asyncio.to_thread(go_on.wait)) for _ in range(64)]
        await asyncio.sleep(0)
        assert await to_thread(int, "7") == 7
        go_on.set()
        await asyncio.gather(*taken)


async def test_leaving_waits_for_work_that_nobody_awaits_any_more() -> None:
    started, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go_on.wait()
        done.set()

    async with own_threads():
        abandoned = asyncio.create_task(to_thread(work))
        await to_thread(started.wait)
        abandoned.cancel()
        asyncio.get_running_loop().call_later(0.01, go_on.set)
    assert done.is_set()


async def test_context_and_errors_go_across() -> None:
    variable = contextvars.ContextVar("variable", default="")
    variable.set("here")
    async with own_threads():
        assert await to_thread(variable.get) == "here"
        with pytest.raises(ValueError, match="invalid literal"):
            await to_thread(int, "x")
