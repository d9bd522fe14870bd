"""Input that is wrong or means harm: a clear error of the right kind, and a machine as before."""

import contextlib
import gzip
import io
import json
import re
import socket
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import archives
import layertars
import pytest
from daemons import Answer, Daemon
from layertars import directory, file, symlink
from programs import Program

pytestmark = pytest.mark.root


def refusal(answer: Answer) -> str:
    """The error of a load: the answer's last message."""
    last = json.loads(answer.body.splitlines()[-1])
    return str(last["errorDetail"]["message"])


def bad_layer(*members: layertars.Member, **options: Any) -> bytes:
    return archives.docker_archive(["bad:1"], [layertars.archive(*members, **options)])


def lying() -> bytes:
    """A layer that isn't the one the config speaks of."""
    told = layertars.archive(file("told", b"this"))
    kept = layertars.archive(file("told", b"that"))
    return archives.docker_archive(["bad:1"], [kept], archives.config([told]))


def truncated() -> bytes:
    return archives.image("bad:1")[: 512 * 999]


def corrupt_gzip() -> bytes:
    data = bytearray(gzip.compress(archives.image("bad:1")))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def without(name: str) -> Callable[[], bytes]:
    def make() -> bytes:
        kept = {}
        with tarfile.open(fileobj=io.BytesIO(archives.image("bad:1"))) as tar:
            for member in tar:
                data = tar.extractfile(member)
                if data is not None and name not in member.name:
                    kept[member.name] = data.read()
        return archives.pack(kept)

    return make


def manifest(text: bytes) -> Callable[[], bytes]:
    return lambda: archives.pack({"manifest.json": text})


ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "not an archive": (lambda: b"not an archive at all" * 100, "archive"),
    "empty": (lambda: b"", "empty|archive|manifest"),
    "truncated": (truncated, "truncated|ends|unexpected end"),
    "a corrupt gzip": (corrupt_gzip, "gzip|corrupt|damaged|checksum"),
    "a digest that lies": (lying, "digest"),
    "no manifest": (without("manifest.json"), "manifest"),
    "no config": (without(".json"), "manifest|config"),
    "no layer": (without("layer.tar"), "layer0/layer.tar"),
    "manifest is no JSON": (manifest(b"[{]"), "manifest.json"),
    "manifest of other types": (manifest(b'[{"Config":7}]'), "manifest.json"),
    "manifest that climbs": (
        manifest(b'[{"Config":"../../etc/passwd","RepoTags":[],"Layers":[]}]'),
        "passwd",
    ),
    "a name in capitals": (
        lambda: archives.docker_archive(["Bad/Name:1"], [layertars.archive(file("x"))]),
        "lowercase|Bad/Name",
    ),
    "a layer with ..": (lambda: bad_layer(file("../../../tmp/escaped", b"x")), r"\.\."),
    "a layer with .. within": (lambda: bad_layer(directory("a"), file("a/../../x")), r"\.\."),
    "out by a symlink": (
        lambda: bad_layer(symlink("out", "/tmp"), file("out/escaped", b"x")),
        "out/escaped|out",
    ),
    "out by a relative symlink": (
        lambda: bad_layer(symlink("out", "../../../../../../tmp"), file("out/escaped", b"x")),
        "out/escaped|out",
    ),
    "out by a hardlink": (
        lambda: bad_layer(layertars.hardlink("x", "../../../../etc/passwd")),
        "passwd",
    ),
    "absolute names": (lambda: bad_layer(file("/escaped", b"x")), "/escaped.*absolute"),
    "a name of 300 bytes": (lambda: bad_layer(file("n" * 300)), "n{20}.*|255|long"),
    "a bomb of devices": (
        lambda: bad_layer(*(layertars.device(f"dev{i}", 1, 3) for i in range(10_001))),
        "10000 devices",
    ),
}


@pytest.fixture
def outside() -> Iterator[None]:
    """What an archive that escapes would make."""
    yield
    for path in (Path("/tmp/escaped"), Path("/escaped")):
        assert not path.exists()


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives(daemon: Daemon, outside: None, case: str) -> None:
    make, said = ARCHIVES[case]
    before = daemon.picture()
    images = daemon.get("/images/json").json
    # As dockerd has it: what failed is the last line of an answer that began well.
    answer = daemon.load(make())
    assert answer.status == 200
    assert re.search(said, refusal(answer)), answer
    assert daemon.get("/images/json").json == images
    daemon.settled(before)


def test_by_the_command_line(program: Program, daemon: Daemon, tmp_path: Path) -> None:
    before = daemon.picture()
    path = tmp_path / "bad.tar"
    path.write_bytes(lying())
    for words in (("load", "-i", str(path)), ("load", "-q", "-i", str(path))):
        done = program.run(*words)
        assert done.code == 1, done
        assert "digest" in done.err
        assert "Loaded" not in done.out
    for words, code, said in (
        (("load", "-i", "/no/such/file"), 1, "no such file or directory"),
        (("tag", "box", "Upper/Case"), 1, "repository name must be lowercase|invalid reference"),
        (("run", "--network", "none", "BOX", "true"), 125, "repository name must be lowercase|inv"),
        (("run", "--network", "none", "--name", "-bad-", "box"), 125, "Invalid container name"),
        (("run", "--network", "none", "--memory", "1", "box"), 125, "memory limit"),
        (("run", "--network", "none", "--rm", "box", "nothing"), 127, "not found in \\$PATH"),
        (("rmi", "no-such:1"), 1, "No such image: no-such:1"),
        (("start", "nobody"), 1, "No such container: nobody"),
        (("logs", "nobody"), 1, "No such container: nobody"),
        (("rm", "nobody"), 1, "No such container: nobody"),
        (("stop", "nobody"), 1, "No such container: nobody"),
        (("wait", "nobody"), 1, "No such container: nobody"),
    ):
        done = program.run(*words)
        assert done.code == code, (words, done)
        assert re.search(said, done.err), (words, done)
        assert "Traceback" not in done.err
    daemon.settled(before)


def test_a_name_in_use(program: Program, daemon: Daemon) -> None:
    program.ok("create", "--name", "taken", "--network", "none", "box")
    before = daemon.picture()
    done = program.run("run", "--name", "taken", "--network", "none", "box", "true")
    assert done.code == 125
    assert 'The container name "/taken" is already in use by container' in done.err
    daemon.settled(before)


def body(**members: Any) -> dict[str, Any]:
    host = {"NetworkMode": "none", **members.pop("HostConfig", {})}
    return {"Image": "box", "Cmd": ["true"], **members, "HostConfig": host}


BODIES: dict[str, tuple[Any, int, str]] = {
    "not JSON": (b"{nonsense", 400, "JSON"),
    "not UTF-8": (b'{"Image": "\xff\xfe"}', 400, "JSON"),
    "an array": ([], 400, "object"),
    "a number": (7, 400, "object"),
    "nested without end": (b'{"Labels":' * 100_000, 400, "JSON"),
    "no body": (b"", 400, "body|config"),
    "no image": ({"Cmd": ["true"]}, 400, "invalid reference format: the name is empty"),
    "an unknown image": (body(Image="nothing:1"), 404, "No such image: nothing:1"),
    "an image in capitals": (body(Image="BOX"), 400, "lowercase|invalid reference"),
    "Cmd of numbers": (body(Cmd=[1, 2]), 400, "Cmd"),
    "Env as object": (body(Env={"A": "b"}), 400, "Env"),
    "Labels as list": (body(Labels=["a"]), 400, "Labels"),
    "Memory as text": (body(HostConfig={"Memory": "1g"}), 400, "Memory"),
    "Memory of one byte": (body(HostConfig={"Memory": 1}), 400, "[Mm]emory limit"),
    "Memory below zero": (body(HostConfig={"Memory": -5}), 400, "[Mm]emory"),
    "too many CPUs": (body(HostConfig={"NanoCpus": 10**15}), 400, "CPU"),
    "a huge number": (body(HostConfig={"Memory": 10**30}), 400, "Memory"),
    "a bind that is no path": (body(HostConfig={"Binds": ["/a:b"]}), 400, "absolute|path"),
    "a bind of three colons": (body(HostConfig={"Binds": ["/a:/b:ro:x"]}), 400, "/a:/b:ro:x"),
    "a bind to the root": (body(HostConfig={"Binds": ["/tmp:/"]}), 400, "'/'|root"),
    "the same place twice": (
        body(HostConfig={"Binds": ["/tmp:/x", "/var:/x"]}), 400, "[Dd]uplicate mount point",
    ),
    "an unknown capability": (body(HostConfig={"CapAdd": ["FLY"]}), 400, "FLY"),
    "an unknown security option": (body(HostConfig={"SecurityOpt": ["a=b"]}), 400, "a=b|security"),
    "a profile that is no JSON": (body(HostConfig={"SecurityOpt": ["seccomp={"]}), 400, "seccomp"),
    "a bad host name": (body(Hostname="-x-" * 40), 400, "[Hh]ostname"),
    "a bad stop signal": (body(StopSignal="SIGNOTHING"), 400, "SIGNOTHING"),
    "a relative working directory": (body(WorkingDir="relative"), 400, "relative"),
    "another runtime": (body(HostConfig={"Runtime": "kata"}), 400, "kata"),
    "devices": (
        body(HostConfig={"DeviceRequests": [{"Count": -1}]}), 501, "DeviceRequests",
    ),
    "a volume": (body(HostConfig={"Binds": ["volume:/x"]}), 501, "volume"),
    "published ports": (
        body(HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}), 501, "PortBindings",
    ),
    "a health check": (body(Healthcheck={"Test": ["CMD", "true"]}), 501, "Healthcheck"),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_bodies(daemon: Daemon, case: str) -> None:
    sent, status, said = BODIES[case]
    before = daemon.picture()
    answer = daemon.post("/containers/create", sent)
    assert answer.status == status, answer
    assert re.search(said, answer.message), answer
    assert daemon.containers() == []
    daemon.settled(before)


def cut_off() -> contextlib.AbstractContextManager[None]:
    """The client may be cut off while it still sends; then it has no answer."""
    return contextlib.suppress(BrokenPipeError, ConnectionResetError)


def test_a_body_of_a_hundred_megabytes(daemon: Daemon) -> None:
    """It is refused before it is read, and costs the daemon no memory."""

    def peak() -> int:
        text = Path(f"/proc/{daemon.pid}/status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0])

    before = peak()
    huge = b'{"Image":"' + b"x" * (100 << 20) + b'"}'
    with cut_off():
        answer = daemon.post("/containers/create", huge)
        assert answer.status == 413, answer
    assert peak() - before < 20_000
    assert daemon.get("/_ping").status == 200


REQUESTS: dict[str, tuple[str, str, int, str]] = {
    "an unknown path": ("GET", "/nowhere", 404, "page not found"),
    "an unknown verb": ("PATCH", "/containers/json", 404, "page not found"),
    "a version too old": ("GET", "/v1.1/containers/json", 400, "too old"),
    "a version too new": ("GET", "/v9.99/containers/json", 400, "too new"),
    "swarm": ("GET", "/nodes", 503, "swarm"),
    "a container that isn't": ("GET", "/containers/nobody/json", 404, "No such container: nobody"),
    "an image that isn't": ("GET", "/images/nothing:1/json", 404, "nothing:1"),
    "an image in capitals": ("GET", "/images/NOTHING/json", 400, "lowercase|invalid reference"),
    "filters that are no JSON": ("GET", "/containers/json?filters={", 400, "filter"),
    "an unknown filter": ("GET", '/containers/json?filters={"x":["y"]}', 400, "invalid filter"),
    "a bad limit": ("GET", "/containers/json?limit=many", 400, "many"),
    "a tag in capitals": ("POST", "/images/box/tag?repo=UPPER", 400, "lowercase|invalid ref"),
    "a tag of bad words": ("POST", "/images/box/tag?repo=a&tag=b:c", 400, "invalid"),
    "logs of nothing": ("GET", "/containers/nobody/logs?stdout=1", 404, "No such container"),
    "removing an image that isn't": ("DELETE", "/images/nothing:1", 404, "No such image"),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_requests(daemon: Daemon, case: str) -> None:
    method, path, status, said = REQUESTS[case]
    answer = daemon.request(method, path)
    assert answer.status == status, answer
    assert re.search(said, answer.message), answer


def test_verbs_on_containers_that_cannot(daemon: Daemon) -> None:
    container = daemon.create("sleep", "1000", name="one")
    for method, path, status, said in (
        ("POST", "kill", 409, "is not running"),
        ("POST", "resize?h=1&w=1", 409, "is not running"),
        ("POST", "stop", 304, ""),
        ("GET", "logs", 400, "at least one"),
        ("POST", "wait?condition=never", 400, "condition"),
    ):
        answer = daemon.request(method, f"/containers/{container}/{path}")
        assert answer.status == status, (path, answer)
        assert said in (answer.message if said else "")
    assert daemon.post("/containers/one/start").status == 204
    assert daemon.post("/containers/one/start").status == 304
    answer = daemon.delete("/containers/one")
    assert (answer.status, "container is running" in answer.message) == (409, True)
    answer = daemon.post("/containers/one/kill?signal=NOTHING")
    assert (answer.status, "NOTHING" in answer.message) == (400, True)
    answer = daemon.delete("/images/box:latest")
    assert answer.status == 409
    assert "running container" in answer.message or "container" in answer.message


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
        b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_bytes_that_are_no_http(daemon: Daemon, raw: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(daemon.socket))
        with cut_off():
            client.sendall(raw)
        with cut_off():
            first = client.recv(65536)
            assert first == b"" or first.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5", b"HTTP/1.0 4"))
    assert daemon.get("/_ping").status == 200
