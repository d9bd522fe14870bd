"""Starts that hang, shims that do not answer: each has an end, and nothing is left of it."""

import asyncio
import json
import logging
import os
import signal
from pathlib import Path

import leaks
import pytest
from bundles import Running, Yard

from wherry.errdefs import Kind
from wherry.shim import runtime as shim_runtime
from wherry.shim.runtime import Exit, Runtime, StartError

pytestmark = pytest.mark.root

STOPS_ALL_OTHERS = "while :; do kill -STOP -1; done"


async def hostile_host(yard: Yard) -> Running:
    """A container that stops every process that joins its pid namespace."""
    return await yard.start(yard.spec("sh", "-c", STOPS_ALL_OTHERS), attach=False)


def joining(yard: Yard, host: Running) -> dict:
    spec = yard.spec("sleep", "1000")
    spec["linux"]["namespaces"] = [
        {**one, "path": f"/proc/{host.task.pid}/ns/pid"} if one["type"] == "pid" else one
        for one in spec["linux"]["namespaces"]
    ]
    return spec


async def test_a_start_that_hangs_is_given_up(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    host = await hostile_host(yard)
    monkeypatch.setattr(shim_runtime, "START_SECONDS", 1.0)
    spec = joining(yard, host)
    with pytest.raises(StartError, match="the start hung and was given up") as caught:
        await yard.start(spec)
    assert (caught.value.kind, caught.value.exit_code) == (Kind.UNAVAILABLE, 128)
    assert_nothing_left(yard, spec)
    monkeypatch.undo()
    assert (await yard.run("echo", "others start")).output == "others start\n"
    await host.task.kill(signal.SIGKILL)
    await host.task.wait()


async def test_a_start_that_is_cancelled_leaves_nothing(yard: Yard) -> None:
    host = await hostile_host(yard)
    spec = joining(yard, host)
    start = asyncio.create_task(yard.start(spec))
    pid_file = run_dir(yard, spec) / "shim.sock"
    async with asyncio.timeout(10):
        while not pid_file.exists():
            await asyncio.sleep(0.01)
    start.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await start
    assert_nothing_left(yard, spec)
    await host.task.kill(signal.SIGKILL)
    await host.task.wait()


async def test_a_launcher_that_hangs_is_replaced(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = yard.runtime.launcher_pid
    await yard.run("true")
    os.kill(first, signal.SIGSTOP)
    monkeypatch.setattr(shim_runtime, "START_SECONDS", 0.2)
    monkeypatch.setattr(shim_runtime, "_HAND_OVER_SECONDS", 0.2)
    spec = yard.spec("true")
    with caplog.at_level(logging.WARNING), pytest.raises(StartError):
        await yard.start(spec)
    monkeypatch.undo()
    assert (await yard.run("echo", "anew")).output == "anew\n"
    assert yard.runtime.launcher_pid != first
    assert "launcher has ended (signal 9); starting a new one" in caplog.messages
    assert_nothing_left(yard, spec)


async def test_a_shim_that_does_not_answer_a_later_daemon_is_ended(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await yard.start(yard.spec("sleep", "1000"))
    document = json.loads((yard.runtime.run_dir(running.id) / "pid").read_text())
    os.kill(document["shim"]["pid"], signal.SIGSTOP)
    monkeypatch.setattr(shim_runtime, "_RECALL_SECONDS", 0.5)
    running.task.close()
    running.client.close()
    yard.running.clear()
    await yard.runtime.close()
    yard.runtime = Runtime(tmp_path / "exec", yard.parent)
    await yard.runtime.open()
    found = await yard.runtime.adopt(running.id)
    assert isinstance(found, Exit)
    assert "shim died" in found.error
    assert not leaks.alive(document["shim"]["pid"])
    assert not leaks.alive(document["init"]["pid"])


def run_dir(yard: Yard, spec: dict) -> Path:
    return yard.runtime.run_dir(spec["linux"]["cgroupsPath"].rpartition("/")[2])


def assert_nothing_left(yard: Yard, spec: dict) -> None:
    assert not run_dir(yard, spec).exists()
    assert not leaks.cgroups(spec["linux"]["cgroupsPath"])
