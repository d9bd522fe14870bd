"""What a new engine makes of what an earlier one left."""

import os
import shutil

import pytest

from wherry.engine.document import REMOVING, read_document
from wherry.engine.model import CreateRequest
from wherry.errdefs import EngineError, Kind
from wherry.metadata import ContainerRecord
from wherry.shim.runtime import Exit, Task

AT = "2026-01-02T03:04:09.000000000Z"


async def create(house, name: str = "web", start: bool = True, auto_remove: bool = False) -> str:
    request = CreateRequest(image="busybox", cmd=["true"])
    request.host_config.auto_remove = auto_remove
    container_id = (await house.containers.create(name, request, None)).id
    if start:
        await house.containers.start(container_id)
        await house.stores.settle()  # the start was noted
    return container_id


async def state(house, ref: str = "web"):
    return (await house.containers.inspect(ref, False)).state


def recorded(house) -> list[str]:
    return [record.id for record in house.database.read(lambda tx: tx.containers())]


class Survivor(Task):
    """A task found again; only what the engine asks of one."""

    def __init__(self, fake) -> None:
        self.fake = fake
        self.id, self.pid, self.started_at = fake.id, 777, fake.started_at

    async def wait(self) -> Exit:
        return await self.fake.wait()

    async def kill(self, signal: int) -> None:
        await self.fake.kill(signal)

    def close(self) -> None:
        self.fake.close()


async def test_what_runs_is_adopted(house) -> None:
    container_id = await create(house)
    task = house.task(container_id)
    house.runtime.adoptable[container_id] = Survivor(task)
    after = await house.reopen()
    now = await state(after)
    assert (now.status, now.pid) == ("running", 777)
    waiter = await after.containers.wait("web", "not-running")
    task.finish(7)
    assert (await waiter.result()).status_code == 7
    await after.close()


async def test_what_ended_meanwhile_has_its_own_exit_code(house) -> None:
    container_id = await create(house)
    house.runtime.adoptable[container_id] = Exit(9, True, AT)
    after = await house.reopen()
    now = await state(after)
    assert (now.status, now.exit_code, now.oom_killed, now.finished_at) == ("exited", 9, True, AT)
    assert not after.runtime.run_dir(container_id).exists()
    again = await after.reopen()
    assert (await state(again)).exit_code == 9
    await again.close()


async def test_what_nobody_saw_end_has_ended(house) -> None:
    await create(house)
    after = await house.reopen()
    now = await state(after)
    assert (now.status, now.exit_code) == ("exited", 255)
    await after.close()


async def test_what_never_ran_stays_as_it_is(house) -> None:
    await create(house, start=False)
    after = await house.reopen()
    assert (await state(after)).status == "created"
    await after.containers.start("web")
    await after.close()


async def test_auto_removed_containers_go(house) -> None:
    container_id = await create(house, auto_remove=True)
    house.runtime.adoptable[container_id] = Exit(0, False, AT)
    after = await house.reopen()
    await after.stores.settle()
    assert recorded(after) == after.snapshots.keys() == []
    await after.close()


async def test_a_removal_under_way_is_finished(house) -> None:
    container_id = await create(house, start=False)
    (record,) = house.database.read(lambda tx: tx.containers())
    document = read_document(record)
    document.life.status = REMOVING
    house.database.write(lambda tx: tx.put_container(document.record()))
    after = await house.reopen()
    assert recorded(after) == after.snapshots.keys() == []
    assert not after.stores.folder(container_id).exists()
    await create(after, start=False)
    await after.close()


async def test_a_record_without_a_snapshot_goes(house) -> None:
    container_id = await create(house)
    house.task(container_id).finish()
    await (await house.containers.wait("web", "not-running")).result()
    house.snapshots.remove(container_id)
    after = await house.reopen()
    assert recorded(after) == []
    with pytest.raises(EngineError, match="No such container"):
        await state(after)
    await after.close()


async def test_of_what_never_ran_a_snapshot_is_made_anew(house) -> None:
    container_id = await create(house, start=False)
    house.snapshots.remove(container_id)
    after = await house.reopen()
    assert recorded(after) == after.snapshots.keys() == [container_id]
    await after.containers.start("web")
    await after.close()


async def test_a_creation_that_got_half_way_is_undone(house) -> None:
    house.snapshots.prepare("f" * 64, [])
    (house.stores.folder("e" * 64)).mkdir()
    after = await house.reopen()
    assert after.snapshots.keys() == []
    assert os.listdir(after.stores.settings.data_root / "containers") == []
    assert not (after.stores.settings.data_root / "set-aside").exists()
    await after.close()


async def test_files_of_a_lost_container_are_set_aside(house) -> None:
    container_id = await create(house)
    upper = house.snapshots.root / container_id / "upper"
    (upper / "precious").write_text("data")
    house.database.write(lambda tx: tx.delete_container(container_id))
    after = await house.reopen()
    assert after.snapshots.keys() == []
    (kept,) = (after.stores.settings.data_root / "set-aside").iterdir()
    assert kept.name.startswith(container_id)
    assert (kept / "precious").read_text() == "data"
    await after.close()


async def test_a_stranger_that_runs_is_killed(house) -> None:
    container_id = await create(house)
    task = house.task(container_id)
    house.runtime.adoptable[container_id] = Survivor(task)
    house.database.write(lambda tx: tx.delete_container(container_id))
    after = await house.reopen()
    assert task.signals == [9]
    assert after.snapshots.keys() == []
    assert not after.runtime.run_dir(container_id).exists()
    await after.close()


async def test_a_record_of_a_newer_wherry_is_refused(house) -> None:
    container_id = await create(house, start=False)
    (record,) = house.database.read(lambda tx: tx.containers())
    newer = record.document.replace(b'"version":1', b'"version":2')
    for document in (newer, b"{"):
        broken = ContainerRecord(container_id, "web", document)
        house.database.write(lambda tx, broken=broken: tx.put_container(broken))
        with pytest.raises(EngineError) as caught:
            await house.reopen()
        assert caught.value.kind is Kind.DATA_LOSS
        house = type(house)(house.root)
    house.database.close()
    shutil.rmtree(house.root / "data")
