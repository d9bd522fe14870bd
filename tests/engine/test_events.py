"""What happens, in dockerd's words and order, and what becomes of those who listen."""

import asyncio
import time

import msgspec
import pytest
from apispec import check, needs_specification

from wherry import errdefs
from wherry.engine import events
from wherry.engine.document import nanoseconds, timestamp
from wherry.engine.events import Events
from wherry.engine.model import AttachOptions, CreateRequest, EventMessage, EventOptions, HostConfig
from wherry.errdefs import EngineError

EVER = EventOptions(since=1)


def happened(bus: Events, options: EventOptions = EVER) -> list[EventMessage]:
    """What is remembered, and no more."""
    listener = bus.listen(msgspec.structs.replace(options, until=options.until or time.time_ns()))
    return list(listener._waiting)


def lines(found: list[EventMessage]) -> list[str]:
    """`create image=busybox name=web`, without the labels of no interest."""
    return [
        " ".join([one.action, *(f"{key}={value}" for key, value in one.actor.attributes.items())])
        for one in found
    ]


def request(**options: object) -> CreateRequest:
    return CreateRequest(image="busybox", cmd=["true"], **options)


async def test_a_life_in_dockerds_order(house) -> None:
    """As dockerd 20.10.24 tells `run --rm`, `stop`, `kill` and `rm -f`, with the execDuration that
    later ones have."""
    containers = house.containers
    created = await containers.create("web", request(labels={"l": "1"}), None)
    attached = await containers.attach("web", AttachOptions(stream=True, stdout=True))
    attached.socket.close()
    await containers.start("web")
    task = house.task(created.id)
    task.ignores = {10, 15}
    await containers.kill("web", "USR1")
    await containers.resize("web", 10, 20)
    await containers.detached("web")
    await containers.stop("web", 0, None)
    await containers.start("web")
    house.task(created.id).finish(3, oom_killed=True)
    await (await containers.wait("web", "not-running")).result()
    await containers.start("web")
    await containers.remove("web", True, False, False)
    found = happened(house.stores.events)
    assert {one.actor.id for one in found} == {created.id}
    assert lines(found) == [
        "create image=busybox l=1 name=web",
        "attach image=busybox l=1 name=web",
        "start image=busybox l=1 name=web",
        "kill image=busybox l=1 name=web signal=10",
        "resize height=10 image=busybox l=1 name=web width=20",
        "detach image=busybox l=1 name=web",
        "kill image=busybox l=1 name=web signal=15",
        "kill image=busybox l=1 name=web signal=9",
        "die execDuration=1 exitCode=137 image=busybox l=1 name=web",
        "stop image=busybox l=1 name=web",
        "start image=busybox l=1 name=web",
        "oom image=busybox l=1 name=web",
        "die execDuration=1 exitCode=3 image=busybox l=1 name=web",
        "start image=busybox l=1 name=web",
        "kill image=busybox l=1 name=web signal=9",
        "die execDuration=1 exitCode=137 image=busybox l=1 name=web",
        "destroy image=busybox l=1 name=web",
    ]


async def test_what_goes_by_itself_and_what_does_not_start(house) -> None:
    host = HostConfig(auto_remove=True)
    created = await house.containers.create("brief", request(host_config=host), None)
    await house.containers.start("brief")
    removed = await house.containers.wait("brief", "removed")
    house.task(created.id).finish(0)
    await removed.result()
    house.runtime.failure = errdefs.not_found("no such program")
    await house.containers.create("bad", request(), None)
    with pytest.raises(EngineError):
        await house.containers.start("bad")
    actions = [(one.action, one.actor.attributes["name"]) for one in happened(house.stores.events)]
    assert actions == [
        *(("create", "brief"), ("start", "brief"), ("die", "brief"), ("destroy", "brief")),
        ("create", "bad"),
    ]


@needs_specification
async def test_events_are_what_the_specification_says(house) -> None:
    await house.containers.create("web", request(labels={"l": "1"}), None)
    house.stores.events.publish("builder", "prune", "", {"reclaimed": "5"})
    house.stores.events.image("sha256:1", "tag", "app:1", {"a": "b"})
    for event in happened(house.stores.events):
        check("EventMessage", msgspec.json.decode(msgspec.json.encode(event)))
        assert event.time == event.time_nano // 1_000_000_000


# --- filters --------------------------------------------------------------------------------------


@pytest.fixture
def told() -> Events:
    bus = Events()
    web = {"image": "registry:5000/app:1", "name": "web", "tier": "front"}
    bus.publish("container", "start", "c0ffee", web)
    bus.publish("container", "exec_create: sh -c", "c0ffee", web)
    bus.publish("image", "tag", "sha256:1234", {"name": "app:1", "tier": "front", "os": "linux"})
    bus.publish("network", "connect", "be11", {"name": "web", "container": "c0ffee"})
    bus.publish("daemon", "reload", "da3", {"name": "host"})
    return bus


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, "start exec_create tag connect reload"),
        ({"type": ["image", "daemon"]}, "tag reload"),
        ({"event": ["start", "tag"]}, "start tag"),
        ({"event": ["exec_create"]}, "exec_create"),
        ({"event": ["exec"]}, ""),
        ({"scope": ["local"]}, "start exec_create tag connect reload"),
        ({"scope": ["swarm"]}, ""),
        ({"container": ["web"]}, "start exec_create"),
        ({"container": ["c0f"]}, "start exec_create"),
        ({"container": ["eb"]}, ""),
        ({"container": ["x", "we"], "event": ["start"]}, "start"),
        ({"network": ["web"]}, "connect"),
        ({"daemon": ["host"]}, "reload"),
        ({"volume": ["web"]}, ""),
        ({"image": ["registry:5000/app"]}, "start exec_create"),
        ({"image": ["registry:5000/app:1"]}, "start exec_create"),
        ({"image": ["app"]}, "tag"),
        ({"image": ["sha256:1234"]}, "tag"),
        ({"label": ["tier=front"]}, "start exec_create tag"),
        ({"label": ["tier", "os=linux"]}, "tag"),
        ({"label": ["tier=back"]}, ""),
        ({"nonsense": ["x"]}, "start exec_create tag connect reload"),
        ({"type": []}, "start exec_create tag connect reload"),
    ],
)
async def test_filters(told: Events, filters: dict[str, list[str]], expected: str) -> None:
    found = happened(told, EventOptions(since=1, filters=filters))
    assert [one.action.partition(":")[0] for one in found] == expected.split()


# --- listening ------------------------------------------------------------------------------------


async def test_without_since_and_until_only_what_comes(told: Events) -> None:
    listener = told.listen(EventOptions())
    told.publish("image", "pull", "x")
    assert (await anext(listener)).action == "pull"
    assert len(told) == 1
    await listener.aclose()
    assert len(told) == 0
    with pytest.raises(StopAsyncIteration):
        await anext(listener)


async def test_since_and_until_choose_from_the_past(told: Events) -> None:
    third = happened(told)[2].time_nano
    assert [one.action for one in happened(told, EventOptions(since=third))] == [
        *("tag", "connect", "reload")
    ]
    assert [one.action for one in happened(told, EventOptions(until=third))][-1] == "tag"


async def test_until_ends_the_listening(told: Events) -> None:
    listener = told.listen(EventOptions(until=time.time_ns() + 50_000_000))
    told.publish("image", "pull", "x")
    assert [one.action async for one in listener][-1] == "pull"
    assert len(told) == 0


async def test_the_past_is_short(told: Events) -> None:
    for number in range(events.MEMORY + 10):
        told.publish("image", "pull", str(number))
    found = happened(told)
    assert len(found) == events.MEMORY
    assert found[0].actor.id == "10"


async def test_who_is_slow_loses_the_oldest_and_is_told_so(told: Events) -> None:
    slow = told.listen(EventOptions(filters={"type": ["image"]}))
    for number in range(events.WAITING + 7):
        told.publish("image", "pull", str(number))
    told.publish("container", "start", "not for this one")
    notice = await anext(slow)
    assert (notice.type, notice.action) == ("daemon", "lost")
    assert notice.actor.attributes == {"count": "7"}
    assert (await anext(slow)).actor.id == "7"
    told.publish("image", "pull", "last")
    rest = [await anext(slow) for _ in range(events.WAITING)]
    assert rest[-1].actor.id == "last"
    assert {one.type for one in rest} == {"image"}


async def test_a_listener_that_nobody_has_any_more_is_gone(told: Events) -> None:
    listener = told.listen(EventOptions())
    del listener
    assert len(told) == 0


async def test_all_end_with_the_engine(told: Events) -> None:
    listener = told.listen(EventOptions())
    waiting = asyncio.create_task(anext(listener, None))
    await asyncio.sleep(0)
    told.close()
    assert await waiting is None
    assert await anext(told.listen(EventOptions()), None) is None


@pytest.mark.parametrize("moment", [0, 1, 1_234_567_890_123_456_789])
def test_times_are_read_as_they_are_written(moment: int) -> None:
    assert nanoseconds(timestamp(moment)) == moment
