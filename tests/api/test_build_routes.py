"""`POST /build` and its neighbours: what the engine is given, and each line that clients read."""

import asyncio
import base64
import json
from pathlib import Path

import pytest
from fakebuilds import BASE, IMAGE, step

from wherry import errdefs
from wherry.api.building import spool
from wherry.api.building.classic import Classic
from wherry.api.building.typed import Typed
from wherry.build.events import (
    BuildFailedError,
    BuildStarted,
    BuildWarning,
    Built,
    Excerpt,
    Failure,
    VertexCached,
    VertexCancelled,
    VertexDone,
    VertexFailed,
    VertexOutput,
    VertexStarted,
)
from wherry.build.protocols import Limits, Ulimit
from wherry.build.request import BuildRequest, Output
from wherry.errdefs import Kind

TAR = {"Content-Type": "application/x-tar"}
EVENTS = "application/vnd.wherry.build.events+json"


def lines(answer) -> list[dict]:
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def text(answer) -> str:
    return "".join(line.get("stream", "") for line in lines(answer))


def header(**members) -> dict[str, str]:
    packed = base64.urlsafe_b64encode(json.dumps(members).encode()).decode()
    return {**TAR, "X-Wherry-Build": packed}


async def test_the_classic_stream_line_by_line(served) -> None:
    answer = await served.call("POST", "/v1.51/build?t=app&t=other", b"a tar", TAR)
    assert answer.headers["content-type"] == "application/json"
    assert lines(answer) == [
        {"stream": "Step 1/2 : FROM busybox"},
        {"stream": "\n"},
        {"stream": f" ---> {BASE[7:19]}\n"},
        {"stream": "Step 2/2 : RUN make"},
        {"stream": "\n"},
        {"stream": "out 2\n"},
        {"stream": f" ---> {IMAGE[7:19]}\n"},
        {"aux": {"ID": IMAGE}},
        {"stream": f"Successfully built {IMAGE[7:19]}\n"},
        {"stream": "Successfully tagged app:latest\n"},
        {"stream": "Successfully tagged other:latest\n"},
    ]
    assert served.engine.builds.context == b"a tar"


async def test_quiet_gives_the_id_alone(served) -> None:
    answer = await served.call("POST", "/build?q=1", b"a tar", TAR)
    assert lines(answer) == [{"aux": {"ID": IMAGE}}, {"stream": f"{IMAGE}\n"}]


async def test_steps_come_in_order_although_stages_run_side_by_side(served) -> None:
    async def script(request, emit):
        emit(BuildStarted(4))
        emit(VertexStarted("internal", "[internal] load build context"))
        emit(VertexOutput("internal", "stdout", b"not shown"))
        emit(VertexStarted("v1", "", 1, "FROM a"))
        step(emit, 3, "FROM b")
        step(emit, 4, "RUN b")
        emit(VertexDone("internal"))
        emit(VertexCached("v1"))
        emit(VertexDone("v1"))
        step(emit, 2, "RUN a")
        return Built(image=IMAGE)

    served.engine.builds.script = script
    answer = await served.call("POST", "/build", b"", TAR)
    shown = text(answer)
    order = ["Step 1/4 : FROM a\n ---> Using cache\n", "Step 2/4 : RUN a\nout 2\n",
             "Step 3/4 : FROM b\nout 3\n", "Step 4/4 : RUN b\nout 4\n", "Successfully"]  # fmt: skip
    places = [shown.index(part) for part in order]
    assert places == sorted(places)
    assert "not shown" not in shown


async def test_what_is_held_back_is_passed_on_whole(served) -> None:
    async def script(request, emit):
        emit(BuildStarted(2))
        emit(VertexStarted("v2", "", 2, "RUN b"))
        for number in range(3000):
            emit(VertexOutput("v2", "stdout", b"%06d " % number * 60))
        emit(VertexDone("v2"))
        step(emit, 1, "RUN a")
        return Built(image=IMAGE)

    served.engine.builds.script = script
    shown = text(await served.call("POST", "/build", b"", TAR))
    words = shown[shown.index("RUN b\n") + 6 : shown.index("Successfully")].split()
    assert words == [f"{number:06}" for number in range(3000) for _ in range(60)]


@pytest.mark.parametrize("rendering", [Typed(), Classic(quiet=False)])
def test_what_nobody_reads_is_left_out_at_some_point(monkeypatch, rendering) -> None:
    monkeypatch.setattr(spool, "OUTPUT_MAX", 500_000)
    output = VertexOutput("v1", "stdout", b"x" * 10_000)
    read: list[bytes] = []

    def send() -> None:
        while piece := rendering.next():
            read.append(piece)

    rendering.take(BuildStarted(1))
    rendering.take(VertexStarted("v1", "", 1, "RUN a"))
    for _ in range(1000):
        rendering.take(output)
    send()
    assert sum(map(len, read)) < 1_000_000
    rendering.take(VertexOutput("v1", "stdout", b"more"))
    send()
    said = "".join(
        base64.b64decode(line["data"]).decode() if "data" in line else line.get("stream", "")
        for line in map(json.loads, b"".join(read).splitlines())
    )
    assert said.endswith(" bytes of output are left out: nobody has read them]\nmore")
    left_out = int(said.rpartition(" bytes of output")[0].rpartition("[")[2])
    assert said.count("x") + left_out == 10_000_000

    for _ in range(1000):
        rendering.take(output)
    rendering.succeed(Built(image=IMAGE))
    read.clear()
    send()
    assert b"bytes of output are left out" in b"".join(read)
    rendering.close()


async def test_errors_of_a_program_are_red_and_letters_stay_whole(served) -> None:
    async def script(request, emit):
        emit(BuildStarted(1))
        emit(VertexStarted("v1", "", 1, "RUN x"))
        emit(VertexOutput("v1", "stdout", "ä".encode()[:1]))
        emit(VertexOutput("v1", "stderr", b"oh\n"))
        emit(VertexOutput("v1", "stdout", "ä".encode()[1:] + b"\xff"))
        emit(VertexDone("v1"))
        return Built(image=IMAGE)

    served.engine.builds.script = script
    said = [line["stream"] for line in lines(await served.call("POST", "/build", b"", TAR))[2:4]]
    assert said == ["\x1b[91moh\n\x1b[0m", "ä\N{REPLACEMENT CHARACTER}"]


def failing(exit_code: int = 3):
    async def script(request, emit):
        emit(BuildStarted(3))
        step(emit, 1, "FROM a")
        emit(VertexStarted("v2", "", 2, "RUN false"))
        emit(VertexStarted("v3", "", 3, "RUN sleep"))
        emit(VertexOutput("v2", "stdout", b"the reason\n"))
        emit(VertexOutput("v3", "stdout", b"beside\n"))
        failure = Failure(
            message=f'process "/bin/sh -c false" did not complete successfully: exit {exit_code}',
            command="/bin/sh -c false",
            exit_code=exit_code,
            tail=("the reason",),
            instruction="RUN false",
            excerpt=Excerpt("Dockerfile", 1, ("FROM a", "RUN false"), 2, 2),
        )
        emit(VertexFailed("v2", failure))
        emit(VertexCancelled("v3"))
        raise BuildFailedError(Kind.INTERNAL, failure)

    return script


async def test_a_failure_is_the_last_line_with_its_code(served) -> None:
    served.engine.builds.script = failing()
    answer = await served.call("POST", "/build", b"", TAR)
    last = lines(answer)[-1]
    message = "The command '/bin/sh -c false' returned a non-zero code: 3"
    assert last == {"errorDetail": {"code": 3, "message": message}, "error": message}
    shown = text(answer)
    assert shown.index("the reason") < shown.index("2 | >>> RUN false\n")
    assert "beside" not in shown


async def test_a_quiet_failure_tells_all(served) -> None:
    served.engine.builds.script = failing()
    answer = await served.call("POST", "/build?q=1", b"", TAR)
    assert "the reason" in text(answer)
    assert lines(answer)[-1]["errorDetail"]["code"] == 3


async def test_an_error_before_the_first_step_is_a_status(served) -> None:
    async def script(request, emit):
        emit(VertexStarted("internal", "[internal] load build context"))
        raise errdefs.invalid("dockerfile parse error on line 1: unknown instruction: FORM")

    served.engine.builds.script = script
    answer = await served.call("POST", "/build", b"", TAR)
    assert answer.status == 400
    assert "FORM" in json.loads(answer.body)["message"]


async def test_a_late_error_without_details(served) -> None:
    async def script(request, emit):
        step(emit, 1, "FROM a")
        raise errdefs.exhausted("writing a layer: no space left on device")

    served.engine.builds.script = script
    assert lines(await served.call("POST", "/build", b"", TAR))[-1] == {
        "errorDetail": {"message": "writing a layer: no space left on device"},
        "error": "writing a layer: no space left on device",
    }


async def test_warnings_come_at_the_end(served) -> None:
    async def script(request, emit):
        emit(BuildStarted(1))
        place = Excerpt("Dockerfile", 1, ("MAINTAINER me",), 1, 1)
        emit(BuildWarning("Maintainer is deprecated", "MaintainerDeprecated", excerpt=place))
        step(emit, 1, "FROM a")
        return Built(image=IMAGE)

    served.engine.builds.script = script
    assert text(await served.call("POST", "/build", b"", TAR)).endswith(
        "[Warning] MaintainerDeprecated: Maintainer is deprecated (line 1)\n"
        f"Successfully built {IMAGE[7:19]}\n"
    )


async def test_typed_events(served) -> None:
    served.engine.builds.script = failing()
    answer = await served.call("POST", "/build", b"", {**TAR, "Accept": EVENTS})
    assert answer.headers["content-type"] == EVENTS
    assert not served.engine.builds.requests[0].step_images
    events = lines(answer)
    assert events[0] == {"type": "build-started", "steps": 3}
    assert events[1] == {
        "type": "vertex-started", "id": "v1", "name": "[1] FROM a", "step": 1,
        "instruction": "FROM a",
    }  # fmt: skip
    assert events[2]["data"] == base64.b64encode(b"out 1\n").decode()
    assert events[-1]["type"] == "failed"
    assert events[-1]["failure"]["exit_code"] == 3
    assert events[-1]["failure"]["excerpt"]["lines"] == ["FROM a", "RUN false"]


async def test_a_client_that_leaves_cancels_the_build(served) -> None:
    for begun in (False, True):
        served.engine.builds.cancelled.clear()
        began = asyncio.Event()

        async def script(request, emit, begun=begun, began=began):
            if begun:
                step(emit, 1, "FROM a")
            began.set()
            await asyncio.sleep(3600)

        served.engine.builds.script = script
        _, writer = await served.connect()
        writer.write(b"POST /build HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
        await began.wait()
        writer.close()
        await asyncio.wait_for(served.engine.builds.cancelled.wait(), 1)


async def test_a_client_that_leaves_in_the_upload(served) -> None:
    _, writer = await served.connect()
    writer.write(b"POST /build HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
    while not served.engine.builds.requests:
        await asyncio.sleep(0.001)
    writer.close()
    await asyncio.wait_for(served.engine.builds.cancelled.wait(), 1)


QUERY = (
    "/build?dockerfile=a/Dockerfile&t=x&t=y%3A1&extrahosts=a%3A1.2.3.4&extrahosts=b%3D%5B%3A%3A1%5D"
    "&nocache=1&pull=1&rm=1&forcerm=0&memory=1000&memswap=-1&cpushares=2&cpusetcpus=0-1"
    "&cpuperiod=100&cpuquota=50&shmsize=64&labels=%7B%22a%22%3A%22b%22%7D&networkmode=host"
    "&buildargs=%7B%22A%22%3A%221%22%2C%22B%22%3Anull%7D&cachefrom=%5B%22z%22%5D&target=last"
    "&platform=linux/amd64&cgroupparent=/c&ulimits=%5B%7B%22Name%22%3A%22nofile%22%2C%22Soft%22"
    "%3A1%2C%22Hard%22%3A2%7D%5D&buildid=b1&version=1"
)


async def test_every_parameter_reaches_the_engine(served) -> None:
    auth = base64.urlsafe_b64encode(b'{"r.example":{"username":"u"}}').decode()
    await served.call("POST", QUERY, b"", {**TAR, "X-Registry-Config": auth})
    assert served.engine.builds.requests == [
        BuildRequest(
            id="b1",
            dockerfile="a/Dockerfile",
            step_images=True,
            tags=("x", "y:1"),
            extra_hosts=(("a", "1.2.3.4"), ("b", "::1")),
            no_cache=True,
            pull=True,
            labels={"a": "b"},
            network="host",
            build_args={"A": "1", "B": None},
            cache_from=("z",),
            target="last",
            platforms=("linux/amd64",),
            limits=Limits(
                memory=1000, memory_swap=-1, cpu_shares=2, cpu_period=100, cpu_quota=50,
                cpuset_cpus="0-1", shm_size=64, cgroup_parent="/c",
                ulimits=(Ulimit("nofile", 1, 2),),
            ),
            registry_auth={"r.example": {"username": "u"}},
        )
    ]  # fmt: skip


async def test_the_header_says_what_no_parameter_can(served) -> None:
    asked = header(
        secrets={"token": base64.b64encode(b"s\0").decode()},
        ssh={"default": "/run/agent.sock", "mine": "session:0123"},
        contexts={"base": "docker-image://x", "lib": "upload:contexts/0"},
        outputs=[{"type": "local", "attributes": {}}, {"type": "image"}],
        no_cache_filter=["build"],
        check=True,
    )
    await served.call("POST", "/build", b"", asked)
    assert served.engine.builds.requests == [
        BuildRequest(
            secrets={"token": b"s\0"},
            ssh={"default": Path("/run/agent.sock")},
            agents={"mine": "0123"},
            contexts={"base": "docker-image://x", "lib": "upload:contexts/0"},
            outputs=(Output("local"), Output("image")),
            no_cache_filter=("build",),
            check=True,
            step_images=True,
        )
    ]
    assert "token" not in repr(served.engine.builds.requests[0])


async def test_a_dockerfile_for_a_context_elsewhere(served) -> None:
    own = {"Content-Type": "text/x-dockerfile"}
    await served.call("POST", "/build?remote=https://x/y.git", b"FROM a", own)
    await served.call("POST", "/build?remote=https://x/y.git", b"", TAR)
    first, second = served.engine.builds.requests
    assert (first.inline, first.remote) == (b"FROM a", "https://x/y.git")
    assert (second.inline, second.remote) == (None, "https://x/y.git")
    assert served.engine.builds.context is None
    answer = await served.call("POST", "/build", b"FROM a", own)
    assert answer.status == 400


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("version=2", 501, "DOCKER_BUILDKIT=0"),
        ("version=3", 400, 'invalid version: "3"'),
        ("squash=1", 501, "squash: not supported"),
        ("isolation=hyperv", 400, 'unsupported isolation: "hyperv"'),
        ("securityopt=a", 400, "security options are not supported on linux"),
        ("memory=lots", 400, "invalid value for memory"),
        ("shmsize=-1", 400, "SHM size can not be less than 0"),
        ("buildargs=x", 400, "error reading build args"),
        ("buildargs=%5B%5D", 400, "error reading build args"),
        ("labels=1", 400, "error reading labels"),
        ("cachefrom=1", 400, "error reading cache-from"),
        ("ulimits=1", 400, "error reading ulimit settings"),
        ("outputs=1", 400, "invalid outputs specified"),
        ("outputs=%5B%7B%22Type%22%3A%22local%22%7D%5D", 400, "X-Wherry-Build"),
        ("extrahosts=a", 400, "bad format for add-host"),
    ],
)
async def test_malformed_parameters(served, query, status, words) -> None:
    answer = await served.call("POST", f"/build?{query}", b"", TAR)
    assert answer.status == status
    assert words in json.loads(answer.body)["message"]
    assert not served.engine.builds.requests


@pytest.mark.parametrize(
    "value",
    [
        "!", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"secret":{}}').decode(),
        base64.b64encode(b'{"secrets":{"a":"%"}}').decode(),
        base64.b64encode(b'{"outputs":[{"type":"registry"}]}').decode(),
        base64.b64encode(b'{"ssh":{"a":"relative"}}').decode(),
    ],
)  # fmt: skip
async def test_malformed_headers(served, value) -> None:
    answer = await served.call("POST", "/build", b"", {**TAR, "X-Wherry-Build": value})
    assert answer.status == 400
    assert not served.engine.builds.requests


async def test_credentials_that_nobody_understands_are_none(served) -> None:
    answer = await served.call("POST", "/build", b"", {**TAR, "X-Registry-Config": "%%%"})
    assert answer.status == 200


async def test_nulls_of_older_clients(served) -> None:
    await served.call("POST", "/build?buildargs=null&labels=null&cachefrom=null", b"", TAR)
    assert served.engine.builds.requests == [BuildRequest(step_images=True)]


async def test_cancel_prune_cache_and_outputs(served) -> None:
    assert (await served.call("POST", "/build/cancel?id=b1", b"")).status == 200
    assert served.engine.builds.ids == ["b1"]
    assert (await served.call("POST", "/build/cancel", b"")).status == 400
    answer = await served.call(
        "POST", '/build/prune?all=1&keep-storage=5&filters={"until":["1h"],"type":["regular"]}', b""
    )
    assert json.loads(answer.body) == {"CachesDeleted": ["0a1b2c"], "SpaceReclaimed": 51}
    (asked,) = served.engine.builds.pruned
    assert (asked.all, asked.reserved_space) == (True, 5)
    assert asked.until > 1_700_000_000_000_000_000
    assert asked.filters == {"type": ["regular"]}
    for wrong in ('filters={"x":["y"]}', "reserved-space=-1", 'filters={"until":["1h","2h"]}'):
        assert (await served.call("POST", f"/build/prune?{wrong}", b"")).status == 400
    first, second = json.loads((await served.call("GET", "/wherry/builds/cache")).body)
    assert (first["ID"], first["Size"], first["LastUsedAt"]) == ("0a1b2c", 51, None)
    assert (second["Type"], second["InUse"]) == ("exec.cachemount", True)
    answer = await served.call("GET", "/wherry/builds/there/output")
    assert (answer.status, answer.body) == (200, b"a tar")
    assert (await served.call("GET", "/wherry/builds/gone/output")).status == 404


async def test_lending_an_agent(served) -> None:
    reader, writer = await served.connect()
    writer.write(b"POST /wherry/agents/0123/default HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                 b"Upgrade: tcp\r\n\r\nearly")  # fmt: skip
    status, _ = await served.read_head(reader)
    assert status == 101
    assert await reader.read() == b"said early"
    writer.close()
    assert served.engine.builds.lent == [("0123", "default")]
