"""What a program does with an engine: the same with its own and with a daemon's."""

import asyncio
import contextlib
import datetime
import inspect
import os
from pathlib import Path

import pytest

import wherry
from wherry.build.events import VertexOutput, VertexStarted
from wherry.build.request import Output
from wherry.engine.builds import Builds
from wherry.engine.containers import Containers
from wherry.engine.images import Images
from wherry.engine.system import System
from wherry.library import backend, remote

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root and the real kernel"),
]

ALONE = {"network": "none"}


async def test_a_container_from_run_to_end(engine: wherry.AnyEngine) -> None:
    script = "echo out; echo err >&2; printf rest; exit 3"
    container = await engine.run("box", ["sh", "-c", script], name="one", **ALONE)
    lines = [(line.stream, line.text) async for line in container.logs()]
    assert ("stdout", "out") in lines
    assert ("stderr", "err") in lines
    assert lines[-1] == ("stdout", "rest")
    assert await container.wait() == 3
    assert await container.wait() == 3
    assert await container.output() == (b"out\nrest", b"err\n")
    found = await container.inspect()
    assert (found.name, found.state.exit_code, found.config.cmd) == (
        "/one",
        3,
        ["sh", "-c", script],
    )
    assert (await engine.containers.get("one")).id == container.id
    assert [one.id for one in await engine.containers.list()] == []
    listed = await engine.containers.list(all=True, filters={"name": ["one"]})
    assert [(one.id, one.state) for one in listed] == [(container.id, "exited")]
    await container.rename("another")
    await container.remove()
    with pytest.raises(wherry.EngineError) as caught:
        await container.inspect()
    assert caught.value.kind is wherry.Kind.NOT_FOUND


async def test_one_that_goes_by_itself_still_tells_how_it_ended(engine: wherry.AnyEngine) -> None:
    container = await engine.run("box", ["sh", "-c", "exit 5"], remove=True, **ALONE)
    assert await container.wait() == 5
    assert await engine.containers.list(all=True) == []
    assert await container.wait() == 5


async def test_input_and_output(engine: wherry.AnyEngine) -> None:
    async with await engine.run("box", ["wc", "-c"], input=b"x" * 3_000_000, **ALONE) as container:
        assert await container.wait() == 0
        assert (await container.output()).stdout.strip() == b"3000000"
    with pytest.raises(wherry.EngineError, match="No such container"):
        await container.inspect()


async def test_the_input_of_one_that_is_detached(engine: wherry.AnyEngine) -> None:
    container = await engine.run(
        "box", ["sh", "-c", "sleep 0.1; wc -c"], input=b"x" * 300_000, detach=True, **ALONE
    )
    assert await container.wait() == 0
    assert (await container.output()).stdout.strip() == b"300000"
    container = await engine.run("box", ["wc", "-c"], input=b"", **ALONE)
    assert await container.wait() == 0
    assert (await container.output()).stdout.strip() == b"0"


async def test_a_program_whose_own_threads_all_wait_for_the_engine(
    engine: wherry.AnyEngine,
) -> None:
    """They are the loop's default threads, and there are no more of them than processors and 4."""
    loop = asyncio.get_running_loop()

    async def run() -> int:
        return await (await engine.run("box", ["true"], **ALONE)).wait()

    def in_a_thread() -> int:
        return asyncio.run_coroutine_threadsafe(run(), loop).result()

    many = (os.cpu_count() or 1) + 8
    async with asyncio.timeout(60):
        waiting = (asyncio.to_thread(in_a_thread) for _ in range(many))
        assert sum(await asyncio.gather(*waiting)) == 0
        # So it is with what needs threads on this side.
        waits = [asyncio.create_task(asyncio.to_thread(in_a_thread)) for _ in range(many)]
        await engine.build(None, text="FROM box\n")
        await asyncio.gather(*waits)


async def test_a_conversation(engine: wherry.AnyEngine) -> None:
    container = await engine.containers.create("box", ["cat"], stdin=True, **ALONE)
    async with await container.attach() as streams:
        await container.start()
        await streams.write(b"hello\n")
        said = aiter(streams)
        assert await anext(said) == ("stdout", b"hello\n")
        streams.write_eof()
        assert [piece async for piece in said] == []
    assert await container.wait() == 0


async def test_a_terminal(engine: wherry.AnyEngine) -> None:
    script = "read -r line; stty size; echo got $line"
    container = await engine.containers.create(
        "box", ["sh", "-c", script], tty=True, stdin=True, **ALONE
    )
    async with await container.attach() as streams:
        await container.start()
        await container.resize(11, 22)
        await streams.write(b"word\n")
        said = b"".join([data async for _, data in streams])
    assert b"11 22\r\ngot word\r\n" in said
    lines = [line.text async for line in container.logs(timestamps=True)]
    assert lines[-2:] == ["11 22\r", "got word\r"]


async def test_a_log_in_parts(engine: wherry.AnyEngine) -> None:
    script = "for i in 1 2 3 4; do echo $i; done; head -c 40000 /dev/zero | tr '\\0' x; echo"
    container = await engine.run("box", ["sh", "-c", script], **ALONE)
    await container.wait()
    last = [line async for line in container.logs(tail=1, stderr=False)]
    assert [line.data for line in last] in ([b"x" * 40000], [b"x" * (40000 - 2 * 16384)])
    timed = [line async for line in container.logs(timestamps=True)]
    assert [line.text[:2] for line in timed] == ["1", "2", "3", "4", "xx"]
    assert len(timed[-1].data) == 40000
    first = datetime.datetime.fromisoformat(timed[0].time[:26] + "+00:00")
    later = first + datetime.timedelta(hours=1)
    assert [line async for line in container.logs(since=later)] == []
    assert len([line async for line in container.logs(until=later.timestamp())]) == 5
    assert [line async for line in container.logs(stdout=False)] == []


async def test_a_log_that_nobody_reads_to_its_end(engine: wherry.AnyEngine) -> None:
    container = await engine.run("box", ["sh", "-c", "echo first; sleep 1000"], **ALONE)
    async with asyncio.timeout(30), contextlib.aclosing(container.logs()) as lines:
        async for line in lines:
            assert str(line) == "first"
            break
    await container.stop(0)
    await container.stop(0)  # there is nothing to do
    assert await container.wait() == 137


async def test_options_are_the_containers(engine: wherry.AnyEngine, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("bound\n")
    script = (
        "id -u; pwd; hostname; echo $A; cat /here/file; touch /here/new 2>/dev/null || echo ro;"
        "touch /x 2>/dev/null || echo frozen; touch /t/x && echo tmp; ulimit -n"
    )
    container = await engine.run(
        "box",
        ["-c", script],
        entrypoint=["sh"],
        user="1000",
        workdir="/tmp",
        hostname="named",
        env={"A": "b c"},
        labels={"k": "v"},
        binds={"/here": f"{tmp_path}:ro"},
        tmpfs={"/t": "mode=1777"},
        read_only=True,
        memory="64m",
        pids=50,
        cpus=0.5,
        ulimits={"nofile": (77, 99)},
        cap_drop=["ALL"],
        **ALONE,
    )
    assert await container.wait() == 0
    said = (await container.output()).stdout.decode().split("\n")
    assert said[:-1] == ["1000", "/tmp", "named", "b c", "bound", "ro", "frozen", "tmp", "77"]
    host = (await container.inspect()).host_config
    assert (host.memory, host.pids_limit, host.nano_cpus) == (64 << 20, 50, 500_000_000)


async def test_a_program_that_is_not_there_leaves_nothing(engine: wherry.AnyEngine) -> None:
    with pytest.raises(wherry.EngineError, match="no-such-program"):
        await engine.run("box", ["no-such-program"], **ALONE)
    assert await engine.containers.list(all=True) == []
    with pytest.raises(wherry.EngineError) as caught:
        await engine.run("no-such-image")
    assert caught.value.kind is wherry.Kind.NOT_FOUND
    with pytest.raises(TypeError, match="has no option"):
        await engine.run("box", no_such_option=1)  # type: ignore[call-arg]
    with pytest.raises(wherry.EngineError, match="is no size"):
        await engine.run("box", memory="much")


async def test_a_run_that_is_cancelled_leaves_nothing(engine: wherry.AnyEngine) -> None:
    for steps in range(0, 40, 4):
        run = asyncio.create_task(engine.run("box", ["sleep", "1000"], **ALONE))
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        run.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await run).remove(force=True)
        assert await engine.containers.list(all=True) == []


async def test_what_happens_is_told(engine: wherry.AnyEngine) -> None:
    async with asyncio.timeout(30), engine.events(filters={"type": ["container"]}) as events:
        container = await engine.run("box", ["true"], **ALONE)
        seen = []
        async for event in events:
            assert event.actor.id == container.id
            seen.append(event.action)
            if event.action == "die":
                assert event.actor.attributes["exitCode"] == "0"
                break
        assert seen == ["create", "start", "die"]
    now = datetime.datetime.now(tz=datetime.UTC)
    past = engine.events(since=1, until=now, filters={"container": [container.id]})
    assert [event.action async for event in past] == ["create", "start", "die"]


async def test_images(engine: wherry.AnyEngine, box: Path, tmp_path: Path) -> None:
    told = []
    assert await engine.images.load(box, on_progress=told.append) == ["box:latest"]
    await engine.images.tag("box", "example.com:5000/team/box:2")
    await engine.images.save("example.com:5000/team/box:2", tmp_path / "saved.tar")
    removed = await engine.images.remove("example.com:5000/team/box:2")
    assert removed[0].untagged == "example.com:5000/team/box:2"
    assert not [name for name in os.listdir(tmp_path) if name.startswith("saved.tar.")]
    names = await engine.images.load(tmp_path / "saved.tar")
    assert names == ["example.com:5000/team/box:2"]
    assert await engine.images.exists("box")
    assert not await engine.images.exists("nothing")
    found = await engine.images.inspect("box")
    assert sorted(found.repo_tags) == ["box:latest", "example.com:5000/team/box:2"]
    assert len(await engine.images.history("box")) >= 1
    await engine.images.remove("example.com:5000/team/box:2")
    named = [one.repo_tags for one in await engine.images.list() if one.repo_tags]
    assert named == [["box:latest"]]
    with pytest.raises(wherry.EngineError, match="opening"):
        await engine.images.load(tmp_path / "missing.tar")


async def test_a_build(engine: wherry.AnyEngine, tmp_path: Path) -> None:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        "FROM box\nARG WHO\nCOPY . /app\nRUN echo made for $WHO; cat /app/file > /app/copy\n"
        'CMD ["cat", "/app/copy"]\n'
    )
    (folder / "file").write_text("contents\n")
    (folder / "secret").write_text("hidden\n")
    (folder / ".dockerignore").write_text("secret\n")
    events = []
    built = await engine.build(
        folder, tags=["app:1"], args={"WHO": "me"}, labels={"a": "b"}, on_event=events.append
    )
    assert built.tags == ("app:1",)
    written = b"".join(event.data for event in events if isinstance(event, VertexOutput))
    assert written == b"made for me\n"
    assert any(isinstance(event, VertexStarted) and event.step == 4 for event in events)
    async with await engine.run("app:1", **ALONE) as container:
        await container.wait()
        assert (await container.output()).stdout == b"contents\n"
    async with await engine.run("app:1", ["ls", "/app"], **ALONE) as container:
        await container.wait()
        assert (await container.output()).stdout.split() == [b"Dockerfile", b"copy", b"file"]
    assert len(await engine.build_cache()) > 0
    await engine.images.remove("app:1", force=True)


async def test_a_build_of_nothing_but_a_text(engine: wherry.AnyEngine, tmp_path: Path) -> None:
    text = "FROM scratch\nCOPY --from=box /etc/passwd /\n"
    built = await engine.build(None, text=text, outputs=[Output("tar")])
    [output] = built.outputs
    archive = b"".join([piece async for piece in engine.build_output(output)])
    assert b"root:x:0:0" in archive
    with pytest.raises(wherry.EngineError, match="text"):
        await engine.build(None)


async def test_a_build_that_fails_says_why(engine: wherry.AnyEngine, tmp_path: Path) -> None:
    with pytest.raises(wherry.BuildFailedError, match="returned a non-zero code: 7") as caught:
        await engine.build(None, text="FROM box\nRUN echo alas; exit 7\n")
    assert caught.value.failure.exit_code == 7
    assert caught.value.failure.tail == ("alas",)
    with pytest.raises(wherry.EngineError, match="is no directory"):
        await engine.build(tmp_path / "nowhere")
    with pytest.raises(wherry.EngineError, match="Dockerfile"):
        await engine.build(tmp_path)


async def test_what_was_started_is_stopped_and_what_was_detached_goes_on(
    engine: wherry.AnyEngine,
) -> None:
    one = await engine.run("box", ["sleep", "1000"], stop_timeout=0, **ALONE)
    two = await engine.run("box", ["sleep", "1000"], detach=True, **ALONE)
    three = await engine.run("box", ["sleep", "1000"], **ALONE)
    three.detach()
    await engine._settle_kept()  # what leaving begins with
    running = {container.id for container in await engine.containers.list()}
    assert running == {two.id, three.id}
    assert await one.wait() in (137, 143)
    for container in (two, three):
        await container.remove(force=True)


async def test_version_and_info(engine: wherry.AnyEngine) -> None:
    assert (await engine.version()).version == wherry.__version__
    assert (await engine.info()).containers == 0


@pytest.mark.parametrize(
    ("wanted", "here", "there"),
    [
        (backend.Containers, Containers, remote.Containers),
        (backend.Images, Images, remote.Images),
        (backend.Builds, Builds, remote.Builds),
        (backend.System, System, remote.System),
    ],
)
def test_both_have_every_method_with_the_same_parameters(
    wanted: type, here: type, there: type
) -> None:
    """The types are compared by mypy, where the two classes return theirs as a `Backend`."""
    names = [name for name, value in vars(wanted).items() if inspect.isfunction(value)]
    names = [name for name in names if not name.startswith("_")]
    assert names
    for name in names:
        parameters = list(inspect.signature(getattr(wanted, name)).parameters)
        for implementation in (here, there):
            assert list(inspect.signature(getattr(implementation, name)).parameters) == parameters


async def test_an_image_of_this_hosts_programs(engine: wherry.AnyEngine) -> None:
    assert await engine.images.from_host(
        "from-here", "busybox", cmd=["/bin/busybox", "id", "-u"]
    ) == ("from-here:latest")
    async with await engine.run("from-here", **ALONE) as container:
        assert await container.wait() == 0
        assert (await container.output()).stdout == b"0\n"
    with pytest.raises(wherry.EngineError) as caught:
        await engine.images.from_host("from-here", "no-such-program")
    assert caught.value.kind is wherry.Kind.NOT_FOUND
    await engine.images.remove("from-here")
