"""The engine on the real kernel: images of one static program, real processes."""

import asyncio
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import signal
import sys
import tarfile
import textwrap
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import wherry
from wherry.engine import marker
from wherry.engine.engine import Engine
from wherry.engine.model import AttachOptions, CreateRequest, HostConfig, LogOptions
from wherry.engine.settings import Settings
from wherry.errdefs import EngineError, Kind
from wherry.linux import cgroups

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root and the real kernel"),
]


def static_busybox() -> str | None:
    """One without an interpreter of its own: a container has no other file."""
    path = shutil.which("busybox")
    if path is None or b"/ld-" in Path(path).read_bytes()[:4096]:
        return None
    return path


def archive() -> bytes:
    """A docker-archive of an image that has busybox and its links, and nothing else."""
    program = static_busybox()
    if program is None:
        pytest.skip("needs a static busybox")
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(program, arcname="bin/busybox")
        for name in ("sh", "echo", "sleep", "cat", "true", "id", "touch"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    diff_id = hashlib.sha256(layer.getvalue()).hexdigest()
    config = json.dumps(
        {
            "architecture": os.uname().machine,
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        }
    ).encode()
    manifest = json.dumps(
        [{"Config": "config.json", "RepoTags": ["busybox:latest"], "Layers": ["layer.tar"]}]
    ).encode()
    result = io.BytesIO()
    with tarfile.open(fileobj=result, mode="w") as tar:
        for name, data in (
            ("config.json", config),
            ("layer.tar", layer.getvalue()),
            ("manifest.json", manifest),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return result.getvalue()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]


def settings(root: Path) -> Settings:
    # A group of our own: nothing here meets another engine's.
    return Settings(
        root / "data", root / "exec", cgroup_parent=f"/wherry-test-{os.getpid()}-{root.name}"
    )


def leftovers(where: Settings) -> list[str]:
    """What is still there that no container claims."""
    found = [str(path) for path in (where.exec_root / "containers").iterdir()]
    found += [str(path) for path in (where.data_root / "containers").iterdir()]
    found += [str(path) for path in where.data_root.glob("set-aside/*")]
    found += [str(path) for path in where.data_root.glob("snapshots/*/active/*")]
    if pids := cgroups.detect().pids(where.cgroup_parent):
        found.append(f"processes {pids}")
    mounts = Path("/proc/self/mountinfo").read_text()
    found += [line for line in mounts.splitlines() if str(where.data_root) in line]
    return found


@contextlib.asynccontextmanager
async def opened(where: Settings) -> AsyncIterator[Engine]:
    """An engine with the image loaded, whose containers are gone afterwards."""
    engine = await Engine.open(where)
    try:
        said = [message async for message in engine.images.load(pieces(archive()), True)]
        assert [message.stream for message in said] == ["Loaded image: busybox:latest\n"]
        yield engine
        for row in await engine.containers.list(True, 0, False, {}):
            await engine.containers.remove(row.id, True, False, False)
    finally:
        await engine.close()


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Settings]:
    where = settings(tmp_path)
    yield where
    cgroups.detect().remove_tree(where.cgroup_parent)
    assert leftovers(where) == []


@pytest.fixture
async def engine(where: Settings) -> AsyncIterator[Engine]:
    async with opened(where) as engine:
        yield engine


async def create(engine: Engine, *command: str, **options: object) -> str:
    host_config = HostConfig(
        **{"network_mode": "none"}
        | {key: options.pop(key) for key in list(options) if key in HostConfig.__struct_fields__}
    )
    request = CreateRequest(image="busybox", cmd=list(command), host_config=host_config, **options)
    return (await engine.containers.create(None, request, None)).id


async def run(engine: Engine, *command: str, **options: object) -> tuple[int, bytes]:
    """(exit code, output without frames) of a container that runs to its end."""
    container_id = await create(engine, *command, tty=False, **options)
    waiter = await engine.containers.wait(container_id, "next-exit")
    await engine.containers.start(container_id)
    code = (await waiter.result()).status_code
    return code, await output(engine, container_id)


async def output(engine: Engine, container_id: str, follow: bool = False) -> bytes:
    options = LogOptions(stdout=True, stderr=True, follow=follow)
    stream = await engine.containers.logs(container_id, options)
    data = b"".join([chunk async for chunk in stream.chunks])
    text = b""
    while data:
        size = int.from_bytes(data[4:8], "big")
        text, data = text + data[8 : 8 + size], data[8 + size :]
    return text


async def test_output_and_exit_code(engine: Engine) -> None:
    code, text = await run(engine, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert code == 3
    assert sorted(text.split()) == [b"err", b"out"]


async def test_the_sign_of_a_container_is_no_change_of_its(engine: Engine, where: Settings) -> None:
    code, text = await run(engine, "sh", "-c", "stat -c '%F %a %u' /.dockerenv && rm /.dockerenv")
    assert (code, text) == (0, b"regular empty file 755 0\n")
    code, _ = await run(engine, "sh", "-c", "test -f /.dockerenv")
    assert code == 0
    changed = [set(os.listdir(top)) for top in where.data_root.glob("snapshots/*/active/*/upper")]
    assert sorted(".dockerenv" in names for names in changed) == [False, True]  # one removed it
    (where.data_root / "init/.dockerenv").unlink()
    marker.make(where.data_root)
    assert (await run(engine, "sh", "-c", "test -f /.dockerenv"))[0] == 0


async def test_the_environment_of_a_process(engine: Engine) -> None:
    code, text = await run(
        engine,
        "sh",
        "-c",
        "echo $A; id -u; echo $$; cat /proc/1/comm /etc/hostname; cat /proc/self/limits; touch /x",
        env=["A=1"],
        user="1234",
        hostname="boat",
        readonly_rootfs=True,
    )
    lines = text.split(b"\n")
    assert lines[:5] == [b"1", b"1234", b"1", b"sh", b"boat"]
    assert b"touch: /x: Read-only file system" in text or b"Permission denied" in text
    assert code != 0


async def test_attached_from_the_first_byte_to_the_last(engine: Engine) -> None:
    container_id = await create(engine, "cat", open_stdin=True, stdin_once=True)
    wanted = AttachOptions(stream=True, stdin=True, stdout=True)
    attached = await engine.containers.attach(container_id, wanted)
    await engine.containers.start(container_id)
    end = attached.socket
    assert end is not None
    end.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(end, b"hello\n")
    end.shutdown(1)
    text = b""
    async with asyncio.timeout(20):
        while chunk := await loop.sock_recv(end, 1000):
            text += chunk
    end.close()
    assert text == b"\x01\0\0\0\0\0\0\x06hello\n"


async def test_a_second_run_adds_to_the_log(engine: Engine) -> None:
    container_id = await create(engine, "echo", "hi")
    for _ in range(2):
        waiter = await engine.containers.wait(container_id, "next-exit")
        await engine.containers.start(container_id)
        await waiter.result()
    assert await output(engine, container_id) == b"hi\nhi\n"


async def test_the_engine_says_what_it_is(engine: Engine) -> None:
    info = await engine.system.info()
    assert (info.containers, info.images) == (0, 1)
    assert info.driver == engine._stores.snapshots.name
    assert info.ncpu >= 1
    assert info.mem_total > 1 << 20
    version = await engine.system.version()
    assert version.version == wherry.__version__
    assert version.components[0].name == "Engine"


async def test_an_image_in_use_stays(engine: Engine) -> None:
    container_id = await create(engine, "true")
    with pytest.raises(EngineError, match="is using its referenced image") as caught:
        await engine.images.delete("busybox", False, False)
    assert caught.value.kind is Kind.CONFLICT
    await engine.containers.remove(container_id, False, False, False)
    await engine.images.tag("busybox", "other/name", "v1")
    removed = await engine.images.delete("busybox", False, False)
    assert [item.untagged for item in removed] == ["busybox:latest"]
    (image,) = await engine.images.list(False, {}, False, True)
    assert image.repo_tags == ["other/name:v1"]
    assert (await engine.images.inspect("other/name:v1")).id == image.id
    await engine.images.tag("other/name:v1", "busybox", "")


async def test_what_a_forced_removal_left_goes_with_the_last_container(engine: Engine) -> None:
    snapshots = engine._stores.snapshots
    content = engine._stores.images.collector.content
    first, last = [await create(engine, "true") for _ in range(2)]
    await engine.images.delete("busybox", True, False)
    assert await engine.images.list(False, {}, False, False) == []
    await engine.containers.remove(first, False, False, False)
    await engine._stores.settle()
    assert len(snapshots.layers()) == 1
    await engine.containers.start(last)  # its files are all there
    await (await engine.containers.wait(last, "not-running")).result()
    await engine.containers.remove(last, False, False, False)
    await engine._stores.settle()
    assert snapshots.layers() == []
    assert content.digests() == []


async def test_a_broken_upload_leaves_nothing(engine: Engine) -> None:
    async def breaks_off() -> AsyncIterator[bytes]:
        yield archive()[:10000]
        raise ConnectionError("the client left")

    with pytest.raises(EngineError, match="broken off"):
        _ = [message async for message in engine.images.load(breaks_off(), False)]
    with pytest.raises(EngineError):
        _ = [message async for message in engine.images.load(pieces(b"not a tar" * 99), True)]
    leaves = engine.images.load(pieces(archive() + b"\0" * (1 << 20)), False)
    await anext(leaves)
    await leaves.aclose()
    assert len(await engine.images.list(False, {}, False, False)) == 1


async def test_containers_outlive_the_engine(where: Settings) -> None:
    first = await Engine.open(where)
    _ = [message async for message in first.images.load(pieces(archive()), True)]
    talking = await create(first, "sh", "-c", "echo one; sleep 1; echo two; exit 4")
    quiet = await create(first, "sleep", "1000")
    await first.containers.start(talking)
    await first.containers.start(quiet)
    await first.close()
    async with opened(where) as second:
        state = (await second.containers.inspect(quiet, False)).state
        assert state.running
        assert os.path.exists(f"/proc/{state.pid}")
        waiter = await second.containers.wait(quiet, "not-running")
        await second.containers.stop(quiet, 0, None)
        assert (await waiter.result()).status_code == 137
        assert await output(second, talking, follow=True) == b"one\ntwo\n"
        ended = (await second.containers.inspect(talking, False)).state
        assert (ended.status, ended.exit_code) == ("exited", 4)


SOURCE = Path(wherry.__file__).parent / "engine"
POINTS = sorted(
    {
        name
        for path in SOURCE.rglob("*.py")
        for name in re.findall(r'fault\("(container\.[^"]+)"\)', path.read_text())
    }
)

# One container's whole life for each line read; at the point that the line names, it dies. One
# process has everything imported, and forks: that is what keeps this test short.
LIVES = textwrap.dedent(
    """
    import asyncio, os, sys
    from pathlib import Path
    from wherry import faults
    from wherry.engine.engine import Engine
    from wherry.engine.model import CreateRequest
    from wherry.engine.settings import Settings

    async def life():
        data, run, group = sys.argv[1:]
        engine = await Engine.open(Settings(Path(data), Path(run), cgroup_parent=group))
        request = CreateRequest(image="busybox", cmd=["sleep", "1000"])
        created = await engine.containers.create("victim", request, None)
        await engine.containers.start(created.id)
        await engine.containers.rename(created.id, "renamed")
        await engine.containers.kill(created.id, "KILL")
        await engine.containers.remove(created.id, False, False, False)
        await engine.close()

    for line in sys.stdin:
        child = os.fork()
        if not child:
            faults._armed = line.strip()
            asyncio.run(life())
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    """
)


def test_the_points_are_there() -> None:
    for verb in ("create", "start", "rename", "exit", "remove"):
        assert len([name for name in POINTS if name.startswith(f"container.{verb}.")]) >= 2


async def test_killed_anywhere_nothing_is_left(where: Settings) -> None:
    async with opened(where):
        pass
    lives = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LIVES),
        *(str(where.data_root), str(where.exec_root), where.cgroup_parent),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert lives.stdin
    assert lives.stdout
    try:
        for point in POINTS:
            lives.stdin.write(f"{point}\n".encode())
            code = int(await lives.stdout.readline())
            assert code == -signal.SIGKILL, f"{point} was not reached"
            await _recovers(where, point)
            await _nothing_is_left(where, point)
    finally:
        lives.stdin.close()
        await lives.wait()


async def _nothing_is_left(where: Settings, point: str) -> None:
    """The launcher of the one that was killed ends by itself, and takes a moment for it."""
    deadline = time.monotonic() + 10
    while left := leftovers(where):
        assert time.monotonic() < deadline, (point, left)
        await asyncio.sleep(0.01)


async def _recovers(where: Settings, point: str) -> None:
    """Whatever is there after a kill is true, and can be started and removed."""
    engine = await Engine.open(where)
    try:
        for row in await engine.containers.list(True, 0, False, {}):
            state = (await engine.containers.inspect(row.id, False)).state
            alive = os.path.exists(f"/proc/{state.pid}") if state.pid else False
            assert state.running == alive, point
            if not state.running:
                await engine.containers.start(row.id)
            await engine.containers.remove(row.id, True, False, False)
    finally:
        await engine.close()
