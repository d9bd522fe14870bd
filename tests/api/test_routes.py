"""Every endpoint: what it gives to the engine, and what it answers."""

import re
from pathlib import Path

import msgspec
import pytest

from wherry import errdefs
from wherry.api.routes import Router
from wherry.engine.model import ImportRequest, LogOptions

CREATE = b'{"Image":"busybox","Cmd":["cat"]}'
SHARED = Path(__file__).parents[3] / "shared"


def message(answer) -> str:
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, str] = msgspec.json.decode(answer.body)
    assert list(found) == ["message"]
    return found["message"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/_ping", "/v1.24/_ping", "/v1.51/_ping"])
async def test_ping_has_the_headers_that_clients_negotiate_by(served, method, path) -> None:
    answer = await served.call(method, path)
    assert answer.status == 200
    assert answer.headers["api-version"] == "1.51"
    assert answer.headers["ostype"] == "linux"
    assert answer.headers["docker-experimental"] == "false"
    assert answer.headers["builder-version"] == "1"
    assert answer.headers["swarm"] == "inactive"
    assert answer.headers["server"].startswith("Wherry/")
    assert answer.body == (b"OK" if method == "GET" else b"")


async def test_versions_outside_of_the_range(served) -> None:
    answer = await served.call("GET", "/v1.52/info")
    assert answer.status == 400
    assert message(answer) == (
        "client version 1.52 is too new. Maximum supported API version is 1.51"
    )
    answer = await served.call("GET", "/v1.23/info")
    assert answer.status == 400
    assert message(answer) == (
        "client version 1.23 is too old. Minimum supported API version is 1.24, "
        "please upgrade your client to a newer version"
    )
    for strange in ("/v1/info", "/v1.2.3/info", "/v1.999999999/info", "/v./info"):
        assert (await served.call("GET", strange)).status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("GET", "/v1.44/nowhere"),
        ("GET", "/v1.44"),
        ("PATCH", "/containers/json"),
        ("GET", "/containers/x/nothing"),
        ("POST", "/containers//start"),
    ],
)
async def test_unknown_paths(served, method, path) -> None:
    answer = await served.call(method, path)
    assert answer.status == 404
    assert message(answer) == "page not found"


@pytest.mark.parametrize("noun", ["swarm", "services", "nodes", "tasks", "secrets", "configs"])
async def test_swarm_is_answered_as_by_a_daemon_without_one(served, noun) -> None:
    for path in (f"/{noun}", f"/v1.44/{noun}/x"):
        answer = await served.call("GET", path)
        assert answer.status == 503
        assert message(answer).startswith("This node is not a swarm manager.")


async def test_what_is_not_served_says_so_by_name(served) -> None:
    answer = await served.call("POST", "/images/create?fromImage=alpine&tag=latest")
    assert answer.status == 501
    assert "pulling" in message(answer)
    answer = await served.call("POST", "/v1.44/containers/abc/exec", b"{}")
    assert answer.status == 501
    assert "further process" in message(answer)


@pytest.mark.skipif(
    not (SHARED / "specs/lists/api-endpoints.txt").exists(),
    reason="needs the list of endpoints in ../shared",
)
def test_no_endpoint_is_forgotten() -> None:
    router = Router()
    missing = []
    for line in (SHARED / "specs/lists/api-endpoints.txt").read_text().splitlines():
        match = re.match(r"(GET|HEAD|POST|PUT|DELETE) +(/\S+) ", line)
        if match and "debug" not in match[2] and not re.search(r"\(experimental\)", line):
            path = re.sub(r"\{[^}]*\}", "name", match[2])
            if router.find(match[1], path) is None:
                missing.append(f"{match[1]} {path}")
    assert missing == []


async def test_a_containers_life(served) -> None:
    engine = served.engine.containers
    answer = await served.call("POST", "/v1.44/containers/create?name=box", CREATE)
    assert answer.status == 201
    created = msgspec.json.decode(answer.body)
    assert created["Warnings"] == []
    container = engine.find("box")
    assert container.request.cmd == ["cat"]
    assert (await served.call("POST", "/containers/box/start")).status == 204
    again = await served.call("POST", "/containers/box/start")
    assert (again.status, again.body) == (304, b"")
    shown = msgspec.json.decode((await served.call("GET", "/containers/box/json")).body)
    assert shown["Id"] == created["Id"]
    assert shown["Config"]["Cmd"] == ["cat"]
    assert "HostConfig" not in shown["Config"]
    # `inspect` shows the name with a slash, and the CLI sends it back so.
    assert (await served.call("GET", "/containers//box/json")).status == 200
    assert (await served.call("POST", "/containers/box/resize?h=40&w=80")).status == 200
    assert container.size == (40, 80)
    assert (await served.call("POST", "/containers/box/kill")).status == 204
    assert (await served.call("POST", "/containers/box/kill?signal=USR1")).status == 204
    assert container.signals == ["SIGKILL", "USR1"]
    assert (await served.call("POST", "/containers/box/stop?t=3&signal=INT")).status == 204
    assert engine.options[-1] == (3, "INT")
    assert (await served.call("DELETE", "/containers/box?force=1&v=1")).status == 204
    gone = await served.call("GET", "/containers/box/json")
    assert gone.status == 404
    assert message(gone) == "No such container: box"


async def test_list_parameters(served) -> None:
    filters = "%7B%22status%22%3A%7B%22created%22%3Atrue%7D%7D"
    target = f"/containers/json?all=1&limit=5&size=true&filters={filters}"
    answer = await served.call("GET", target)
    assert answer.body == b"[]\n"
    assert served.engine.containers.options == [(True, 5, True, {"status": ["created"]})]
    assert (await served.call("GET", "/containers/json?limit=x")).status == 400
    assert (await served.call("GET", "/containers/json?filters=x")).status == 400


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"not json", {}, 400, "invalid JSON"),
        (b'{"Image":5}', {}, 400, "Image: expected str, got int"),
        (b'{"HostConfig":{"Memory":"x"}}', {}, 400, "HostConfig.Memory: expected int"),
        (b"", {}, 400, "config cannot be empty"),
        (b"{}", {"Content-Type": "text/plain"}, 400, "must be 'application/json'"),
        (b'{"Image":"other"}', {}, 404, "No such image: other"),
        (b'{"Image":"bug"}', {}, 500, "internal error (ZeroDivisionError: a bug)"),
        (CREATE, {"Content-Type": "application/json; charset=utf-8"}, 201, ""),
    ],
)
async def test_bodies_of_create(served, body, headers, status, words) -> None:
    answer = await served.call("POST", "/containers/create", body, headers)
    assert answer.status == status
    if words:
        assert words in message(answer)
        assert "Traceback" not in message(answer)


async def test_a_bug_is_one_line_in_the_log(served, caplog) -> None:
    await served.call("POST", "/containers/create", b'{"Image":"bug"}')
    (record,) = (r for r in caplog.records if r.levelname == "ERROR")
    assert record.fields["error"] == "ZeroDivisionError: a bug"
    assert re.search(r"\w+\.py:\d+$", record.fields["at"])


async def test_pings_are_not_logged_and_changes_are(served, caplog) -> None:
    caplog.set_level("INFO")
    await served.call("GET", "/_ping")
    assert not [r for r in caplog.records if r.name == "wherry.api"]
    await served.call("POST", "/containers/create", CREATE)
    (record,) = (r for r in caplog.records if r.name == "wherry.api")
    assert record.fields["path"] == "/containers/create"
    assert record.fields["status"] == 201


async def test_a_name_in_use(served) -> None:
    await served.call("POST", "/containers/create?name=box", CREATE)
    answer = await served.call("POST", "/containers/create?name=/box", CREATE)
    assert answer.status == 409
    assert "already in use" in message(answer)


async def test_a_start_with_a_body_is_of_another_age(served, container) -> None:
    answer = await served.call("POST", "/containers/box/start", b'{"Binds":[]}')
    assert answer.status == 400
    assert (await served.call("POST", "/containers/box/start", b"{}")).status == 204


@pytest.mark.parametrize("query", ["", "?h=1", "?h=x&w=1", "?h=-1&w=1", "?h=70000&w=1"])
async def test_sizes_that_are_none(served, container, query) -> None:
    assert (await served.call("POST", f"/containers/box/resize{query}")).status == 400


async def test_wait_answers_its_head_at_once_and_its_result_later(served, container) -> None:
    reader, writer = await served.connect()
    writer.write(b"POST /v1.51/containers/box/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n")
    status, headers = await served.read_head(reader)
    assert (status, headers["content-type"]) == (200, "application/json")
    container.exited.set()
    assert await reader.readuntil(b"0\r\n\r\n") == b'11\r\n{"StatusCode":7}\n\r\n0\r\n\r\n'
    writer.close()


async def test_wait_refuses_what_it_cannot_wait_for(served, container) -> None:
    answer = await served.call("POST", "/containers/box/wait?condition=rain")
    assert (answer.status, message(answer)) == (400, 'invalid condition: "rain"')
    assert (await served.call("POST", "/containers/none/wait")).status == 404


async def test_wait_says_when_the_waiting_failed(served, container, monkeypatch) -> None:
    class Broken:
        async def result(self):
            raise errdefs.internal("the shim died")

    async def wait(ref: str, condition: str) -> Broken:
        return Broken()

    monkeypatch.setattr(served.engine.containers, "wait", wait)
    answer = await served.call("POST", "/containers/box/wait")
    assert msgspec.json.decode(answer.body)["Error"] == {"Message": "the shim died"}


async def test_logs(served, container) -> None:
    served.engine.containers.log_chunks = [served.frame(1, b"a\n"), served.frame(2, b"b\n")]
    target = "/v1.51/containers/box/logs?stdout=1&stderr=1&timestamps=1&tail=5&since=1.5"
    answer = await served.call("GET", target)
    assert answer.headers["content-type"] == "application/vnd.docker.multiplexed-stream"
    assert answer.body == served.frame(1, b"a\n") + served.frame(2, b"b\n")
    assert served.engine.containers.options == [
        LogOptions(stdout=True, stderr=True, timestamps=True, tail=5, since=1_500_000_000)
    ]


async def test_logs_of_a_terminal_and_of_older_clients_are_called_raw(served, container) -> None:
    raw = "application/vnd.docker.raw-stream"
    old = await served.call("GET", "/v1.41/containers/box/logs?stdout=1")
    assert old.headers["content-type"] == raw
    container.request.tty = True
    assert (await served.call("GET", "/containers/box/logs?stdout=1")).headers[
        "content-type"
    ] == raw


async def test_logs_need_a_stream(served, container) -> None:
    answer = await served.call("GET", "/containers/box/logs")
    assert answer.status == 400
    assert message(answer) == "Bad parameters: you must choose at least one stream"
    assert (await served.call("GET", "/containers/box/logs?stdout=1&since=x")).status == 400


async def test_an_error_within_a_log_cuts_the_connection(served, container, monkeypatch) -> None:
    async def chunks():
        yield served.frame(1, b"a\n")
        raise errdefs.data_loss("the log is corrupt")

    async def logs(ref, options):
        from wherry.engine.model import LogStream

        return LogStream(tty=False, chunks=chunks())

    monkeypatch.setattr(served.engine.containers, "logs", logs)
    reader, writer = await served.connect()
    writer.write(b"GET /containers/box/logs?stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    await served.read_head(reader)
    rest = await reader.read()
    assert served.frame(1, b"a\n") in rest
    assert not rest.endswith(b"0\r\n\r\n")
    writer.close()


async def test_images(served) -> None:
    (image,) = msgspec.json.decode((await served.call("GET", "/images/json")).body)
    assert image["RepoTags"] == ["busybox:latest"]
    assert "VirtualSize" not in image
    (old,) = msgspec.json.decode((await served.call("GET", "/v1.43/images/json")).body)
    assert old["VirtualSize"] == old["Size"]
    name = "localhost:5000/team/app:v1"
    shown = msgspec.json.decode((await served.call("GET", f"/images/{name}/json")).body)
    assert shown["RepoTags"] == [name]
    escaped = name.replace("/", "%2F")
    assert (await served.call("GET", f"/images/{escaped}/json")).status == 200
    assert "Hostname" not in shown["Config"]
    older = msgspec.json.decode((await served.call("GET", f"/v1.49/images/{name}/json")).body)
    assert older["Config"]["Hostname"] == ""
    answer = await served.call("POST", f"/images/{name}/tag?repo=other/app&tag=v2")
    assert answer.status == 201
    assert served.engine.images.tagged == (name, "other/app", "v2")
    assert (await served.call("POST", f"/images/{name}/tag")).status == 400
    removed = msgspec.json.decode((await served.call("DELETE", f"/images/{name}?force=1")).body)
    assert removed == [{"Untagged": name}, {"Deleted": "sha256:" + "1" * 64}]


async def test_import_takes_its_parameters_from_the_query(served) -> None:
    query = "fromSrc=-&repo=a%2Fb&tag=c&message=m+n&changes=CMD+x&changes=ENV+A%3D1&platform=linux"
    answer = await served.call("POST", f"/images/create?{query}", b"a tar")
    assert (answer.status, msgspec.json.decode(answer.body)) == (
        200,
        {"status": "sha256:" + "3" * 64},
    )
    request, body = served.engine.images.imported
    assert request == ImportRequest(
        repo="a/b", tag="c", message="m n", changes=["CMD x", "ENV A=1"], platform="linux"
    )
    assert body == b"a tar"


async def test_import_from_elsewhere_is_refused_by_name(served) -> None:
    for query in ("fromSrc=http://example.org/x.tar", "fromSrc=", ""):
        answer = await served.call("POST", f"/images/create?{query}", b"")
        assert answer.status == 501
        assert "only fromSrc=-" in message(answer)


async def test_history_is_as_the_engine_tells_it(served) -> None:
    answer = await served.call("GET", "/images/a/b:1/history")
    assert msgspec.json.decode(answer.body) == [
        {
            "Comment": "c", "Created": 5, "CreatedBy": "", "Id": "sha256:" + "1" * 64, "Size": 7,
            "Tags": ["a/b:1"],
        },
        {
            "Comment": "", "Created": 4, "CreatedBy": "RUN x", "Id": "<missing>", "Size": 0,
            "Tags": None,
        },
    ]  # fmt: skip


async def test_save_sends_an_archive(served) -> None:
    for target, refs in [
        ("/images/a%2Fb:1/get", ["a/b:1"]),
        ("/images/a/b:1/get", ["a/b:1"]),
        ("/images/get?names=a&names=b:2", ["a", "b:2"]),
    ]:
        answer = await served.call("GET", target)
        assert (answer.status, answer.body) == (200, b"a tar")
        assert answer.headers["content-type"] == "application/x-tar"
        assert served.engine.images.save_refs == refs


async def test_save_of_what_is_not_there_has_a_status(served) -> None:
    answer = await served.call("GET", "/images/get?names=a&names=nothing")
    assert (answer.status, message(answer)) == (404, "No such image: nothing")


async def test_save_of_nothing_and_of_one_platform_are_refused(served) -> None:
    for target in ("/images/get", "/images/get?names=", "/images/get?names=a&names="):
        answer = await served.call("GET", target)
        assert answer.status == 400
        assert "names" in message(answer)
    answer = await served.call("GET", '/images/a/get?platform={"os":"linux"}')
    assert answer.status == 501
    assert "platform" in message(answer)


async def test_an_archive_that_breaks_off_has_no_end(served) -> None:
    reader, writer = await served.connect()
    writer.write(b"GET /images/get?names=damaged HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await served.read_head(reader))[0] == 200
    assert await reader.read() == b"2\r\na \r\n"
    writer.close()


async def test_a_client_that_leaves_ends_the_making_of_its_archive(served) -> None:
    reader, writer = await served.connect()
    writer.write(b"GET /images/endless/get HTTP/1.1\r\nHost: x\r\n\r\n")
    await served.read_head(reader)
    await reader.readexactly(200_000)
    assert not served.engine.images.save_ended.done()
    writer.close()
    await served.engine.images.save_ended


async def test_load_streams_in_and_out(served) -> None:
    reader, writer = await served.connect()
    writer.write(b"POST /images/load?quiet=1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n")
    writer.write(b"\r\n5\r\nfirst\r\n")
    status, _ = await served.read_head(reader)
    assert status == 200
    assert b"reading" in await reader.readuntil(b"\r\n\r\n")  # before the archive is all there
    writer.write(b"6\r\nsecond\r\n0\r\n\r\n")
    rest = await reader.readuntil(b"0\r\n\r\n")
    assert b"Loaded image: busybox:latest" in rest
    assert served.engine.images.loaded == 11
    writer.close()


async def test_load_of_what_is_no_archive_tells_it_in_its_stream_too(served) -> None:
    """As dockerd does: docker-py knows a failed load by this line alone."""
    answer = await served.call("POST", "/images/load", b"bad")
    assert answer.status == 200
    assert msgspec.json.decode(answer.body) == {
        "error": "this is not an archive of images",
        "errorDetail": {"message": "this is not an archive of images"},
    }


async def test_load_tells_late_errors_in_its_stream(served) -> None:
    reader, writer = await served.connect()
    writer.write(b"POST /images/load HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"5\r\nfirst\r\n")
    await served.read_head(reader)
    writer.write(b"a\r\nlate error\r\n0\r\n\r\n")
    *_, last = (await reader.readuntil(b"0\r\n\r\n")).split(b"\r\n")[:-4]
    assert msgspec.json.decode(last) == {
        "error": "a layer's digest lies",
        "errorDetail": {"message": "a layer's digest lies"},
    }
    writer.close()


async def test_a_client_that_leaves_within_a_load_cancels_it(served) -> None:
    reader, writer = await served.connect()
    writer.write(b"POST /images/load HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"5\r\nfirst\r\n")
    await served.read_head(reader)
    writer.close()
    assert await served.engine.images.load_ended in ("CancelledError", "GeneratorExit")


async def test_a_load_is_not_held_in_memory(served, monkeypatch) -> None:
    """What the engine does not take, the client keeps."""
    import asyncio

    gate = asyncio.Event()

    async def load(stream, quiet):
        await gate.wait()
        yield None

    monkeypatch.setattr(served.engine.images, "load", load)
    _, writer = await served.connect()
    writer.write(b"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
    sent = 0
    while sent < 100 << 20:
        writer.write(bytes(1 << 20))
        try:
            await asyncio.wait_for(writer.drain(), 0.3)
        except TimeoutError:
            break
        sent += 1 << 20
    assert sent < 8 << 20
    writer.transport.abort()


async def test_networks_and_volumes_are_told_honestly(served) -> None:
    networks = msgspec.json.decode((await served.call("GET", "/networks")).body)
    assert [network["Name"] for network in networks] == ["none", "host"]
    assert (await served.call("GET", f"/networks/{networks[0]['Id']}")).status == 200
    assert (await served.call("GET", "/networks/bridge")).status == 404
    volumes = msgspec.json.decode((await served.call("GET", "/volumes")).body)
    assert volumes == {"Volumes": [], "Warnings": None}


async def test_restart_and_rename(served, container) -> None:
    assert (await served.call("POST", "/containers/box/restart?t=3&signal=INT")).status == 204
    assert (await served.call("POST", "/v1.41/containers/box/restart?signal=INT")).status == 204
    assert (await served.call("POST", "/v1.41/containers/box/stop?signal=INT&t=1")).status == 204
    assert served.engine.containers.options == [(3, "INT"), (None, None), (1, None)]
    assert (await served.call("POST", "/containers/box/restart?t=x")).status == 400
    assert (await served.call("POST", "/containers/box/rename?name=crate")).status == 204
    assert container.name == "crate"


async def test_plugins_are_an_empty_list(served) -> None:
    assert (await served.call("GET", "/plugins")).body == b"[]\n"
    answer = await served.call("GET", '/plugins?filters={"enabled":["true"]}')
    assert answer.body == b"[]\n"
    assert (await served.call("GET", '/plugins?filters={"x":["true"]}')).status == 400
    for method, path in (
        ("GET", "json"), ("POST", "enable"), ("POST", "disable"), ("POST", "set"), ("POST", "push")
    ):  # fmt: skip
        answer = await served.call(method, f"/plugins/a/b/{path}")
        assert (answer.status, message(answer)) == (404, 'plugin "a/b" not found')
    assert (await served.call("DELETE", "/plugins/x")).status == 404
    for path in ("pull", "create"):
        assert (await served.call("POST", f"/plugins/{path}")).status == 501


@pytest.mark.parametrize("version", ["v1.41", "v1.42", "v1.43", "v1.44", "v1.51"])
async def test_disk_usage_in_each_versions_form(served, version: str) -> None:
    found = msgspec.json.decode((await served.call("GET", f"/{version}/system/df")).body)
    numbers = tuple(map(int, version.removeprefix("v").split(".")))
    old = numbers < (1, 42)
    assert found.get("BuilderSize", "none") == (7 if old else "none")
    [record] = found["BuildCache"]
    assert ("Parents" in record) == (not old)
    [image] = found["Images"]
    assert ("VirtualSize" in image) == (numbers < (1, 44))


async def test_disk_usage_by_type(served) -> None:
    async def kinds(path: str) -> set[str]:
        assert (await served.call("GET", path)).status == 200
        return set(served.engine.system.kinds)

    assert await kinds("/system/df?type=image&type=volume") == {"image", "volume"}
    everything = {"image", "volume", "container", "build-cache"}
    assert await kinds("/system/df") == everything
    assert await kinds("/v1.41/system/df?type=image") == everything
    answer = await served.call("GET", "/system/df?type=dust")
    assert (answer.status, message(answer)) == (400, "unknown object type: dust")
