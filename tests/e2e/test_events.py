"""Events of a whole daemon, beside what dockerd 20.10.24 told of the same commands; and what
becomes of those who wait when the daemon is restarted."""

import http.client
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import archives
import layertars
import pytest
from daemons import Daemon, UnixConnection, poll, running
from programs import Program, find

pytestmark = pytest.mark.root

IMPORT = {"Content-Type": "application/x-tar"}


class Listener:
    """A client of the events that never stops reading."""

    def __init__(self, daemon: Daemon, path: str = "/v1.41/events") -> None:
        self._connection = UnixConnection(daemon.socket)
        self._connection.request("GET", path)
        self._response = self._connection.getresponse()
        assert self._response.status == 200
        self.heard: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        try:
            self.heard += [json.loads(line) for line in self._response]
        except (OSError, http.client.HTTPException) as error:
            self.failure = error

    def end(self) -> list[str]:
        """Wait for the stream's end; its events as lines, IDs left out."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._connection.close()
        assert self.failure is None
        return [shown(event) for event in self.heard]


def shown(event: dict[str, Any]) -> str:
    """`container die exitCode=0 image=box name=web`, without what dockerd 20.10 did not tell."""
    attributes = {
        key: re.sub("^sha256:[0-9a-f]{64}$", "ID", value)
        for key, value in event["Actor"]["Attributes"].items()
        if key != "execDuration"
    }
    words = [f"{key}={value}" for key, value in attributes.items()]
    return " ".join([event["Type"], event["Action"], *words])


@pytest.fixture
def own_daemon() -> Iterator[Daemon]:
    archive = archives.image("box:latest")
    with running() as daemon:
        assert daemon.load(archive).status == 200
        yield daemon


# Recorded: `docker -H ... events` while these commands ran, without the networks' events.
RECORDED = """\
image load name=ID
image tag name=box:two
container create image=box l=1 name=c1
container start image=box l=1 name=c1
container rename image=box l=1 name=c2 oldName=/c1
container kill image=box l=1 name=c2 signal=10
container resize height=10 image=box l=1 name=c2 width=20
container kill image=box l=1 name=c2 signal=15
container kill image=box l=1 name=c2 signal=9
container die exitCode=137 image=box l=1 name=c2
container stop image=box l=1 name=c2
container start image=box l=1 name=c2
container restart image=box l=1 name=c2
container kill image=box l=1 name=c2 signal=9
container die exitCode=137 image=box l=1 name=c2
container destroy image=box l=1 name=c2
image save name=ID
image tag name=imp:1
image import name=ID
image untag name=ID
image delete name=ID
image untag name=ID
builder prune reclaimed=0
"""
STUBBORN = ("sh", "-c", "trap '' TERM USR1; while :; do sleep 1; done")


def test_what_is_told_is_what_dockerd_tells(own_daemon: Daemon) -> None:
    daemon = own_daemon
    listener = Listener(daemon)
    assert daemon.load(archives.image("box:latest")).status == 200
    daemon.post("/images/box/tag?repo=box&tag=two")
    daemon.create(*STUBBORN, name="c1", Labels={"l": "1"})
    daemon.post("/containers/c1/start")
    for path in (
        *("c1/rename?name=c2", "c2/kill?signal=USR1", "c2/resize?h=10&w=20"),
        "c2/restart?t=0",
    ):
        assert daemon.post(f"/containers/{path}").status in (200, 204), path
    daemon.delete("/containers/c2?force=1")
    assert daemon.get("/images/get?names=box&names=box:two").status == 200
    tar = layertars.archive(layertars.file("a", b"b"))
    path = "/images/create?fromSrc=-&repo=imp&tag=1"
    assert daemon.request("POST", path, tar, IMPORT).status == 200
    daemon.delete("/images/imp:1")
    daemon.delete("/images/box:two")
    daemon.post("/build/prune")
    daemon.stop()
    assert listener.end() == RECORDED.splitlines()


def test_images_are_told_by_their_own_id_and_labels(own_daemon: Daemon) -> None:
    """Although a name without a tag may mean several elsewhere."""
    daemon = own_daemon
    listener = Listener(daemon, '/events?filters={"type":["image"]}')
    other = archives.image("box:another", Labels={"l": "1"})
    assert daemon.load(other).status == 200
    box, another = (
        daemon.get(f"/images/{name}/json").json["Id"] for name in ("box", "box:another")
    )
    assert box != another
    daemon.post("/images/box:another/tag?repo=aaa")
    daemon.delete("/images/box")
    daemon.delete("/images/aaa")
    daemon.delete("/images/box:another")
    daemon.stop()
    told = ["image load l=1 name=ID", "image tag l=1 name=aaa:latest"]
    told += ["image untag name=ID", "image delete name=ID"]
    told += ["image untag l=1 name=ID", "image untag l=1 name=ID", "image delete name=ID"]
    assert listener.end() == told
    about = [event["Actor"]["ID"] for event in listener.heard]
    assert about == [another, another, box, box, another, another, another]


def test_a_run_that_goes_by_itself(own_daemon: Daemon) -> None:
    daemon = own_daemon
    listener = Listener(daemon, '/events?filters={"container":["brief"]}')
    daemon.run("true", name="brief", HostConfig={"AutoRemove": True})
    daemon.post("/containers/brief/wait?condition=removed")
    daemon.stop()
    told = [f"container {action} image=box name=brief" for action in ("create", "start", "destroy")]
    told.insert(2, "container die exitCode=0 image=box name=brief")
    assert listener.end() == told


@pytest.mark.peer
def test_the_stock_command_line(docker: Program, daemon: Daemon) -> None:
    began = time.time()
    docker.ok("run", "--rm", "--network", "none", "--name", "seen", "box", "true")
    form = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}"
    span = ["--since", f"{began:.9f}", "--until", f"{time.time():.9f}"]
    words = ["events", *span, "--format", form]
    told = docker.ok(*words, "--filter", "container=seen", "--filter", "event=die")
    assert told == "container die seen"


# --- over the daemon's end ------------------------------------------------------------------------


def test_a_client_that_waits_is_cut_off_and_a_new_one_learns_the_code(own_daemon: Daemon) -> None:
    daemon = own_daemon
    slow = daemon.run("sleep", "1000")
    brief = daemon.run("sleep", "1000")
    pid = daemon.state(brief)["Pid"]
    connection = UnixConnection(daemon.socket)
    connection.request("POST", f"/containers/{slow}/wait")
    answer = connection.getresponse()
    assert answer.status == 200
    daemon.kill()
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    os.kill(pid, signal.SIGKILL)
    poll(lambda: not os.path.exists(f"/proc/{pid}"), "it ends with nobody there")
    daemon.start()
    assert daemon.wait(brief) == 137
    assert daemon.state(slow)["Running"]
    assert daemon.post(f"/containers/{slow}/stop?t=0").status == 204
    assert daemon.wait(slow) == 137


def test_names_and_restarts_outlive_the_daemon(own_daemon: Daemon) -> None:
    daemon = own_daemon
    first = daemon.run("sleep", "1000", name="old")
    assert daemon.post("/containers/old/rename?name=new").status == 204
    daemon.stop()
    daemon.start()
    assert daemon.get("/containers/new/json").json["Id"] == first
    pid = daemon.state("new")["Pid"]
    assert daemon.post("/containers/new/restart?t=0").status == 204
    state = daemon.state("new")
    assert state["Running"]
    assert state["Pid"] != pid
    assert daemon.get("/containers/old/json").status == 404


@pytest.mark.peer
def test_a_client_of_the_events_ends_well_with_the_daemon(own_daemon: Daemon) -> None:
    docker = find("docker", f"unix://{own_daemon.socket}")
    with docker.popen("events") as process:
        poll(lambda: own_daemon.get("/info").json["NEventsListener"], "docker listens")
        own_daemon.stop()
        assert process.wait(10) == 0
