"""Steps of a build on the real kernel: what they are, how they end, and what is left of them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import leaks
import pytest
from steps import Bench, Heard, base, layer, opened

from wherry.build.protocols import LayersMount, Limits, TmpfsMount, Ulimit
from wherry.engine.settings import Settings
from wherry.errdefs import EngineError, Kind
from wherry.linux import cgroups
from wherry.shim.runtime import StartError

pytestmark = pytest.mark.root


async def test_a_step_is_what_buildkit_makes_it(bench: Bench) -> None:
    ran = await bench.run(
        "env; hostname; cat /etc/hosts; echo err >&2; touch /made; exit 3",
        env=("A=1",),
        hosts=(("db", "10.0.0.7"),),
    )
    assert ran.ended.exit_code == 3
    lines = ran.output.splitlines()
    assert "A=1" in lines
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in lines
    assert not any(line.startswith("HOSTNAME=") for line in lines)
    assert lines[-4:] == [
        "buildkitsandbox",
        "127.0.0.1\tlocalhost buildkitsandbox",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "10.0.0.7\tdb",
    ]
    assert ran.errors == "err\n"
    assert ran.layer == {"made"}


async def test_it_has_the_isolation_of_a_container(bench: Bench) -> None:
    ran = await bench.run(
        "grep -E 'Cap(Eff|Bnd)|Seccomp:' /proc/self/status; echo $$; "
        "cat /proc/keys | busybox wc -c; "
        "touch /proc/sys/x || echo refused; touch /sys/x || echo refused"
    )
    assert "CapEff:\t00000000a80425fb" in ran.output
    assert "Seccomp:\t2" in ran.output
    assert ran.output.splitlines()[3:] == ["1", "0", "refused", "refused"]


async def test_networks(bench: Bench) -> None:
    own = os.readlink("/proc/self/ns/net")
    for network in ("default", "host"):
        assert (
            await bench.run("readlink /proc/self/ns/net", network=network)
        ).output.strip() == own
    ran = await bench.run("readlink /proc/self/ns/net; ip link", network="none")
    assert ran.output.split("\n")[0] != own
    assert ran.output.count("mtu") == 1


async def test_user_directory_and_limits(bench: Bench) -> None:
    ran = await bench.run(
        "id; busybox pwd; ulimit -n; cat /sys/fs/cgroup/memory/memory.limit_in_bytes "
        "/sys/fs/cgroup/memory.max 2>/dev/null",
        user="1234:77",
        cwd="/tmp",
        limits=Limits(memory=64 << 20, ulimits=(Ulimit("nofile", 123, 456),)),
    )
    assert ran.output.split("\n")[:-1] == ["uid=1234 gid=77 groups=77", "/tmp", "123", "67108864"]


async def test_a_step_that_takes_too_much_memory(bench: Bench) -> None:
    step = bench.step("sh", "-c", "busybox tail /dev/zero", limits=Limits(memory=16 << 20))
    ran = await bench.run_step(step)
    assert ran.ended.out_of_memory
    assert ran.ended.exit_code in (1, 137)
    assert "memory limit of 16777216 bytes" in ran.ended.reason


async def test_a_program_that_is_killed(bench: Bench) -> None:
    ran = await bench.run("sh -c 'kill -SEGV $$'; exit $?")
    assert (ran.ended.exit_code, ran.ended.reason) == (139, "signal SIGSEGV")


async def test_an_image_without_a_shell(bench: Bench) -> None:
    bench.stack = list(bench.add(layer(("etc", None, 0o755))))
    with pytest.raises(StartError, match=r"/bin/sh.*no such file.*has no /bin/sh: use the exec"):
        await bench.run("/bin/sh", "-c", "true")
    with pytest.raises(StartError, match="executable file not found in") as caught:
        await bench.run("nothing", "at all")
    assert caught.value.exit_code == 127
    assert "use the exec form" not in caught.value.message


async def test_mount_points_that_were_not_there_are_gone(bench: Bench) -> None:
    bench.stack = list(bench.add(base(())))
    ran = await bench.run("ls -d /etc/hosts /etc/resolv.conf && touch /x")
    # The kernel's own have their places kept, as every other engine keeps them.
    assert {name for name in ran.layer if not name.endswith(".wh..wh..opq")} == {
        "dev/", "proc/", "sys/", "x",
    }  # fmt: skip
    bench.stack = list(bench.add(base()))
    assert (await bench.run("true")).layer == set()
    assert (await bench.run("echo mine > /etc/hostname")).layer == {"etc/", "etc/hostname"}
    assert (await bench.run("chmod 700 /etc")).layer == {"etc/"}


@pytest.mark.parametrize("driver", ["erofs", "overlay", "native"])
async def test_mount_points_with_each_driver(where: Settings, driver: str) -> None:
    try:
        async with opened(replace(where, storage_driver=driver)) as bench:
            mounts = (
                TmpfsMount("/tmp/a/b"),
                TmpfsMount("/usr/share/deep/er"),
                LayersMount("/tmp/layers", tuple(bench.stack), "bin"),
                LayersMount("/tmp/file", tuple(bench.stack), "bin/busybox", writable=True),
            )
            ran = await bench.run("ls /tmp/layers/sh && echo >> /tmp/file", mounts=mounts)
            assert (ran.output, ran.errors, ran.layer) == ("/tmp/layers/sh\n", "", set())
            ran = await bench.run("touch /tmp/x", mounts=mounts)
            assert ran.layer == {"tmp/", "tmp/x"}
            assert bench.left() == []
    finally:
        leaks.clear_cgroups(where.cgroup_parent)


async def test_etc_files_of_the_image_stay(bench: Bench) -> None:
    bench.stack += bench.add(layer(("etc/hosts", b"of the image\n", 0o640)))
    ran = await bench.run("cat /etc/hosts; echo more >> /etc/hosts")
    assert ran.output.startswith("127.0.0.1")
    assert "Read-only" in ran.errors
    assert ran.layer == set()


async def test_what_is_insecure_must_be_allowed(bench: Bench) -> None:
    with pytest.raises(EngineError, match=r"granting entitlement security\.insecure") as caught:
        await bench.run("true", insecure=True)
    assert caught.value.kind is Kind.FORBIDDEN
    bench.stores.settings = replace(bench.where, build_entitlements=("security.insecure",))
    ran = await bench.run("grep -E 'CapEff|Seccomp:' /proc/self/status", insecure=True)
    mine = Path("/proc/self/status").read_text()
    assert ran.output.splitlines()[0] in mine
    assert "Seccomp:\t0" in ran.output


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"env": ("A=hush\0",)}, "the step's variable 'A' has a zero byte in it"),
        ({"cwd": "/a\0"}, "the step's working directory has a zero byte in it"),
        ({"mounts": (TmpfsMount("/t\0"),)}, "the step's mount target has a zero byte in it"),
    ],
)
async def test_zero_bytes(bench: Bench, given: dict[str, tuple[str, ...]], told: str) -> None:
    with pytest.raises(EngineError) as refused:
        await bench.run("true", **given)
    assert refused.value.message == told


async def test_it_is_on_no_list_and_has_no_log(bench: Bench) -> None:
    step = bench.step("sh", "-c", "echo hi; sleep 60")
    heard = Heard()
    async with bench.prepared(step):
        running = asyncio.create_task(bench.executor.run(step, heard))
        await bench.until(lambda: bool(heard.stdout))
        assert await bench.engine.containers.list(True, 0, False, {}) == []
        assert os.listdir(bench.where.data_root / "containers") == []
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_cancelled_it_is_gone_within_a_second(bench: Bench) -> None:
    step = bench.step("sh", "-c", "trap '' TERM INT; echo hi; sleep 1000 & sleep 1000")
    heard = Heard()
    async with bench.prepared(step):
        running = asyncio.create_task(bench.executor.run(step, heard))
        await bench.until(lambda: bool(heard.stdout))
        groups = cgroups.detect()
        path = f"{bench.where.cgroup_parent}/{step.id}"
        assert groups.pids(path)
        began = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert time.monotonic() - began < 1
        await bench.until(lambda: not groups.exists(path))
        assert bench.changed(step) == set()
        assert bench.run_dirs() == []


@pytest.mark.parametrize("after", [0.0, 0.002, 0.01, 0.03])
async def test_cancelled_at_any_moment_of_its_start(bench: Bench, after: float) -> None:
    step = bench.step("sleep", "1000")
    async with bench.prepared(step):
        running = asyncio.create_task(bench.executor.run(step, Heard()))
        await asyncio.sleep(after)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        groups = cgroups.detect()
        await bench.until(lambda: not groups.exists(f"{bench.where.cgroup_parent}/{step.id}"))


async def test_output_waits_for_who_does_not_take_it(bench: Bench) -> None:
    """A listener that stops: the program stops too, and nothing piles up here."""
    step = bench.step("sh", "-c", "yes 0123456789abcdef | busybox head -c 67108864; echo end >&2")
    taken, errors = 0, b""
    gate = asyncio.Event()
    reached = asyncio.Event()

    async def slowly(stream: str, data: bytes) -> None:
        nonlocal taken, errors
        if stream == "stderr":
            errors += data
            return
        taken += len(data)
        if taken > 1 << 20:
            reached.set()
            await gate.wait()

    async with bench.prepared(step):
        running = asyncio.create_task(bench.executor.run(step, slowly))
        await reached.wait()
        before = taken
        await asyncio.sleep(0.2)
        assert taken == before
        assert not running.done()
        gate.set()
        assert (await running).exit_code == 0
    assert (taken, errors) == (64 << 20, b"end\n")


async def test_nothing_is_lost_when_a_listener_pauses_at_the_end(bench: Bench) -> None:
    """Longer than a container's output is waited for: a step's is nowhere else."""
    blocks = "while dd if=/dev/zero bs=4k count=1 2>/dev/null; do echo >> /count; done"
    step = bench.step("sh", "-c", f"dd if=/dev/zero bs=4k count=300 2>/dev/null; {blocks}")
    gate = asyncio.Event()
    taken = 0

    async def pause(stream: str, data: bytes) -> None:
        nonlocal taken
        await gate.wait()
        taken += len(data)

    async with bench.prepared(step):
        running = asyncio.create_task(bench.executor.run(step, pause))
        root = bench.stores.snapshots.mounts(step.id)
        count, before = Path(root.upper) / "count", -1
        while not count.exists() or count.stat().st_size != before:  # until the pipe is full
            before = count.stat().st_size if count.exists() else -1
            await asyncio.sleep(0.3)
        os.kill(
            min(cgroups.detect().pids(f"{bench.where.cgroup_parent}/{step.id}")), signal.SIGKILL
        )
        await asyncio.sleep(2.3)
        gate.set()
        assert (await running).exit_code == 137
        written = (300 + count.stat().st_size) * 4096
        assert written <= taken < written + 2 * 4096


async def test_a_step_whose_shim_is_killed(bench: Bench) -> None:
    step = bench.step("sh", "-c", "echo hi; sleep 1000")

    def kill(stream: str, data: bytes) -> None:
        document = bench.stores.runtime.run_dir(step.id) / "pid"
        os.kill(json.loads(document.read_text())["shim"]["pid"], signal.SIGKILL)

    async with bench.prepared(step):
        ended = await bench.executor.run(step, kill)
        assert ended.exit_code == 137
        assert "shim died" in ended.reason
        assert not cgroups.detect().exists(f"{bench.where.cgroup_parent}/{step.id}")


async def test_a_listener_that_fails_ends_the_step(bench: Bench) -> None:
    def fail(stream: str, data: bytes) -> None:
        raise ConnectionResetError("nobody listens")

    step = bench.step("sh", "-c", "echo hi; sleep 1000")
    async with bench.prepared(step):
        with pytest.raises(ConnectionResetError):
            await bench.executor.run(step, fail)


async def test_steps_run_side_by_side(bench: Bench) -> None:
    ran = await asyncio.gather(*(bench.run(f"echo {number}") for number in range(8)))
    assert [each.output for each in ran] == [f"{number}\n" for number in range(8)]


DAEMON = """
    import asyncio, sys
    from pathlib import Path
    from steps import opened
    from wherry.build.protocols import LayersMount, SocketMount
    from wherry.engine.settings import Settings

    async def main(data, exec_, parent):
        async with opened(Settings(Path(data), Path(exec_), cgroup_parent=parent)) as bench:
            layers = LayersMount("/m", tuple(bench.stack), writable=True)
            mounts = (layers, SocketMount("/s", Path("/nobody")))
            command = "echo hi; while :; do echo x >> /file; done"
            step = bench.step("sh", "-c", command, mounts=mounts)
            await asyncio.to_thread(bench.stores.snapshots.prepare, step.id, bench.stack)
            await bench.executor.run(step, lambda stream, data: print(step.id, flush=True))

    asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_later_daemon_ends_what_was_running(where: Settings) -> None:
    """The daemon is killed in the middle of a RUN, and started again."""
    support = Path(__file__).parents[2] / "support"
    daemon = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DAEMON),
         where.data_root, where.exec_root, where.cgroup_parent],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(support)},
    )  # fmt: skip
    try:
        assert daemon.stdout is not None
        step_id = (await asyncio.to_thread(daemon.stdout.readline)).decode().strip()
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        daemon.stdout.close()
        pids = cgroups.detect().pids(f"{where.cgroup_parent}/{step_id}")
        assert pids
        assert all(leaks.alive(pid) for pid in pids)
        async with opened(where) as later:
            assert later.left() == []
            assert not any(leaks.alive(pid) for pid in pids)
            assert not list(where.data_root.glob("set-aside/*"))
            assert (await later.run("echo again")).output == "again\n"
    finally:
        daemon.kill()
        leaks.clear_cgroups(where.cgroup_parent)
