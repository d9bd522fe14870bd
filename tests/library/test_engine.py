"""An engine inside of a program: beside its threads, its forks, and other engines."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import leaks
import pytest
from daemons import Daemon
from tests.library.conftest import Opened, Place

import wherry

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root and the real kernel"),
]

ALONE = {"network": "none"}


class Busy:
    """Threads of a program that never rest: some in Python, some in C that lets go of the lock."""

    def __init__(self, count: int) -> None:
        self._stop = threading.Event()
        works = (self._python, self._hash, self._compress)
        self._threads = [
            threading.Thread(target=works[number % len(works)]) for number in range(count)
        ]
        self.rounds = [0, 0, 0]

    def __enter__(self) -> "Busy":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _python(self) -> None:
        while not self._stop.is_set():
            for _ in range(100):
                json.loads("[1, 2, 3]")
            self.rounds[0] += 1
            time.sleep(0.001)  # one that never does takes all of a processor from the others

    def _hash(self) -> None:
        while not self._stop.is_set():
            hashlib.sha256(bytes(1 << 20)).digest()
            self.rounds[1] += 1

    def _compress(self) -> None:
        while not self._stop.is_set():
            zlib.compress(bytes(1 << 20))
            self.rounds[2] += 1


async def test_a_program_of_many_busy_threads(
    opened: Callable[..., Opened], nothing_left: None
) -> None:
    with Busy(6) as busy:
        async with asyncio.timeout(100), opened() as engine:

            async def one(number: int) -> int:
                script = f"cat; exit {number}"
                container = await engine.run(
                    "box", ["sh", "-c", script], input=b"x" * 100_000, **ALONE
                )
                async with container:
                    code = await container.wait()
                    assert len((await container.output()).stdout) == 100_000
                    return code

            assert await asyncio.gather(*map(one, range(8))) == list(range(8))
            await engine.build(None, text="FROM box\nRUN true\n")
            assert await engine.containers.list(all=True) == []
    assert all(busy.rounds)


async def test_two_engines_in_one_program(place: Place, another: Place, box: Path) -> None:
    descriptors = leaks.descriptors()
    async with place.engine() as one, another.engine() as two:
        await asyncio.gather(one.images.load(box), two.images.load(box))
        await two.images.tag("box", "only-here")
        assert not await one.images.exists("only-here")
        here = await one.run("box", ["sleep", "1000"], name="same", stop_timeout=0, **ALONE)
        there = await two.run("box", ["sleep", "1000"], name="same", stop_timeout=0, **ALONE)
        assert [found.id for found in await one.containers.list()] == [here.id]
        assert [found.id for found in await two.containers.list()] == [there.id]
        await here.stop()
        assert (await there.inspect()).state.running
    assert (place.left(), another.left()) == (Place.NOTHING, Place.NOTHING)
    assert leaks.descriptors() == descriptors


async def test_two_engines_of_one_root_are_one_too_many(
    place: Place, another: Place, nothing_left: None
) -> None:
    async with place.engine() as engine:
        with pytest.raises(wherry.EngineError, match=f"program.*process {os.getpid()}") as caught:
            await place.engine().__aenter__()
        assert caught.value.kind is wherry.Kind.CONFLICT
        # The exec root is nobody else's either, and a failure leaves nothing locked.
        shared = wherry.Engine(another.root, exec_root=place.exec_root, cgroup_parent="/wherry-x")
        with pytest.raises(wherry.EngineError, match="in use"):
            await shared.__aenter__()
        with pytest.raises(wherry.EngineError, match="is open already"):
            await engine.__aenter__()
    async with another.engine():
        pass


async def test_a_root_that_a_daemon_has(daemon: Daemon) -> None:
    with pytest.raises(wherry.EngineError) as caught:
        await wherry.Engine(daemon.data).__aenter__()
    assert f"process {daemon.pid}" in str(caught.value)
    assert f"wherry.connect('unix://{daemon.socket}')" in str(caught.value)


async def test_a_daemon_hands_over_and_takes_back(
    place: Place, box: Path, nothing_left: None
) -> None:
    """What runs under one is found by the other, which is told nothing but the root."""
    daemon = Daemon()
    try:
        daemon.start()
        async with wherry.connect(f"unix://{daemon.socket}") as engine:
            await engine.images.load(box)
            await engine.run("box", ["sleep", "1000"], name="one", detach=True, **ALONE)
        daemon.stop()
        async with wherry.Engine(daemon.data) as engine:
            container = await engine.containers.get("one")
            assert (await container.inspect()).state.running
            await engine.run("box", ["sleep", "1000"], name="two", detach=True, **ALONE)
        daemon.start()
        async with wherry.connect(f"unix://{daemon.socket}") as engine:
            names = {found.names[0] for found in await engine.containers.list()}
            assert names == {"/one", "/two"}
        daemon.clear()
        daemon.stop()
    finally:
        daemon.destroy()


async def test_places_follow_from_the_root(tmp_path: Path) -> None:
    engine = wherry.Engine(tmp_path / "root")
    async with engine:
        settings = engine.backend._stores.settings
        assert settings.data_root == tmp_path / "root"
        name = settings.exec_root.name
        assert settings.exec_root.parent == Path("/run")
        assert settings.cgroup_parent == f"/{name}"
        assert name.startswith("wherry-")
    assert not settings.exec_root.exists()
    assert not leaks.cgroups(settings.cgroup_parent)


async def test_a_fork_of_the_program_keeps_nothing_open(
    opened: Callable[..., Opened], place: Place, nothing_left: None
) -> None:
    """multiprocessing forks by default, and its children may live for long."""
    reading, writing = os.pipe()
    async with asyncio.timeout(60):
        async with opened() as engine:
            await engine.run("box", ["sleep", "1000"], stop_timeout=0, **ALONE)
            pid = os.fork()
            if pid == 0:
                os.close(writing)
                os.read(reading, 1)
                os._exit(0)
        async with opened() as engine:
            await engine.run("box", ["true"], remove=True, **ALONE)
    os.close(writing)
    os.close(reading)
    os.waitpid(pid, 0)


STATE = """
import asyncio, gc, json, locale, logging, os, resource, signal, sys, threading, warnings
import wherry

def state():
    return {{
        "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()
                    if number != signal.SIGINT],  # asyncio.run's own
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "umask": (os.umask(0o27), os.umask(0o27))[0],
        "limits": [resource.getrlimit(number) for number in range(16)],
        "directory": os.getcwd(),
        "environment": dict(os.environ),
        "handlers": [str(one) for one in logging.getLogger().handlers],
        "level": logging.getLogger("wherry").level,
        "collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "hooks": [str(sys.excepthook), str(threading.excepthook), str(sys.unraisablehook)],
        "threads": [thread.name for thread in threading.enumerate()],
        "comm": open("/proc/self/comm").read(),
        "group": os.getpgid(0),
        "namespaces": [os.readlink(f"/proc/self/ns/{{name}}") for name in ("mnt", "pid", "net")],
        "cgroup": open("/proc/self/cgroup").read(),
        "tracing": (sys.gettrace(), sys.getswitchinterval(), sys.getrecursionlimit()),
        "filters": len(warnings.filters),
    }}

async def main():
    os.umask(0o27)
    loop = asyncio.get_running_loop()
    before, handler = state(), loop.get_exception_handler()
    async with wherry.Engine({root!r}, exec_root={exec_root!r}, cgroup_parent={cgroup!r}) as engine:
        inside = state()
        await engine.images.load({box!r})
        script = "id -u; umask; cat /etc/passwd /etc/hosts > /dev/null; ls -ld /"
        container = await engine.run("box", ["sh", "-c", script], user="1000", network="none")
        code = await container.wait()
        said = (await container.output()).stdout.decode().split()
        await engine.build(None, text="FROM box\\nRUN true\\n")
    after = state()
    inside["threads"] = before["threads"]
    wrong = [name for name in before if not before[name] == inside[name] == after[name]]
    assert not wrong, [(before[name], inside[name], after[name]) for name in wrong]
    assert loop.get_exception_handler() is handler
    print(code, *said[:3])

asyncio.run(main())
"""


def test_the_process_is_the_programs(place: Place, box: Path, nothing_left: None) -> None:
    """Nothing of it is changed; and its own umask is not that of what is in the engine."""
    text = STATE.format(
        root=str(place.root), exec_root=str(place.exec_root), cgroup=place.cgroup, box=str(box)
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["0", "1000", "0022", "drwxr-xr-x"], done.stderr
    assert done.stderr == ""


async def test_who_is_not_root_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(wherry.EngineError, match=r"needs root.*wherry\.connect") as caught:
        await place.engine().__aenter__()
    assert caught.value.kind is wherry.Kind.FORBIDDEN
    assert not place.root.exists()


def test_an_engine_that_is_not_open_says_so(place: Place) -> None:
    with pytest.raises(wherry.EngineError, match="inside of its `async with`"):
        _ = place.engine().backend


async def test_a_daemon_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(wherry.EngineError, match="Is the daemon running"):
        await wherry.connect(f"unix://{tmp_path}/none").__aenter__()
    with pytest.raises(wherry.EngineError, match="npipe"):
        wherry.connect("npipe://x")
