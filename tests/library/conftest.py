"""Engines of the test's own, held to leaving nothing behind; and the same of a daemon."""

import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import archives
import leaks
import pytest
from daemons import Daemon, running

import wherry


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with the image `box`."""
    path = tmp_path_factory.mktemp("archives") / "box.tar"
    path.write_bytes(archives.image("box:latest"))
    return path


class Place:
    """A root, a cgroup, and an engine with both as often as one is wanted."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.exec_root = folder / "exec"
        self.cgroup = leaks.cgroup_name("test")

    def engine(self, **options: object) -> wherry.Engine:
        return wherry.Engine(
            self.root, exec_root=self.exec_root, cgroup_parent=self.cgroup, **options
        )

    def left(self) -> dict[str, object]:
        """What is there beside the root's own files, once what is just ending has ended."""
        deadline = time.monotonic() + 10
        while (found := self._look()) != self.NOTHING and time.monotonic() < deadline:
            time.sleep(0.01)
        return found

    def _look(self) -> dict[str, object]:
        return {
            "cgroups": leaks.cgroups(self.cgroup),
            "mounts": leaks.mounts(str(self.root.parent)),
            "exec root": self.exec_root.exists(),
            "processes": leaks.mentioning(self.cgroup),
        }

    NOTHING: dict[str, object] = {  # noqa: RUF012
        "cgroups": [], "mounts": [], "exec root": False, "processes": set()
    }  # fmt: skip


def make_place(folder: Path) -> Iterator[Place]:
    place = Place(folder)
    try:
        yield place
    finally:
        leaks.clear_cgroups(place.cgroup)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from make_place(tmp_path)


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Place]:
    folder = tmp_path / "another"
    folder.mkdir()
    yield from make_place(folder)


@pytest.fixture
def nothing_left(place: Place) -> Iterator[None]:
    """Descriptors, threads, children, groups and mounts are as before."""
    threads, descriptors = set(threading.enumerate()), leaks.descriptors()
    before = children()
    yield
    assert place.left() == Place.NOTHING
    assert set(threading.enumerate()) == threads
    assert leaks.descriptors() == descriptors
    assert children() == before


def children() -> set[str]:
    """Of this process, of whichever thread."""
    tasks = Path("/proc/self/task").iterdir()
    return {pid for task in tasks for pid in (task / "children").read_text().split()}


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    if os.geteuid() != 0:
        pytest.skip("needs root and the real kernel")
    with running() as daemon:
        yield daemon


@pytest.fixture(params=["own", "daemon"])
async def engine(
    request: pytest.FixtureRequest, place: Place, box: Path
) -> AsyncIterator[wherry.AnyEngine]:
    """An engine with the image `box`: of this process, then a daemon's."""
    if request.param == "own":
        async with place.engine() as engine:
            await engine.images.load(box)
            yield engine
        return
    daemon: Daemon = request.getfixturevalue("daemon")
    async with wherry.connect(f"unix://{daemon.socket}") as engine:
        await engine.images.load(box)
        yield engine
    daemon.clear()


@pytest.fixture
def opened(place: Place, box: Path) -> Callable[..., "Opened"]:
    return lambda **options: Opened(place.engine(**options), box)


class Opened:
    """`async with` of an engine that has the image `box`."""

    def __init__(self, engine: wherry.Engine, box: Path) -> None:
        self._engine = engine
        self._box = box

    async def __aenter__(self) -> wherry.Engine:
        await self._engine.__aenter__()
        if not await self._engine.images.exists("box"):
            await self._engine.images.load(self._box)
        return self._engine

    async def __aexit__(self, *raised: object) -> None:
        await self._engine.__aexit__(*raised)
