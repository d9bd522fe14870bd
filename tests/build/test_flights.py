"""Equal work at the same time is done once, for as long as somebody wants it."""

import asyncio

import pytest

from wherry.build.flights import Flights


async def test_equal_keys_at_once_do_the_work_once() -> None:
    flights: Flights[int] = Flights()
    begun = 0
    go = asyncio.Event()

    async def work() -> int:
        nonlocal begun
        begun += 1
        await go.wait()
        return 42

    waiting = [asyncio.create_task(flights.join("key", work)) for _ in range(3)]
    await asyncio.sleep(0)
    go.set()

    assert await asyncio.gather(*waiting) == [42, 42, 42]
    assert begun == 1


async def test_who_comes_afterwards_does_it_again() -> None:
    flights: Flights[int] = Flights()
    outcomes = iter((1, 2))

    async def work() -> int:
        return next(outcomes)

    assert [await flights.join("key", work), await flights.join("key", work)] == [1, 2]


async def test_one_who_leaves_does_not_end_what_another_waits_for() -> None:
    flights: Flights[str] = Flights()
    go = asyncio.Event()

    async def work() -> str:
        await go.wait()
        return "done"

    first, second = (asyncio.create_task(flights.join("key", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()

    assert await second == "done"


async def test_the_last_one_who_leaves_ends_it_and_sees_its_end() -> None:
    flights: Flights[None] = Flights()
    ended = False
    begun = asyncio.Event()

    async def work() -> None:
        nonlocal ended
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended = True

    alone = asyncio.create_task(flights.join("key", work))
    await begun.wait()
    alone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await alone

    assert ended


async def test_an_error_is_everybodys() -> None:
    flights: Flights[None] = Flights()

    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    outcomes = await asyncio.gather(
        *(flights.join("key", work) for _ in range(2)), return_exceptions=True
    )

    assert [str(outcome) for outcome in outcomes] == ["no", "no"]
