"""Restarting and renaming, in dockerd's words."""

import asyncio

import pytest

from wherry import errdefs
from wherry.engine.document import read_document
from wherry.engine.model import CreateRequest, HostConfig
from wherry.errdefs import EngineError, Kind


async def running(house, name: str, **host: object) -> str:
    request = CreateRequest(image="busybox", cmd=["true"], host_config=HostConfig(**host))
    created = await house.containers.create(name, request, None)
    await house.containers.start(name)
    return created.id


async def state(house, name: str):
    return (await house.containers.inspect(name, False)).state


def told(house) -> list[str]:
    return [event.action for event in house.stores.events._memory]


# --- rename ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["crate", "/crate"])
async def test_a_running_container_gets_another_name(house, wanted: str) -> None:
    container = await running(house, "box")
    await house.containers.rename("box", wanted)
    assert (await house.containers.inspect("crate", False)).name == "/crate"
    with pytest.raises(EngineError, match="No such container"):
        await house.containers.inspect("box", False)
    [record] = house.database.read(lambda tx: tx.containers())
    assert (record.name, read_document(record).name) == ("crate", "crate")
    event = house.stores.events._memory[-1]
    assert (event.action, event.actor.id) == ("rename", container)
    assert event.actor.attributes == {"image": "busybox", "name": "crate", "oldName": "/box"}
    await running(house, "box")  # the name is free


@pytest.mark.parametrize(
    ("wanted", "kind", "words"),
    [
        ("", Kind.INVALID_ARGUMENT, "Neither old nor new names may be empty"),
        ("/", Kind.INVALID_ARGUMENT, "Neither old nor new names may be empty"),
        ("box", Kind.INVALID_ARGUMENT, "Renaming a container with the same name as its current"),
        ("/box", Kind.INVALID_ARGUMENT, "Renaming a container with the same name as its current"),
        (
            "-x",
            Kind.INVALID_ARGUMENT,
            "Error when allocating new name: Invalid container name (/-x)",
        ),
        (
            "other",
            Kind.CONFLICT,
            'Error when allocating new name: Conflict. The container name "/o',
        ),
    ],
)
async def test_names_that_it_can_not_get(house, wanted: str, kind: Kind, words: str) -> None:
    await running(house, "box")
    await running(house, "other")
    with pytest.raises(EngineError) as caught:
        await house.containers.rename("box", wanted)
    assert caught.value.kind is kind
    assert caught.value.message.startswith(words)
    assert (await house.containers.inspect("box", False)).name == "/box"


async def test_a_name_that_is_not_written_down_is_not_given(house, monkeypatch) -> None:
    await running(house, "box")

    async def fail(*_: object, **__: object) -> None:
        raise errdefs.exhausted("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(house.database, "write_async", fail)
        with pytest.raises(EngineError, match="disk full"):
            await house.containers.rename("box", "crate")
    assert (await house.containers.inspect("box", False)).name == "/box"
    await house.containers.rename("box", "crate")


async def test_the_name_outlives_the_engine(house) -> None:
    await running(house, "box")
    await house.containers.rename("box", "crate")
    after = await house.reopen()
    assert (await after.containers.inspect("crate", False)).name == "/crate"
    await after.close()


# --- restart --------------------------------------------------------------------------------------


async def test_restart(house) -> None:
    container = await running(house, "box")
    first = house.task(container)
    await house.containers.restart("box", None, "INT")
    assert first.signals == [2]
    assert house.task(container) is not first
    assert (await state(house, "box")).running
    assert told(house)[2:] == ["kill", "die", "stop", "start", "restart"]


async def test_one_that_does_not_run_is_started(house) -> None:
    container = await running(house, "box")
    house.task(container).finish(3)
    await (await house.containers.wait("box", "not-running")).result()
    await house.containers.restart("box", 0, None)
    assert (await state(house, "box")).running
    assert told(house)[-2:] == ["start", "restart"]


async def test_one_that_goes_by_itself_stays_for_its_restart(house) -> None:
    container = await running(house, "box", auto_remove=True)
    await house.containers.restart("box", 0, None)
    assert (await state(house, "box")).running
    removed = await house.containers.wait("box", "removed")
    house.task(container).finish(0)
    async with asyncio.timeout(5):
        await removed.result()


async def test_one_that_goes_by_itself_goes_if_it_does_not_start_again(house) -> None:
    await running(house, "box", auto_remove=True)
    house.runtime.failure = errdefs.not_found("no such program")
    with pytest.raises(EngineError) as caught:
        await house.containers.restart("box", 0, None)
    assert caught.value.message == "Cannot restart container box: no such program"
    assert caught.value.kind is Kind.NOT_FOUND
    with pytest.raises(EngineError, match="No such container"):
        await house.containers.inspect("box", False)


async def test_a_bad_signal_changes_nothing(house) -> None:
    await running(house, "box", auto_remove=True)
    with pytest.raises(EngineError, match="Cannot restart container box"):
        await house.containers.restart("box", 0, "NONSENSE")
    assert (await state(house, "box")).running
    with pytest.raises(EngineError, match="No such container: nobody"):
        await house.containers.restart("nobody", 0, None)
