"""What goes in and out of a container: pipes, terminals, attached clients, logs."""

import asyncio
import json
import signal
import socket
from pathlib import Path

import pytest
from bundles import Yard, second_client, split_frames

from wherry.errdefs import EngineError

pytestmark = pytest.mark.root


async def test_input_goes_in_and_ends(yard: Yard) -> None:
    running = await yard.start(yard.spec("cat"), stdin=True)
    await running.send(b"x\n" * 10)
    running.client.shutdown(socket.SHUT_WR)
    assert split_frames(await running.read_all())[0] == b"x\n" * 10
    assert (await running.task.wait()).code == 0


async def test_fifty_megabytes_through_and_back(yard: Yard) -> None:
    running = await yard.start(yard.spec("cat"), stdin=True, log_max_size=1 << 20)
    size = 50 << 20

    async def feed() -> None:
        block = bytes(range(256)) * 4096
        for _ in range(size // len(block)):
            await running.send(block)
        running.client.shutdown(socket.SHUT_WR)

    feeding = asyncio.create_task(feed())
    total = len(split_frames(await running.read_all())[0])
    await feeding
    assert total == size
    assert sum(p.stat().st_size for p in running.bundle.glob("log*")) < 4 << 20


async def test_a_terminal(yard: Yard) -> None:
    spec = yard.spec("sh", terminal=True)
    spec["process"]["consoleSize"] = {"height": 33, "width": 77}
    running = await yard.start(spec, stdin=True)
    await running.send(b"tty; stty size; ls -l /dev/console | cut -c1\n")
    heard = await running.read_until(b"\nc\r\n")
    assert b"/dev/pts/0\r\n33 77\r\n" in heard
    await running.task.resize(40, 100)
    await running.send(b"stty size\n")
    await running.read_until(b"40 100\r\n")
    job = b"trap 'echo caught; exit 4' INT; echo read''y; while :; do sleep 1; done"
    await running.send(b'sh -c "' + job + b'"\n')
    await running.read_until(b"ready\r\n")
    await running.send(b"\x03")  # Ctrl-C reaches the foreground job, not the shell
    await running.read_until(b"caught")
    await running.send(b"echo still here $?; exit 5\n")
    await running.read_until(b"still here 4\r\n")
    await running.read_all()
    assert (await running.task.wait()).code == 5


async def test_resizing_without_a_terminal_is_refused(yard: Yard) -> None:
    running = await yard.start(yard.spec("sleep", "1000"))
    with pytest.raises(EngineError, match="has no terminal"):
        await running.task.resize(1, 1)
    await running.task.kill(signal.SIGKILL)


async def test_a_late_client_hears_what_comes_next(yard: Yard) -> None:
    running = await yard.start(
        yard.spec("sh", "-c", "read x; echo got $x; echo bad >&2"), stdin=True
    )
    second = await second_client(running, stderr=False)
    await running.send(b"word\n")
    assert split_frames(await running.read_all()) == (b"got word\n", b"bad\n")
    assert split_frames(await second.read_all()) == (b"got word\n", b"")
    second.client.close()


async def test_a_client_that_leaves_does_not_stop_the_container(yard: Yard) -> None:
    running = await yard.start(
        yard.spec("sh", "-c", "echo a; read x; seq 100000; exit 3"), stdin=True
    )
    second = await second_client(running, stdin=True)
    await running.read_until(b"a")
    second.client.close()
    third = await second_client(running, stdin=True)
    await third.send(b"\n")
    third.client.close()
    running.client.close()
    assert (await running.task.wait()).code == 3
    lines = (running.bundle / "log").read_text().splitlines()
    assert json.loads(lines[-1])["log"] == "100000\n"


async def test_a_client_that_does_not_read_gets_all_of_it_later(yard: Yard) -> None:
    running = await yard.start(yard.spec("sh", "-c", "seq 1000000"))
    shim = int(
        (yard.runtime.run_dir(running.id) / "pid").read_text().split('"pid": ')[1].split(",")[0]
    )
    second = await second_client(running)
    await asyncio.wait_for(second.read_until(b"\n"), 20)
    status = Path(f"/proc/{shim}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0])
    assert resident < 60_000, "the shim keeps what it should leave in the pipe"
    first = asyncio.create_task(running.read_all())
    out = split_frames(await second.read_all())[0]
    assert split_frames(await first)[0].endswith(b"1000000\n")
    assert out.endswith(b"1000000\n")
    second.client.close()


async def test_output_of_a_child_that_outlives_its_parent_is_not_awaited_for_ever(
    yard: Yard,
) -> None:
    spec = yard.spec("sh", "-c", "sleep 1000 & echo done")
    spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "pid"]
    ran = await yard.run(spec=spec)
    assert ran.output == "done\n"
    assert ran.exit.code == 0


async def test_a_log_never_grows_beyond_its_bound(yard: Yard) -> None:
    running = await yard.start(
        yard.spec("sh", "-c", "seq 200000"), attach=False, log_max_size=500_000, log_max_files=3
    )
    await running.task.wait()
    logs = sorted(running.bundle.glob("log*"))
    assert [p.name for p in logs] == ["log", "log.1", "log.2"]
    assert all(p.stat().st_size < 600_000 for p in logs)


async def test_a_container_that_closes_its_input_goes_on(yard: Yard) -> None:
    """What a client still sends is lost, as in a broken pipe; its shim and itself are not."""
    spec = yard.spec("sh", "-c", "exec <&-; echo closed; sleep 0.2; exit 5")
    running = await yard.start(spec, stdin=True)
    await running.read_until(b"closed")
    await running.send(b"nobody reads this\n" * 1000)
    running.client.shutdown(socket.SHUT_WR)
    assert (await running.task.wait()).code == 5
