"""Daemon, launcher and shim are killed; the containers and the truth about them stay."""

import asyncio
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import leaks
import pytest
from bundles import Running, Yard, second_client, split_frames

from wherry.errdefs import EngineError
from wherry.shim import interpreter
from wherry.shim.runtime import Exit, Runtime, Task

pytestmark = pytest.mark.root


def _pids(yard: Yard, running: Running) -> tuple[int, int]:
    document = json.loads((yard.runtime.run_dir(running.id) / "pid").read_text())
    return document["shim"]["pid"], document["init"]["pid"]


async def _gone(pid: int, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while leaks.alive(pid):
            await asyncio.sleep(0.01)


async def _later_runtime(yard: Yard, tmp_path: Path) -> Runtime:
    """As a daemon that was killed and started again: nothing in memory."""
    for running in yard.running:
        running.task.close()
        running.client.close()
    await yard.runtime.close()
    yard.runtime = Runtime(tmp_path / "exec", yard.parent)
    await yard.runtime.open()
    return yard.runtime


async def test_a_later_daemon_finds_what_runs(yard: Yard, tmp_path: Path) -> None:
    running = await yard.start(yard.spec("sh", "-c", "read x; echo got $x; exit 9"), stdin=False)
    other = await yard.start(yard.spec("sleep", "1000"))
    runtime = await _later_runtime(yard, tmp_path)
    task = await runtime.adopt(other.id)
    assert isinstance(task, Task)
    assert (task.pid, task.started_at) == (other.task.pid, other.task.started_at)
    listener = await second_client(Running(other.id, task, other.bundle, other.client, False))
    await task.kill(signal.SIGKILL)
    assert (await task.wait()).code == 137
    assert await listener.read_all() == b""
    listener.client.close()
    # The first read end of file from the true /dev/null and ended meanwhile, maybe unseen.
    found = await runtime.adopt(running.id)
    ended = await found.wait() if isinstance(found, Task) else found
    assert isinstance(ended, Exit)
    assert ended.code == 9
    assert await runtime.adopt("f" * 64) is None


async def test_an_exit_without_a_daemon_is_on_disk(yard: Yard, tmp_path: Path) -> None:
    running = await yard.start(yard.spec("sh", "-c", "sleep 0.2; exit 42"))
    shim, _ = _pids(yard, running)
    running.task.close()
    await _gone(shim)
    runtime = await _later_runtime(yard, tmp_path)
    found = await runtime.adopt(running.id)
    assert isinstance(found, Exit)
    assert (found.code, found.oom_killed, found.error) == (42, False, "")
    runtime.forget(running.id)
    assert not runtime.run_dir(running.id).exists()


async def test_a_killed_shim_takes_its_container_along_and_says_so(yard: Yard) -> None:
    running = await yard.start(yard.spec("sleep", "1000"))
    shim, init = _pids(yard, running)
    os.kill(shim, signal.SIGKILL)
    ended = await running.task.wait()
    assert ended.code == 137
    assert "shim died" in ended.error
    await _gone(init)
    with pytest.raises(EngineError, match="is not running"):
        await running.task.kill(signal.SIGTERM)


async def test_a_shim_killed_while_no_daemon_looked(yard: Yard, tmp_path: Path) -> None:
    # A user's program can lose the parent-death signal, so that a later daemon has to kill it.
    spec = yard.spec("sh", "-c", "sleep 1000 & sleep 1000")
    spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "pid"]
    running = await yard.start(spec)
    shim, init = _pids(yard, running)
    runtime = await _later_runtime(yard, tmp_path)
    os.kill(shim, signal.SIGKILL)
    await _gone(shim)
    found = await runtime.adopt(running.id)
    assert isinstance(found, Exit)
    assert "shim died" in found.error
    await _gone(init)
    assert not leaks.cgroups(spec["linux"]["cgroupsPath"])


async def test_a_killed_launcher_is_replaced_and_harms_nobody(yard: Yard) -> None:
    running = await yard.start(yard.spec("sh", "-c", "read x; echo got $x"), stdin=True)
    first = yard.runtime.launcher_pid
    os.kill(first, signal.SIGKILL)
    ran = await yard.run("echo", "hi")  # at once: the request may meet the dead one
    assert ran.output == "hi\n"
    assert yard.runtime.launcher_pid != first
    await running.send(b"word\n")
    assert split_frames(await running.read_all())[0] == b"got word\n"


async def test_closing_ends_the_launcher_only(yard: Yard, tmp_path: Path) -> None:
    running = await yard.start(yard.spec("sleep", "1000"))
    launcher = yard.runtime.launcher_pid
    runtime = await _later_runtime(yard, tmp_path)
    assert not leaks.alive(launcher)
    task = await runtime.adopt(running.id)
    assert isinstance(task, Task)
    await task.kill(signal.SIGKILL)
    await task.wait()


async def test_a_reused_pid_is_not_killed(yard: Yard, tmp_path: Path) -> None:
    running = await yard.start(yard.spec("sleep", "1000"))
    shim, init = _pids(yard, running)
    runtime = await _later_runtime(yard, tmp_path)
    bystander = await asyncio.create_subprocess_exec("sleep", "1000")
    file = runtime.run_dir(running.id) / "pid"
    document = json.loads(file.read_text())
    document["init"]["pid"] = bystander.pid  # with the start time of another
    file.write_text(json.dumps(document))
    os.kill(shim, signal.SIGKILL)
    await _gone(shim)
    await runtime.adopt(running.id)
    assert leaks.alive(bystander.pid)
    bystander.kill()
    await bystander.wait()
    await _gone(init)  # by the parent-death signal


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


async def _spare(yard: Yard) -> tuple[int, int]:
    """(shim, its child) that wait for the next start."""
    async with asyncio.timeout(10):
        while True:
            for nursery in _children(yard.runtime.launcher_pid):
                for shim in _children(nursery):
                    for child in _children(shim):
                        return shim, child
            await asyncio.sleep(0.01)


async def test_a_spare_shim_killed_while_it_waits_is_replaced(yard: Yard) -> None:
    shim, child = await _spare(yard)
    os.kill(shim, signal.SIGKILL)
    await _gone(shim)
    await _gone(child)  # which, just forked, holds the shim's end of the launcher's socket too
    ran = await yard.run("echo", "hi")
    assert ran.output == "hi\n"


async def test_a_spare_whose_child_was_killed_is_replaced(yard: Yard) -> None:
    """A shim that has got a start reports its failure: nobody else may have got it as well."""
    shim, child = await _spare(yard)
    os.kill(child, signal.SIGKILL)
    await _gone(child)
    ran = await yard.run("sh", "-c", "echo hi")
    assert ran.output == "hi\n"
    await _gone(shim)


async def test_a_shim_killed_in_a_start_leaves_nothing_of_it(yard: Yard) -> None:
    """Its child is in the middle of the work, and nobody is there to clean up after it."""
    shim, child = await _spare(yard)
    os.kill(child, signal.SIGSTOP)
    spec = yard.spec("sleep", "1000")
    start = asyncio.create_task(yard.start(spec))
    run_dir = yard.runtime.run_dir(Path(spec["linux"]["cgroupsPath"]).name)
    async with asyncio.timeout(10):
        while not (run_dir / "shim.sock").exists():  # the shim is at work
            await asyncio.sleep(0.01)
    os.kill(shim, signal.SIGKILL)
    await _gone(shim)
    os.kill(child, signal.SIGCONT)
    with pytest.raises(EngineError, match="the shim died before the start"):
        await start
    assert not leaks.alive(child)
    assert not leaks.cgroups(spec["linux"]["cgroupsPath"])
    assert not run_dir.exists()


async def test_a_shim_killed_after_the_end_leaves_no_cgroup(yard: Yard, tmp_path: Path) -> None:
    """It had written down the exit, and was just waiting for a client."""
    spec = yard.spec("sh", "-c", "read x; head -c 800000 /dev/zero")
    running = await yard.start(spec, stdin=True)
    shim, _ = _pids(yard, running)
    other = await second_client(running)
    await running.send(b"go\n")
    await running.read_all()
    ended = await running.task.wait()
    assert leaks.alive(shim)  # the other client has read nothing
    os.kill(shim, signal.SIGKILL)
    await _gone(shim)
    other.client.close()
    runtime = await _later_runtime(yard, tmp_path)
    assert await runtime.adopt(running.id) == ended
    assert not leaks.cgroups(f"{yard.parent}/{running.id}")


async def test_launchers_that_were_all_killed_do_not_end_the_daemons_work(yard: Yard) -> None:
    """It gives them up, lest it start one for ever; but who asks for a container gets one."""
    async with asyncio.timeout(20):
        while (launcher := yard.runtime.launcher_pid) and leaks.alive(launcher):
            os.kill(launcher, signal.SIGKILL)
            await _gone(launcher)
            await asyncio.sleep(0.05)
    ran = await yard.run("echo", "hi")
    assert ran.output == "hi\n"


async def test_a_launcher_killed_as_soon_as_it_is_there_is_replaced(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it could be told what is to come, which then can't be sent."""
    yard.runtime.foresee(yard.spec("true"))
    spawn = interpreter.spawn_launcher
    first = yard.runtime.launcher_pid

    def spawn_dead(requests: socket.socket, cgroup: str) -> "subprocess.Popen[bytes]":
        monkeypatch.setattr(interpreter, "spawn_launcher", spawn)
        process = spawn(requests, cgroup)
        process.kill()
        process.wait()
        # The kernel tells its parent before it closes the last of its descriptors.
        requests.shutdown(socket.SHUT_RDWR)
        return process

    monkeypatch.setattr(interpreter, "spawn_launcher", spawn_dead)
    os.kill(first, signal.SIGKILL)
    await _gone(first)
    ran = await yard.run("echo", "hi")
    assert ran.output == "hi\n"


async def test_a_nursery_killed_is_followed_by_another_launcher(yard: Yard) -> None:
    """Running containers go on; the next one starts."""
    running = await yard.start(yard.spec("sh", "-c", "echo up; exec sleep 1000"))
    await running.read_until(b"up")
    launcher = yard.runtime.launcher_pid
    (nursery,) = _children(launcher)
    os.kill(nursery, signal.SIGKILL)
    await _gone(nursery)
    ran = await yard.run("echo", "hi")
    assert ran.output == "hi\n"
    assert yard.runtime.launcher_pid != launcher
    assert leaks.alive(running.task.pid)
    await running.task.kill(signal.SIGKILL)
    assert (await running.task.wait()).code == 137


async def test_a_nursery_ends_with_its_launcher(yard: Yard) -> None:
    await _spare(yard)
    launcher = yard.runtime.launcher_pid
    (nursery,) = _children(launcher)
    os.kill(launcher, signal.SIGKILL)
    await _gone(nursery)
