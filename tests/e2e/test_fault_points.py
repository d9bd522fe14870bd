"""wherryd dies at every fault point; the next one finds the machine, and leaves it, as it was.

The engine's and the image store's own points are tried in every run, those of the rooms below with
WHERRY_SOAK=1. Every point in the source is tried here, or is in `ELSEWHERE` with the reason.
"""

import contextlib
import http.client
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import archives
import layertars
import pytest
from daemons import Daemon, poll, running

import wherry

pytestmark = pytest.mark.root
SOAK = bool(os.environ.get("WHERRY_SOAK"))

ELSEWHERE = {
    "content.recover": "is at every start, before anybody asks; tests/content has it",
    "maintenance.": "is a command's, without a daemon; tests/maintenance has it",
    "snapshots.move.": "is a migration's, without a daemon; tests/maintenance has it",
    "snapshots.switch.": "is a migration's, without a daemon; tests/maintenance has it",
    "snapshots.replace.": "is a repair's; tests/snapshots has it",
    "snapshots.restack.": "is a repair's; tests/snapshots has it",
    "snapshots.restore.": "is a migration's; tests/snapshots has it",
    "logs.rotate": "is in the shim, which does not come back; tests/logs has it",
}


def points() -> list[str]:
    found: set[str] = set()
    for path in Path(wherry.__file__).parent.rglob("*.py"):
        found.update(re.findall(r'\bfault\("([^"]+)"\)', path.read_text()))
    return sorted(found)


def chosen(*prefixes: str) -> list[str]:
    return [point for point in points() if point.startswith(prefixes)]


CONTAINERS = chosen("container.create.", "container.start.", "container.rename.")
ENDS = chosen("container.exit.", "container.remove.")
SNAPSHOTS = chosen("snapshots.remove.", "snapshots.prepare.")
IMAGES = chosen("images.")
BUILDS = chosen("build.")
DEEPER = chosen("content.commit.", "content.delete.", "metadata.", "snapshots.apply.")
DEEPER += chosen("snapshots.remove-layer.")


def test_every_point_is_tried_somewhere() -> None:
    tried = {*CONTAINERS, *ENDS, *SNAPSHOTS, *IMAGES, *BUILDS, *DEEPER}
    rest = {point for point in points() if not point.startswith(tuple(ELSEWHERE))}
    assert tried == rest
    for verb in ("create", "start", "exit", "remove"):
        assert len(chosen(f"container.{verb}.")) >= 2


def small_layer() -> bytes:
    return layertars.archive(layertars.file("file", b"some bytes" * 100))


def small_image() -> bytes:
    """Three layers of a file each: something to be half done with."""
    layers = [layertars.archive(layertars.file(f"file{i}", b"%d" % i * 1000)) for i in range(3)]
    return archives.docker_archive(["small:1"], layers)


@pytest.fixture(scope="module")
def own_daemon() -> Iterator[Daemon]:
    archive = archives.image("box:latest")
    with running() as daemon:
        assert daemon.load(archive).status == 200
        yield daemon


def die_at(daemon: Daemon, point: str, act: Callable[[], None]) -> None:
    """Let the daemon live with the point armed until `act`, or its start, has led it there."""
    daemon.kill()
    process = daemon.launch(WHERRY_FAULT=point)
    poll(lambda: process.poll() is not None or daemon.answers(), "it is up, or has died on the way")
    with contextlib.suppress(OSError, http.client.HTTPException):
        act()
    assert process.wait(30) == -9, f"{point} was not reached"
    daemon.start()


def container_life(daemon: Daemon) -> None:
    container = daemon.run("sleep", "1000", name="victim")
    daemon.post(f"/containers/{container}/rename?name=renamed")
    daemon.post(f"/containers/{container}/kill")
    daemon.wait(container)
    daemon.delete(f"/containers/{container}")
    # What is done in the background gets its chance too.
    while daemon.get("/_ping").status == 200:
        pass


def containers_are_true(daemon: Daemon) -> None:
    """What is listed is so, and can be used."""
    for container in daemon.containers():
        state = daemon.state(container["Id"])
        alive = bool(state["Pid"]) and Path(f"/proc/{state['Pid']}").exists()
        assert state["Running"] == alive
        if not alive:
            assert daemon.post(f"/containers/{container['Id']}/start").status == 204
            assert daemon.state(container["Id"])["Running"]


@pytest.mark.parametrize("point", [*CONTAINERS, *ENDS, *(SNAPSHOTS if SOAK else [])])
def test_containers(own_daemon: Daemon, point: str) -> None:
    before = own_daemon.picture()
    die_at(own_daemon, point, lambda: container_life(own_daemon))
    containers_are_true(own_daemon)
    own_daemon.clear()
    own_daemon.settled(before)


def image_life(daemon: Daemon, archive: bytes) -> None:
    daemon.load(archive)
    daemon.post("/images/small:1/tag?repo=other&tag=2")
    daemon.delete("/images/small:1")
    daemon.delete("/images/other:2")
    daemon.request("POST", "/images/create?fromSrc=-&repo=imported&tag=1", small_layer())
    while daemon.get("/_ping").status == 200:
        pass


def images_are_true(daemon: Daemon) -> None:
    """An image that is listed is whole: a container can be made of it."""
    for image in daemon.get("/images/json").json:
        for name in image["RepoTags"]:
            assert daemon.get(f"/images/{name}/json").json["Id"] == image["Id"]
        container = daemon.create("true", image=image["Id"])
        assert daemon.delete(f"/containers/{container}").status == 204


@pytest.mark.parametrize("point", [*IMAGES, *(DEEPER if SOAK else [])])
def test_images(own_daemon: Daemon, point: str) -> None:
    before = own_daemon.picture()
    archive = small_image()
    die_at(own_daemon, point, lambda: image_life(own_daemon, archive))
    images_are_true(own_daemon)
    for image in own_daemon.get("/images/json").json:
        if image["RepoTags"] != ["box:latest"]:
            assert own_daemon.delete(f"/images/{image['Id']}?force=1").status == 200
    own_daemon.settled(before)


BUILD = """FROM box:latest
WORKDIR /work
COPY data .
RUN --mount=type=cache,target=/cache echo made > made && echo kept > /cache/kept
RUN cat data made > both
"""


def build_life(daemon: Daemon) -> None:
    build(daemon)
    daemon.post("/build/prune?all=1")
    while daemon.get("/_ping").status == 200:
        pass


def build(daemon: Daemon) -> str:
    """Build the image; answers what the build has said."""
    context = layertars.archive(
        layertars.file("Dockerfile", BUILD.encode()), layertars.file("data", b"data")
    )
    answer = daemon.request(
        "POST", "/build?t=built:1", context, {"Content-Type": "application/x-tar"}
    )
    assert answer.status == 200, answer
    return answer.body.decode()


def clear_builds(daemon: Daemon) -> None:
    assert daemon.delete("/images/built:1?force=1").status == 200
    assert daemon.post("/build/prune?all=1").status == 200


@pytest.mark.parametrize("point", BUILDS)
def test_builds(own_daemon: Daemon, point: str) -> None:
    """After it the same build is right, and takes what was done before from the cache."""
    build(own_daemon)  # the first one makes the builder's own folders
    clear_builds(own_daemon)
    before = own_daemon.picture()
    die_at(own_daemon, point, lambda: build_life(own_daemon))

    assert "Successfully tagged built:1" in build(own_daemon)
    container = own_daemon.run("cat", "both", image="built:1", HostConfig={"NetworkMode": "none"})
    assert own_daemon.wait(container) == 0
    assert build(own_daemon).count("Using cache") == 4

    own_daemon.clear()
    clear_builds(own_daemon)
    own_daemon.settled(before)
