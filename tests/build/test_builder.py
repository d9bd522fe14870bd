"""Builds from end to end, with the test's own function in the place of programs."""

import asyncio
import functools
import gzip
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import layertars
import pytest
from yards import Yard, add_image, shell

from wherry.build.dockerfile import DockerfileError
from wherry.build.events import BuildFailedError, BuildWarning, StepImage, VertexOutput
from wherry.build.protocols import Output, RunStep
from wherry.build.request import Output as Wanted
from wherry.errdefs import EngineError, Kind
from wherry.spec.digest import Digest


async def test_an_image_has_its_files_its_config_and_its_history(yard: Yard) -> None:
    built = await yard.build(
        'FROM base\nENV A=1\nWORKDIR /app\nCOPY main.c .\nRUN echo made > /out\nCMD ["/out"]\n',
        {"main.c": "int main"},
        tags=("app:1",),
    )

    config = yard.config(built)
    files = yard.files(built)
    assert (files["app/main.c"], files["out"]) == (b"int main", b"made")
    assert files["etc/passwd"].startswith(b"root")
    assert (config.config.env, config.config.working_dir) == (("A=1",), "/app")
    assert config.config.cmd == ("/out",)
    assert built.tags == ("app:1",)
    assert yard.images.resolve("app:1").id == built.image
    told = [entry for entry in config.history if not entry.empty_layer]
    assert len(told) == len(config.rootfs.diff_ids)


async def test_the_same_build_again_does_nothing_and_gives_the_same_image(yard: Yard) -> None:
    text = "FROM base\nARG X=1\nCOPY a /a\nRUN echo $X > /x\nLABEL y=z\nRUN echo 2 > /y\n"
    first = await yard.build(text, {"a": "A"})
    assert len(yard.steps) == 2

    again = await yard.build(text, {"a": "A"})

    assert yard.steps == []
    assert again.image == first.image
    assert yard.cached() == ["COPY a /a", "RUN echo $X > /x", "RUN echo 2 > /y"]


@pytest.mark.parametrize(
    ("changed", "done"),
    [
        ({"files": {"a": "B"}}, ["echo 1 > /x", "echo 2 > /y"]),
        ({"build_args": {"LATE": "1"}}, ["echo 2 > /y"]),
        ({"no_cache": True}, ["echo 1 > /x", "echo 2 > /y"]),
        ({"no_cache_filter": ("work",)}, ["echo 1 > /x", "echo 2 > /y"]),
        ({"no_cache_filter": ("other",)}, []),
        ({"build_args": {"HTTP_PROXY": "http://somewhere"}}, []),
        ({"labels": {"a": "b"}}, []),
    ],
)
async def test_what_changes_decides_what_is_done_again(
    yard: Yard, changed: dict[str, object], done: list[str]
) -> None:
    text = "FROM base AS work\nCOPY a /a\nRUN echo 1 > /x\nARG LATE=0\nRUN echo 2 > /y\n"
    await yard.build(text, {"a": "A"})

    files = changed.pop("files", {"a": "A"})
    await yard.build(text, files, **changed)  # type: ignore[arg-type] # mixed on purpose

    assert yard.ran() == done


async def test_a_step_that_makes_what_it_made_before_leaves_the_rest_cached(yard: Yard) -> None:
    text = "FROM base\nARG WHEN=1\nRUN echo same > /x\nCOPY a /a\nRUN echo 2 > /y\n"

    async def run(step: RunStep, upper: Path, output: Output) -> int:
        code = await shell(step, upper, output)
        for path in (upper, upper / "x", upper / "y"):
            if path.exists():
                os.utime(path, ns=(10**18, 10**18))
        return code

    yard.run = run
    await yard.build(text, {"a": "A"})
    await yard.build(text, {"a": "A"}, build_args={"WHEN": "2"})

    # Both saw WHEN; but what is copied upon equal files is cached.
    assert "COPY a /a" in yard.cached()


async def test_stages_that_nothing_needs_are_not_built(yard: Yard) -> None:
    built = await yard.build(
        "FROM base AS one\nRUN echo 1 > /one\n"
        "FROM base AS two\nRUN exit 1\n"
        "FROM base\nCOPY --from=one /one /\n"
    )

    assert yard.ran() == ["echo 1 > /one"]
    assert yard.files(built)["one"] == b"1"


async def test_a_target_ends_the_build_there(yard: Yard) -> None:
    text = "FROM base AS One\nRUN echo 1 > /one\nFROM base AS two\nRUN exit 1\n"

    assert "one" in yard.files(await yard.build(text, target="one"))
    with pytest.raises(EngineError, match=r'target stage "thre" could not be found') as refused:
        await yard.build(text, target="thre")
    assert refused.value.kind is Kind.INVALID_ARGUMENT


async def test_independent_stages_go_on_at_the_same_time(yard: Yard) -> None:
    meeting = asyncio.Barrier(2)

    async def run(step: RunStep, upper: Path, output: Output) -> int:
        await asyncio.wait_for(meeting.wait(), 10)
        return await shell(step, upper, output)

    yard.run = run
    built = await yard.build(
        "FROM base AS one\nRUN echo 1 > /one\nFROM base AS two\nRUN echo 2 > /two\n"
        "FROM scratch\nCOPY --from=one /one /\nCOPY --from=1 /two /\n"
    )

    assert yard.files(built) == {"one": b"1", "two": b"2"}


async def test_builds_at_once_do_equal_steps_once(yard: Yard) -> None:
    async def run(step: RunStep, upper: Path, output: Output) -> int:
        while [len(waiting) for waiting in yard.solver._listeners.values()] != [3]:
            await asyncio.sleep(0.001)
        output("stdout", b"seen by all\n")
        return await shell(step, upper, output)

    yard.run = run
    text = "FROM base\nRUN echo 1 > /x\n"
    builds = await asyncio.gather(*(yard.build(text) for _ in range(3)))

    assert len({built.image for built in builds}) == 1
    assert len(yard.steps) == 1
    assert sum(isinstance(event, VertexOutput) for event in yard.events) == 3


async def test_one_build_that_is_left_does_not_take_a_step_from_another(yard: Yard) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def run(step: RunStep, upper: Path, output: Output) -> int:
        begun.set()
        await go.wait()
        return await shell(step, upper, output)

    yard.run = run
    text = "FROM base\nCOPY a /\nRUN echo 1 > /x\n"
    first = asyncio.create_task(yard.build(text, {"a": "A"}))
    await begun.wait()
    second = asyncio.create_task(yard.build(text, {"a": "A"}))
    while [len(waiting) for waiting in yard.solver._listeners.values()] != [2]:
        await asyncio.sleep(0.001)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()

    assert yard.files(await second)["x"] == b"1"
    await yard.builder.close()


async def test_a_cancelled_build_leaves_nothing(yard: Yard) -> None:
    begun = asyncio.Event()

    async def run(step: RunStep, upper: Path, output: Output) -> int:
        begun.set()
        await asyncio.Event().wait()
        return 0

    yard.run = run
    before = (yard.snapshots.layers(), yard.snapshots.keys())
    build = asyncio.create_task(yard.build("FROM base\nRUN echo 1 > /x\n"))
    await begun.wait()
    assert yard.snapshots.keys() != before[1]
    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await build

    assert (yard.snapshots.layers(), yard.snapshots.keys()) == before
    assert yard.database.read(lambda tx: (tx.build_records(), tx.leases())) == ([], [])


async def test_a_step_that_fails_says_where_and_how(yard: Yard) -> None:
    with pytest.raises(BuildFailedError) as failed:
        await yard.build("FROM base\n\nRUN say one && say two && exit 3\n# after\n")

    failure = failed.value.failure
    assert failure.exit_code == 3
    assert failure.tail == ("one", "two")
    assert "returned a non-zero code: 3" in failure.message
    assert failure.excerpt is not None
    assert (failure.excerpt.line, failure.excerpt.file) == (3, "Dockerfile")
    assert yard.snapshots.keys() == []
    assert yard.database.read(lambda tx: (tx.build_records(), tx.leases())) == ([], [])


async def test_what_was_done_before_a_failure_is_not_done_again(yard: Yard) -> None:
    text = "FROM base\nRUN echo 1 > /x\nRUN exit {}\n"
    with pytest.raises(BuildFailedError):
        await yard.build(text.format(1))

    await yard.build(text.format(0))

    assert yard.ran() == ["exit 0"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("FROM base\nCOPY --from=two /x /\nFROM base AS two\nCOPY --from=0 /y /\n", "circular"),
        ("FROM base AS a\nCOPY --from=a /x /\n", "circular"),
        ("FROM base\nCOPY --from=7 /x /\n", "no stage of that number"),
        ("FROM $NOTHING\n", "should not be blank"),
        ("FROM nowhere\n", "No such image: nowhere"),
        ("FROM base\nCOPY missing /\n", '"/missing": not found in the build context'),
        ("FROM base\nRUN --mount=type=bind,source=no,target=/x true\n", '"no" is not in the build'),
        ("FROM base\nRUN --mount=type=secret,id=key,required true\n", "--secret id=key"),
        ("FROM base\nCOPY --chown=nobody a /\n", "nobody"),
        ("FROM base\nUSER ${x:?say it}\n", "say it"),
    ],
)
async def test_bad_input_is_told_with_its_place(yard: Yard, text: str, told: str) -> None:
    with pytest.raises(EngineError, match=told.replace("$", r"\$")) as refused:
        await yard.build(text, {"a": "A"})

    assert refused.value.kind in (Kind.INVALID_ARGUMENT, Kind.NOT_FOUND)
    assert isinstance(refused.value, DockerfileError | BuildFailedError)
    assert yard.database.read(lambda tx: tx.leases()) == []


async def test_arguments_have_their_scopes(yard: Yard) -> None:
    text = (
        "ARG TAG=base\nFROM $TAG AS first\nARG TAG\nARG A=1 B=$A\nENV A=3\nRUN say $A\n"
        "FROM $TAG\nARG UNSET\nARG GIVEN=no\nRUN say $TAG\n"
    )
    await yard.build(text, build_args={"GIVEN": "yes"}, target="first")
    env = yard.steps[0].env
    assert (env["TAG"], env["A"], env["B"]) == ("base", "3", "1")

    await yard.build(text, build_args={"GIVEN": "yes"})
    env = yard.steps[-1].env
    assert env["GIVEN"] == "yes"
    assert not {"TAG", "A", "B", "UNSET"} & set(env)


async def test_an_argument_that_nothing_declares_is_warned_of(yard: Yard) -> None:
    await yard.build("FROM base\nARG A\n", build_args={"A": "1", "B": "2", "NO_PROXY": "x"})

    warnings = [event.message for event in yard.events if isinstance(event, BuildWarning)]
    assert warnings == ["One or more build-args [B] were not consumed"]


async def test_triggers_of_the_base_run_first_and_once(yard: Yard) -> None:
    add_image(yard, "parent", "ONBUILD COPY a /a", "ONBUILD RUN echo trigger > /t")

    built = await yard.build("FROM parent\nRUN echo own > /o\n", {"a": "A"}, tags=("child",))

    assert yard.ran() == ["echo trigger > /t", "echo own > /o"]
    assert yard.files(built)["a"] == b"A"
    assert yard.config(built).config.on_build == ()
    await yard.build("FROM child\nRUN echo grand > /g\n", {"a": "A"})
    assert yard.ran() == ["echo grand > /g"]


async def test_ids_of_steps_can_be_run_and_are_not_listed(yard: Yard) -> None:
    built = await yard.build("FROM base\nENV A=1\nRUN echo 1 > /x\n", step_images=True)

    shown = [event.image for event in yard.events if isinstance(event, StepImage)]
    assert shown[0] == yard.images.resolve("base").id
    assert shown[-1] == built.image
    assert yard.images.resolve(shown[1]).config.config.env[-1] == "A=1"
    listed = {image.id for image in yard.images.list()}
    assert shown[1] not in listed
    assert {shown[1], built.image} <= {image.id for image in yard.images.list(steps=True)}
    assert built.image in listed


async def test_an_image_that_only_files_are_wanted_of_is_hidden_until_somebody_wants_it(
    yard: Yard,
) -> None:
    text = "FROM base\nRUN echo 1 > /f\n"
    files = (Wanted("local"),)
    built = await yard.build(text, outputs=files)
    made = Digest(built.image)
    listed = {image.id for image in yard.images.list()}
    assert made not in listed
    assert (await yard.build(text)).image == made
    assert (await yard.build(text, outputs=files)).image == made
    assert {image.id for image in yard.images.list()} == {*listed, made}

    yard.cache.remove([])
    yard.images.resolve(made)


async def test_a_prune_keeps_the_hidden_images_that_are_read(yard: Yard) -> None:
    built = await yard.build("FROM base\nRUN echo 1 > /f\n", outputs=(Wanted("local"),))
    made = Digest(built.image)
    yard.cache.remove([], kept={made})
    yard.images.resolve(made)
    yard.cache.remove([])
    with pytest.raises(EngineError, match=r"(?i)no such image"):
        yard.images.resolve(made)


async def test_the_cache_is_pruned_and_images_keep_their_layers(yard: Yard) -> None:
    built = await yard.build("FROM base\nRUN echo 1 > /x\n", step_images=True, tags=("kept",))
    other = await yard.build("FROM base\nRUN echo 22 > /y\n", step_images=True)
    yard.images.delete(other.image, force=True)
    entries = yard.cache.entries()
    assert [entry.shared for entry in entries] == [False, True]

    freed = yard.cache.remove([entry.id for entry in entries])

    assert freed == 2
    assert yard.files(built)["x"] == b"1"
    assert yard.cache.entries() == []
    assert {image.id for image in yard.images.list(steps=True)} == {
        Digest(built.image),
        yard.images.resolve("base").id,
    }


async def test_a_mount_of_the_context_is_part_of_the_key(yard: Yard) -> None:
    text = "FROM base\nRUN --mount=type=bind,source=src,target=/src say hi\n"
    await yard.build(text, {"src/a": "1", "other": "x"})
    await yard.build(text, {"src/a": "1", "other": "y"})
    assert yard.ran() == []
    await yard.build(text, {"src/a": "2", "other": "y"})
    assert yard.ran() == ["say hi"]
    mount = yard.steps[0].step.mounts[0]
    assert mount.target == "/src"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("type=cache,target=/c", "type=cache,target=/c,ro"),
        ("type=cache,target=/c", "type=cache,target=/c,mode=0700"),
        ("type=cache,target=/c", "type=cache,target=/c,uid=5"),
        ("type=cache,target=/c", "type=cache,target=/c,sharing=private"),
        ("type=cache,target=/c,from=one", "type=cache,target=/c,from=two"),
        ("type=cache,target=/c,from=one", "type=cache,target=/c,from=one,source=/d"),
        ("type=tmpfs,target=/t", "type=tmpfs,target=/t,size=1m"),
        ("type=secret,id=s", "type=secret,id=s,mode=0444"),
        ("type=secret,id=s", "type=secret,id=s,gid=5"),
        ("type=ssh", "type=ssh,uid=5"),
    ],
)
async def test_what_a_program_sees_of_a_mount_is_part_of_the_key(
    yard: Yard, one: str, other: str
) -> None:
    text = (
        "FROM base AS one\nRUN echo 1 > /d/f\nFROM base AS two\nRUN echo 2 > /d/f\n"
        "FROM base\nRUN --mount={} say hi\n"
    )
    await yard.build(text.format(one))
    await yard.build(text.format(one))
    assert yard.ran() == []
    await yard.build(text.format(other))
    assert yard.ran()[-1:] == ["say hi"]


async def test_a_cache_that_begins_with_other_files_is_another(yard: Yard) -> None:
    text = (
        "FROM base AS one\nRUN echo {} > /d/f\n"
        "FROM base\nRUN --mount=type=cache,target=/c,from=one,source=/d say hi\n"
    )
    await yard.build(text.format(1))
    await yard.build(text.format(2))
    assert yard.ran() == ["echo 2 > /d/f", "say hi"]


async def test_a_secret_is_mounted_and_is_no_part_of_the_key(yard: Yard) -> None:
    text = "FROM base\nRUN --mount=type=secret,id=key --mount=type=secret,id=key,env=KEY say hi\n"
    built = await yard.build(text, secrets={"key": b"hush"})
    step = yard.steps[0]
    assert step.env["KEY"] == "hush"
    assert [mount.target for mount in step.step.mounts] == ["/run/secrets/key"]
    assert "hush" not in repr(step.step.mounts)
    assert "hush" not in str(yard.config(built))

    await yard.build(text, secrets={"key": b"other"})
    assert yard.ran() == []


async def test_output_is_passed_on(yard: Yard) -> None:
    await yard.build("FROM base\nRUN say one && say two\n")

    said = b"".join(event.data for event in yard.events if isinstance(event, VertexOutput))
    assert said == b"one\ntwo\n"


async def test_the_engine_hides_its_own_files_if_they_are_ignored(yard: Yard) -> None:
    """All else was left out by who sent it; an archive made otherwise stays as it is."""
    files = {"a": "A", "b": "B", ".dockerignore": "b\nc\nDockerfile\n.dockerignore\n"}
    built = await yard.build("FROM scratch\nCOPY . /\n", files)
    assert set(yard.files(built)) == {"a", "b"}

    with pytest.raises(EngineError, match="dockerignore"):
        await yard.build("FROM scratch\nCOPY c /\n", files)


async def test_further_contexts_are_folders_of_the_upload_or_images(yard: Yard) -> None:
    files = {"a": "A", "further/0/x": "X"}
    built = await yard.build(
        "FROM other AS o\nFROM start\nCOPY --from=folder . /in/\nCOPY . /main/\n"
        "COPY --from=other /etc/group /group\n",
        files,
        contexts={
            "folder": "upload:further/0",
            "other": "docker-image://base",
            "start": "docker-image://base",
        },
    )

    found = set(yard.files(built))
    assert {"in/x", "main/a", "main/Dockerfile", "group", "etc/passwd"} <= found
    assert not any("further" in path for path in found)


async def test_checks_are_warnings_of_a_build_and_all_of_a_check(yard: Yard) -> None:
    text = "# check=skip=JSONArgsRecommended\nFROM base AS One\nCMD x\nCOPY b /\n"
    files = {"b": "B", ".dockerignore": "b"}

    built = await yard.build(text, files, check=True)

    warnings = [event for event in yard.events if isinstance(event, BuildWarning)]
    assert [one.rule for one in warnings] == ["StageNameCasing", "CopyIgnoredFile"]
    assert warnings[0].excerpt is not None
    assert warnings[0].excerpt.line == 2
    assert built.image == ""
    assert yard.steps == []


async def test_checks_can_end_a_build(yard: Yard) -> None:
    text = "# check=error=true\nFROM base AS One\nRUN true\n"
    with pytest.raises(EngineError, match="lint violation found for rules: StageNameCasing"):
        await yard.build(text)
    assert yard.steps == []

    await yard.build(text, build_args={"BUILDKIT_DOCKERFILE_CHECK": "skip=all"})
    assert yard.ran() == ["true"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serves the folder `served` on loopback; answers its address."""
    served = tmp_path / "served"
    served.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


async def test_add_fetches_and_verifies(yard: Yard, server: str, tmp_path: Path) -> None:
    (tmp_path / "served" / "tool.txt").write_bytes(b"tool")
    digest = hashlib.sha256(b"tool").hexdigest()
    text = f"FROM scratch\nADD --checksum=sha256:{digest} {server}/tool.txt /opt/\n"
    assert yard.files(await yard.build(text)) == {"opt/tool.txt": b"tool"}

    (tmp_path / "served" / "tool.txt").write_bytes(b"changed")
    with pytest.raises(EngineError, match="digest mismatch"):
        await yard.build(text)
    built = await yard.build(f"FROM scratch\nADD {server}/tool.txt /opt/x\n")
    assert yard.files(built) == {"opt/x": b"changed"}
    with pytest.raises(EngineError, match="tool"):
        await yard.build(f"FROM scratch\nADD {server}/tool.tx /opt/x\n")


async def test_a_context_can_be_fetched(yard: Yard, server: str, tmp_path: Path) -> None:
    tar = layertars.archive(
        layertars.file("Dockerfile", b"FROM scratch\nCOPY a /\n"), layertars.file("a", b"A")
    )
    (tmp_path / "served" / "context.tar.gz").write_bytes(gzip.compress(tar))
    (tmp_path / "served" / "Dockerfile").write_bytes(b"FROM base\n")

    built = await yard.build("", remote=f"{server}/context.tar.gz")
    assert yard.files(built) == {"a": b"A"}
    built = await yard.build("", remote=f"{server}/Dockerfile")
    assert "etc/passwd" in yard.files(built)
    further = {"far": f"{server}/context.tar.gz"}
    built = await yard.build("FROM scratch\nCOPY --from=far a /b\n", contexts=further)
    assert yard.files(built) == {"b": b"A"}


async def test_a_network_that_is_not_there_is_refused(yard: Yard) -> None:
    with pytest.raises(EngineError, match="building in the network 'mine': not supported"):
        await yard.build("FROM base\nRUN true\n", network="mine")
    await yard.build("FROM base\nRUN true\n", network="bridge")


async def test_steps_without_a_layer_come_from_the_cache_too(yard: Yard) -> None:
    """For clients of the classic stream, which count what comes from the cache."""
    for expected in ([], ["ENV A=1", "RUN echo 1 > /x", "LABEL a=b"]):
        yard.events.clear()
        await yard.build("FROM base\nENV A=1\nRUN echo 1 > /x\nLABEL a=b\n", step_images=True)
        assert yard.cached() == expected
    yard.events.clear()
    await yard.build("FROM base\nENV A=1\nRUN echo 1 > /x\n", step_images=True, no_cache=True)
    assert yard.cached() == []
