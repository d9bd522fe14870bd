"""A program waits for what its start says it needs; its end waits for no mount."""

import asyncio
import os

import leaks
import pytest
from bundles import Yard

from wherry import errdefs
from wherry.shim.runtime import Start, StartError

pytestmark = pytest.mark.root


async def test_no_program_runs_before_all_is_ready(yard: Yard) -> None:
    ready = asyncio.get_running_loop().create_future()
    spec = yard.spec("touch", "/ran")
    start = asyncio.create_task(yard.start(spec, ready=ready))
    name = spec["linux"]["cgroupsPath"].rpartition("/")[2]
    async with asyncio.timeout(10):
        while not (yard.runtime.run_dir(name) / "pid").exists():
            await asyncio.sleep(0.01)
    done, _ = await asyncio.wait([start], timeout=0.1)
    assert not done
    ready.set_result(None)
    running = await start
    assert (await running.task.wait()).code == 0


async def test_what_never_gets_ready_leaves_nothing(yard: Yard) -> None:
    ready = asyncio.get_running_loop().create_future()
    ready.set_exception(errdefs.exhausted("the disk is full"))
    spec = yard.spec("sleep", "1000")
    with pytest.raises(errdefs.EngineError, match="the disk is full"):
        await yard.start(spec, ready=ready)
    path = spec["linux"]["cgroupsPath"]
    assert not yard.runtime.run_dir(path.rpartition("/")[2]).exists()
    assert not leaks.cgroups(path)


async def test_a_failure_is_told_whatever_was_said_to_the_shim_meanwhile(yard: Yard) -> None:
    for _ in range(5):
        ready = asyncio.get_running_loop().create_future()
        ready.set_result(None)
        with pytest.raises(StartError, match="executable file not found"):
            await yard.start(yard.spec("nosuch"), ready=ready)


async def test_a_cancelled_start_does_not_cancel_what_it_waits_for(yard: Yard) -> None:
    ready = asyncio.get_running_loop().create_future()
    start = asyncio.create_task(yard.start(yard.spec("true"), ready=ready))
    await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not ready.done()


async def test_its_mounts_are_gone_with_its_shim(yard: Yard) -> None:
    running = await yard.start(yard.spec("sleep", "1000"))
    namespace = os.stat(f"/proc/{running.task.pid}/ns/mnt").st_ino
    await running.task.kill(9)
    await running.task.wait()
    async with asyncio.timeout(10):
        await running.task.gone()
    assert not [pid for pid in _pids() if _mount_namespace(pid) == namespace]


def test_a_bound_file_system_is_given_back_before_the_end_is_told(yard: Yard) -> None:
    spec = yard.spec("true")
    bundle, root = yard.bundle(spec, "one")
    assert not Start("one", bundle, spec, root).binds_of_others
    own = {"destination": "/etc/hosts", "type": "bind", "source": f"{bundle}/hosts"}
    spec["mounts"].append(own)
    assert not Start("one", bundle, spec, root).binds_of_others
    spec["mounts"].append({**own, "source": f"{bundle}-not/hosts"})
    assert Start("one", bundle, spec, root).binds_of_others


def _pids() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]


def _mount_namespace(pid: str) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except OSError:
        return 0
