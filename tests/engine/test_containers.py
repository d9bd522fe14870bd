"""A container's life by the API's verbs, with a stand-in for its process."""

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from wherry import errdefs
from wherry.engine import containers, streams
from wherry.engine.container import MAX_CLIENTS
from wherry.engine.document import timestamp
from wherry.engine.model import (
    AttachOptions,
    CreateRequest,
    EmptyObject,
    HostConfig,
    LogConfig,
    LogOptions,
)
from wherry.engine.networking import network_id
from wherry.errdefs import EngineError, Kind
from wherry.logs.jsonfile import Writer
from wherry.shim import wire
from wherry.shim.runtime import StartError


def request(**options: object) -> CreateRequest:
    config = {"image": "busybox", "cmd": ["true"]}
    host = {key: options.pop(key) for key in list(options) if key in HostConfig.__struct_fields__}
    return CreateRequest(**config, **options, host_config=HostConfig(**host))


async def create(house, name: str | None = None, **options: object) -> str:
    return (await house.containers.create(name, request(**options), None)).id


async def running(house, name: str | None = None, **options: object) -> str:
    container_id = await create(house, name, **options)
    await house.containers.start(container_id)
    return container_id


async def state(house, ref: str):
    return (await house.containers.inspect(ref, False)).state


def recorded(house) -> list[str]:
    return [record.id for record in house.database.read(lambda tx: tx.containers())]


async def until_gone(house, container_id: str) -> None:
    await house.stores.settle()
    assert container_id not in recorded(house)
    assert house.snapshots.keys() == []
    assert not house.stores.folder(container_id).exists()


# --- create ---------------------------------------------------------------------------------------


async def test_create_makes_a_record_a_snapshot_and_a_folder(house) -> None:
    created = await house.containers.create("web", request(), None)
    assert len(created.id) == 64
    assert "network" in created.warnings[0]
    assert recorded(house) == house.snapshots.keys() == [created.id]
    assert (house.stores.folder(created.id) / "hostname").read_text() == f"{created.id[:12]}\n"
    shown = await house.containers.inspect("web", False)
    assert (shown.id, shown.name, shown.state.status) == (created.id, "/web", "created")
    assert shown.host_config.network_mode == "none"
    assert shown.host_config.shm_size == 64 * 1024 * 1024
    assert (shown.path, shown.args) == ("true", [])


async def test_names_are_unique_and_in_dockers_words(house) -> None:
    first = await create(house, "web")
    with pytest.raises(EngineError) as caught:
        await create(house, "/web")
    assert caught.value.kind is Kind.CONFLICT
    assert caught.value.message == (
        f'Conflict. The container name "/web" is already in use by container "{first}". You have '
        "to remove (or rename) that container to be able to reuse that name."
    )
    await house.containers.remove("web", False, False, False)
    await create(house, "web")


@pytest.mark.parametrize("name", ["a", "-a", "a b", "é1", "a/b", "//ab"])
async def test_names_that_cannot_be(house, name: str) -> None:
    with pytest.raises(EngineError, match="Invalid container name"):
        await create(house, name)


async def test_a_creation_that_fails_leaves_nothing(house) -> None:
    house.snapshots.failure = errdefs.exhausted("no space left")
    with pytest.raises(EngineError, match="no space left"):
        await create(house, "web")
    house.snapshots.failure = None
    for bad in ({"image": "missing"}, {"binds": ["nonsense"]}, {"security_opt": ["x"]}):
        wanted = request(**{key: value for key, value in bad.items() if key != "image"})
        wanted.image = bad.get("image", "busybox")
        with pytest.raises(EngineError):
            await house.containers.create("web", wanted, None)
    assert recorded(house) == house.snapshots.keys() == []
    assert os.listdir(house.stores.settings.data_root / "containers") == []
    await create(house, "web")


async def test_an_image_of_another_platform_is_not_found(house) -> None:
    await house.containers.create(None, request(), "linux/amd64")
    with pytest.raises(EngineError, match="does not match the specified platform") as caught:
        await house.containers.create(None, request(), "linux/s390x")
    assert caught.value.kind is Kind.NOT_FOUND


async def test_refs(house) -> None:
    ids = [await create(house, f"name{number}") for number in range(20)]
    for ref in (ids[0], ids[0][:20], "name0", "/name0"):
        assert (await house.containers.inspect(ref, False)).id == ids[0]
    with pytest.raises(EngineError, match="No such container: nobody") as caught:
        await house.containers.inspect("nobody", False)
    assert caught.value.kind is Kind.NOT_FOUND
    with pytest.raises(EngineError, match="No such container"):
        await house.containers.inspect("", False)
    first = next(digit for digit in "0123456789abcdef" if sum(i[0] == digit for i in ids) > 1)
    with pytest.raises(EngineError, match=f"multiple IDs found with provided prefix: {first}"):
        await house.containers.inspect(first, False)


# --- start and end --------------------------------------------------------------------------------


async def test_start_and_end(house) -> None:
    container_id = await create(house)
    waiter = await house.containers.wait(container_id, "next-exit")
    await house.containers.start(container_id)
    started = await state(house, container_id)
    assert (started.status, started.running, started.pid) == ("running", True, 4321)
    (start,) = house.runtime.starts
    assert (start.bundle / "config.json").exists()
    assert start.log_path == house.stores.log_path(container_id)
    with pytest.raises(EngineError) as caught:
        await house.containers.start(container_id)
    assert caught.value.kind is Kind.NOT_MODIFIED
    house.task(container_id).finish(3, oom_killed=True)
    assert (await waiter.result()).status_code == 3
    ended = await state(house, container_id)
    assert (ended.status, ended.exit_code, ended.oom_killed, ended.pid) == ("exited", 3, True, 0)
    again = await house.containers.wait(container_id, "")
    assert (await again.result()).status_code == 3


async def test_it_can_be_started_again(house) -> None:
    container_id = await running(house)
    waiter = await house.containers.wait(container_id, "not-running")
    house.task(container_id).finish(1)
    await waiter.result()
    await house.containers.start(container_id)
    now = await state(house, container_id)
    assert (now.status, now.exit_code) == ("running", 0)


async def test_a_failed_start_is_recorded(house) -> None:
    house.runtime.failure = StartError(Kind.INVALID_ARGUMENT, 'exec: "x": not found', 127)
    container_id = await create(house)
    attached = await house.containers.attach(container_id, AttachOptions(stream=True, stdout=True))
    with pytest.raises(StartError):
        await house.containers.start(container_id)
    assert attached.socket.recv(1) == b""
    attached.socket.close()
    now = await state(house, container_id)
    assert (now.status, now.exit_code, now.error) == ("created", 127, 'exec: "x": not found')
    # As dockerd has it: who waits now is told both, and `docker wait` prints the number.
    after = await (await house.containers.wait(container_id, "not-running")).result()
    assert (after.status_code, after.error.message) == (127, 'exec: "x": not found')
    house.runtime.failure = None
    await house.containers.start(container_id)
    assert (await state(house, container_id)).error == ""


async def test_a_failed_start_takes_an_auto_removed_container_away(house) -> None:
    house.runtime.failure = errdefs.internal("no")
    container_id = await create(house, auto_remove=True)
    waiter = await house.containers.wait(container_id, "removed")
    with pytest.raises(EngineError):
        await house.containers.start(container_id)
    result = await waiter.result()
    # The start itself has answered with the error: a client would show it twice.
    assert (result.status_code, bool(result.error)) == (128, False)
    await until_gone(house, container_id)


async def hanging_start(house, **options: object) -> tuple[str, "asyncio.Task[None]"]:
    container_id = await create(house, **options)
    house.runtime.hangs = True
    start = asyncio.create_task(house.containers.start(container_id))
    while not house.runtime.starts:
        await asyncio.sleep(0.001)
    house.runtime.hangs = False
    return container_id, start


async def test_a_start_that_hangs_can_be_stopped(house, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_START_PATIENCE", 0.05)
    container_id, start = await hanging_start(house)
    async with asyncio.timeout(5):
        await house.containers.stop(container_id, None, None)
        with pytest.raises(EngineError, match="stopped or removed while it was being started"):
            await start
    now = await state(house, container_id)
    assert (now.status, now.exit_code) == ("created", 128)
    await house.containers.start(container_id)
    assert (await state(house, container_id)).running


@pytest.mark.parametrize("auto_remove", [False, True])
async def test_a_start_that_hangs_can_be_removed(house, auto_remove: bool) -> None:
    container_id, start = await hanging_start(house, auto_remove=auto_remove)
    async with asyncio.timeout(5):
        await house.containers.remove(container_id, True, False, False)
        with pytest.raises(EngineError, match="stopped or removed while it was being started"):
            await start
    await until_gone(house, container_id)


async def test_stopping_in_the_middle_of_a_start_waits_for_it(house) -> None:
    container_id = await create(house)
    start = asyncio.create_task(house.containers.start(container_id))
    while not house.containers.roster.find(container_id).starting:
        await asyncio.sleep(0)
    await house.containers.stop(container_id, 1, None)
    await start
    assert (await state(house, container_id)).exit_code == 143


async def test_an_engine_that_ends_in_the_middle_of_a_start(house) -> None:
    _, start = await hanging_start(house)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start


async def test_auto_remove(house) -> None:
    container_id = await running(house, auto_remove=True)
    waiter = await house.containers.wait(container_id, "removed")
    house.task(container_id).finish(5)
    assert (await waiter.result()).status_code == 5
    with pytest.raises(EngineError, match="No such container"):
        await house.containers.inspect(container_id, False)
    await until_gone(house, container_id)


async def test_a_joined_network_needs_a_running_container(house) -> None:
    donor = await create(house, "donor")
    guest = await create(house, network_mode="container:donor")
    shown = await house.containers.inspect(guest, False)
    assert shown.host_config.network_mode == f"container:{donor}"
    assert donor in shown.hosts_path
    with pytest.raises(EngineError, match="cannot join network of a non running container"):
        await house.containers.start(guest)
    await house.containers.start(donor)
    await house.containers.start(guest)
    assert b"/proc/4321/ns/net" in (house.stores.folder(guest) / "config.json").read_bytes()


async def test_a_joined_network_must_exist(house) -> None:
    with pytest.raises(EngineError, match="No such container: nobody"):
        await create(house, network_mode="container:nobody")
    with pytest.raises(EngineError, match="network mynet not found") as caught:
        await create(house, network_mode="mynet")
    assert caught.value.kind is Kind.INVALID_ARGUMENT


# --- stop and kill --------------------------------------------------------------------------------


async def test_stop_asks_first(house) -> None:
    container_id = await running(house, stop_signal="SIGINT")
    await house.containers.stop(container_id, None, None)
    assert house.task(container_id).signals == [2]
    assert (await state(house, container_id)).exit_code == 130
    with pytest.raises(EngineError) as caught:
        await house.containers.stop(container_id, None, None)
    assert caught.value.kind is Kind.NOT_MODIFIED


async def test_stop_kills_in_the_end(house) -> None:
    container_id = await running(house)
    house.task(container_id).ignores = {15}
    await house.containers.stop(container_id, 0, None)
    assert house.task(container_id).signals == [15, 9]
    assert (await state(house, container_id)).exit_code == 137


async def test_stop_with_another_signal_and_for_ever(house) -> None:
    container_id = await running(house)
    task = house.task(container_id)
    task.ignores = {1}
    stopping = asyncio.create_task(house.containers.stop(container_id, -1, "HUP"))
    while not task.signals:
        await asyncio.sleep(0)
    task.finish(0)
    await stopping
    assert task.signals == [1]


async def test_kill(house) -> None:
    container_id = await running(house)
    house.task(container_id).ignores = {10}
    await house.containers.kill(container_id, "usr1")
    assert (await state(house, container_id)).running
    await house.containers.kill(container_id, "")
    assert (await state(house, container_id)).status == "exited"
    with pytest.raises(EngineError, match=f"cannot kill container: {container_id}: ") as caught:
        await house.containers.kill(container_id, "KILL")
    assert caught.value.kind is Kind.CONFLICT
    with pytest.raises(EngineError, match="Invalid signal: BOGUS"):
        await house.containers.kill(container_id, "BOGUS")


async def test_resize(house) -> None:
    container_id = await create(house, tty=True)
    with pytest.raises(EngineError, match="is not running") as caught:
        await house.containers.resize(container_id, 24, 80)
    assert caught.value.kind is Kind.CONFLICT
    await house.containers.start(container_id)
    await house.containers.resize(container_id, 24, 80)
    assert house.task(container_id).sizes == [(24, 80)]
    plain = await running(house)
    await house.containers.resize(plain, 24, 80)
    assert house.task(plain).sizes == []


# --- remove ---------------------------------------------------------------------------------------


async def test_a_running_container_is_removed_by_force_only(house) -> None:
    container_id = await running(house, "web")
    with pytest.raises(EngineError) as caught:
        await house.containers.remove("web", False, False, False)
    assert caught.value.kind is Kind.CONFLICT
    assert caught.value.message == (
        'cannot remove container "/web": container is running: stop the container before removing '
        "or force remove"
    )
    waiter = await house.containers.wait("web", "removed")
    await house.containers.remove("web", True, True, False)
    assert (await waiter.result()).status_code == 137
    await until_gone(house, container_id)


async def test_removing_twice_at_once(house) -> None:
    container_id = await create(house)
    await asyncio.gather(
        house.containers.remove(container_id, False, False, False),
        house.containers.remove(container_id, False, False, False),
    )
    await until_gone(house, container_id)


async def test_waiting_for_the_next_exit_of_what_is_removed(house) -> None:
    container_id = await create(house)
    waiter = await house.containers.wait(container_id, "next-exit")
    await house.containers.remove(container_id, False, False, False)
    assert (await waiter.result()).status_code == 0


async def test_a_condition_that_does_not_exist(house) -> None:
    container_id = await create(house)
    with pytest.raises(EngineError, match="invalid condition"):
        await house.containers.wait(container_id, "someday")


# --- streams --------------------------------------------------------------------------------------


async def test_who_attaches_before_the_start_is_handed_over(house) -> None:
    container_id = await create(house, open_stdin=True)
    options = AttachOptions(stream=True, stdin=True, stdout=True)
    stays = await house.containers.attach(container_id, options)
    half = await house.containers.attach(container_id, options)
    half.socket.shutdown(socket.SHUT_WR)
    left = await house.containers.attach(container_id, options)
    left.socket.close()
    await house.containers.start(container_id)
    handed = house.runtime.starts[0].attaches
    assert [(each.stdin, each.stdout, each.stderr) for each in handed] == [(True, True, False)] * 2
    handed[0].socket.send(b"hello")
    assert stays.socket.recv(10) == b"hello"
    for each in (stays, half):
        each.socket.close()
    for each in handed:
        each.socket.close()


async def test_who_attaches_later_goes_to_the_task(house) -> None:
    container_id = await running(house)
    attached = await house.containers.attach(
        container_id, AttachOptions(stream=True, stdin=True, stderr=True)
    )
    (handed,) = house.task(container_id).attached
    assert (handed.stdin, handed.stdout, handed.stderr) == (False, False, True)
    handed.socket.close()
    assert attached.socket.recv(1) == b""
    attached.socket.close()


async def text(stream) -> bytes:
    return b"".join([chunk async for chunk in stream])


@pytest.mark.parametrize("when", ["before the start", "while it runs"])
async def test_one_client_too_many_is_refused_and_the_others_stay(house, when: str) -> None:
    container_id = await create(house)
    if when == "while it runs":
        await house.containers.start(container_id)
    options = AttachOptions(stream=True, stdout=True)
    clients = [
        (await house.containers.attach(container_id, options)).socket for _ in range(MAX_CLIENTS)
    ]
    with pytest.raises(EngineError, match="has 63 attached clients") as caught:
        await house.containers.attach(container_id, options)
    assert caught.value.kind is Kind.RESOURCE_EXHAUSTED
    clients.pop().close()
    clients.append((await house.containers.attach(container_id, options)).socket)
    if when == "before the start":
        await house.containers.start(container_id)
        assert len(house.runtime.starts[0].attaches) == MAX_CLIENTS
        joined = house.runtime.starts[0].attaches
    else:
        joined = house.task(container_id).attached[-MAX_CLIENTS:]
    for client in clients:
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
    for attach in joined:
        attach.socket.close()
    for client in clients:
        client.close()


def test_a_start_can_hand_over_all_who_may_wait() -> None:
    assert MAX_CLIENTS < wire.MAX_DESCRIPTORS


async def test_logs_of_what_has_ended(house) -> None:
    container_id = await running(house, tty=True)
    writer = Writer(house.stores.log_path(container_id), 1000, 1)
    writer.write("stdout", b"hello\n")
    writer.close()
    await house.containers.kill(container_id, "KILL")
    stream = await house.containers.logs(container_id, LogOptions(stdout=True, follow=True))
    assert stream.tty
    assert await text(stream.chunks) == b"hello\n"
    attached = await house.containers.attach(container_id, AttachOptions(logs=True, stdout=True))
    assert attached.socket is None
    assert await text(attached.history) == b"hello\n"


async def test_following_ends_with_the_container(house) -> None:
    container_id = await running(house, tty=True)
    stream = await house.containers.logs(container_id, LogOptions(stdout=True, follow=True))
    reading = asyncio.create_task(text(stream.chunks))
    await asyncio.sleep(0)
    writer = Writer(house.stores.log_path(container_id), 1000, 1)
    writer.write("stdout", b"bye\n")
    writer.close()
    house.task(container_id).finish()
    async with asyncio.timeout(10):
        assert await reading == b"bye\n"


async def test_the_log_of_what_has_just_begun(house, monkeypatch) -> None:
    """Who asks right after the start sees what a short command says."""
    monkeypatch.setattr(streams, "BEGINNING", 60.0)
    container_id = await running(house, tty=True)
    house.containers.roster.find(container_id).document.life.started_at = timestamp(time.time_ns())
    stream = await house.containers.logs(container_id, LogOptions(stdout=True))
    reading = asyncio.create_task(text(stream.chunks))
    await asyncio.sleep(0)
    writer = Writer(house.stores.log_path(container_id), 1000, 1)
    writer.write("stdout", b"quick\n")
    writer.close()
    assert not reading.done()
    house.task(container_id).finish()
    async with asyncio.timeout(10):
        assert await reading == b"quick\n"


async def test_the_log_of_what_has_begun_and_goes_on(house, monkeypatch) -> None:
    monkeypatch.setattr(streams, "BEGINNING", 0.05)
    container_id = await running(house, tty=True)
    for started in (time.time_ns(), time.time_ns() - 10**9, time.time_ns() + 10**12):
        house.containers.roster.find(container_id).document.life.started_at = timestamp(started)
        stream = await house.containers.logs(container_id, LogOptions(stdout=True))
        async with asyncio.timeout(10):
            assert await text(stream.chunks) == b""


async def test_logs_that_cannot_be_read(house) -> None:
    container_id = await create(house, log_config=LogConfig(type="none"))
    with pytest.raises(EngineError, match="logging driver does not support reading") as caught:
        await house.containers.logs(container_id, LogOptions(stdout=True))
    assert caught.value.kind is Kind.NOT_IMPLEMENTED
    with pytest.raises(EngineError, match="choose at least one stream"):
        await house.containers.logs(container_id, LogOptions())
    await house.containers.start(container_id)
    assert house.runtime.starts[0].log_path is None


# --- list -----------------------------------------------------------------------------------------


async def names(house, all: bool = True, limit: int = 0, **filters: list[str]) -> list[str]:  # noqa: A002
    wanted = {name.replace("_", "-"): values for name, values in filters.items()}
    rows = await house.containers.list(all, limit, False, wanted)
    return [row.names[0] for row in rows]


async def test_list(house) -> None:
    await running(house, "one", labels={"a": "1"})
    await create(house, "two", labels={"a": "2", "b": ""})
    await running(house, "three")
    await house.containers.kill("three", "KILL")
    assert await names(house) == ["/three", "/two", "/one"]
    assert await names(house, all=False) == ["/one"]
    assert await names(house, all=False, limit=2) == ["/three", "/two"]
    for filters, expected in (
        ({"name": ["t"]}, ["/three", "/two"]),
        ({"name": ["^/two$"]}, ["/two"]),
        ({"name": ["one", "two"]}, ["/two", "/one"]),
        ({"name": ["("]}, []),
        ({"label": ["a"]}, ["/two", "/one"]),
        ({"label": ["a", "b"]}, ["/two"]),
        ({"label": ["a=1"]}, ["/one"]),
        ({"status": ["exited", "created"]}, ["/three", "/two"]),
        ({"exited": ["137"]}, ["/three"]),
        ({"before": ["three"]}, ["/two", "/one"]),
        ({"since": ["one"]}, ["/three", "/two"]),
        ({"ancestor": ["busybox"]}, ["/three", "/two", "/one"]),
        ({"ancestor": ["nginx"]}, []),
        ({"network": ["none"], "name": ["two"]}, ["/two"]),
        ({"health": ["healthy"]}, []),
        ({"is-task": ["true"]}, []),
        ({"is-task": ["False"]}, ["/three", "/two", "/one"]),
        ({"isolation": ["hyperv"]}, ["/three", "/two", "/one"]),
        ({"network": [network_id("none")[:9], "x"]}, ["/three", "/two", "/one"]),
        ({"network": ["non"]}, []),
        ({"network": [""]}, []),
    ):
        assert await names(house, **filters) == expected, filters
    for filters in (
        *({"bogus": ["x"]}, {"status": ["sleeping"]}, {"exited": ["x"]}, {"health": ["ill"]}),
        *({"is-task": ["x"]}, {"expose": ["80:81"]}, {"publish": ["x"]}, {"expose": ["9-8"]}),
    ):
        with pytest.raises(EngineError, match="invalid filter"):
            await names(house, **filters)
    with pytest.raises(EngineError, match="No such container"):
        await names(house, before=["nobody"])


async def test_volumes_are_refused_where_nothing_else_is_mounted(house, tmp_path: Path) -> None:
    """docker-py names in Volumes what it binds."""
    volumes = {"/data": EmptyObject(), "/tmp/": EmptyObject()}
    binds, tmpfs = [f"{tmp_path}:/data"], {"/tmp": ""}
    await create(house, "web", volumes=volumes, binds=binds, tmpfs=tmpfs)
    assert (await house.containers.inspect("web", False)).config.volumes == volumes
    with pytest.raises(EngineError, match=r"Volumes: anonymous .* \(/tmp/\)") as caught:
        await create(house, "other", volumes=volumes, binds=binds)
    assert caught.value.kind is Kind.NOT_IMPLEMENTED


async def test_lists_by_ports(house) -> None:
    ports = {"80/tcp": EmptyObject(), "53/udp": EmptyObject()}
    await create(house, "web", exposed_ports=ports)
    await create(house, "mute")
    for filters, expected in (
        ({"expose": ["80"]}, ["/web"]),
        ({"expose": ["80/udp"]}, []),
        ({"expose": ["50-60/udp"]}, ["/web"]),
        ({"expose": ["1", "70-90"]}, ["/web"]),
        ({"publish": ["80"]}, []),
        ({"publish": ["1"], "expose": ["80"]}, ["/web"]),
    ):
        assert await names(house, **filters) == expected, filters


async def test_an_ancestor_is_an_image_below_too(house) -> None:
    await create(house, "web")
    document = house.containers.roster.find("web").document
    document.image, document.config.image = "sha256:another", "app"
    assert await names(house, ancestor=["busybox"]) == []
    document.layers = [*document.layers, "sha256:" + "1" * 64]
    assert await names(house, ancestor=["busybox"]) == ["/web"]
    assert await names(house, ancestor=["app"]) == ["/web"]


async def test_sizes_when_asked_for(house) -> None:
    await create(house, "one")
    (row,) = await house.containers.list(True, 0, True, {})
    assert (row.size_rw, row.size_root_fs) == (5, 105)
    shown = await house.containers.inspect("one", True)
    assert (shown.size_rw, shown.size_root_fs) == (5, 105)


@pytest.mark.parametrize(
    ("failures", "size"),
    [
        ([errdefs.conflict("moved")], 5),
        ([errdefs.conflict("moved")] * 3, -1),
        ([errdefs.internal("disk")], -1),
    ],
)
async def test_a_size_that_cannot_be_taken_does_not_hide_the_others(
    house, monkeypatch: pytest.MonkeyPatch, failures: list[EngineError], size: int
) -> None:
    await create(house)
    waiting = list(failures)
    measure = house.snapshots.key_usage

    def fail_first(key: str) -> object:
        if waiting:
            raise waiting.pop()
        return measure(key)

    monkeypatch.setattr(house.snapshots, "key_usage", fail_first)
    (row,) = await house.containers.list(True, 0, True, {})
    assert (row.size_rw, row.size_root_fs) == (size, 100 + max(size, 0))


@pytest.mark.parametrize("gone", ["key_usage", "usage"])
async def test_what_is_removed_while_it_is_measured_has_no_size(
    house, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    container_id = await create(house)

    def vanish(_: object) -> None:
        house.snapshots.remove(container_id)
        raise errdefs.internal("reading the snapshot: no such file or directory")

    monkeypatch.setattr(house.snapshots, gone, vanish)
    (row,) = await house.containers.list(True, 0, True, {})
    assert row.size_rw == 0


async def test_uses_tell_which_images_have_containers(house) -> None:
    container_id = await running(house)
    (use,) = house.containers.uses()
    assert (use.container_id, use.running) == (container_id, True)
    assert use.image_id == house.images.image().id
