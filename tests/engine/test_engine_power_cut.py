"""The power goes at any moment of creating and removing containers: one that was answered for is
there, and each that is listed has its layers, its directory and its files."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import archives
import disklog
import layertars
import powercuts
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.content.store import ContentStore
from wherry.engine.containers import Containers
from wherry.engine.host import Host
from wherry.engine.recovery import recover
from wherry.engine.settings import Settings
from wherry.engine.stores import Stores
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.linux import cgroups
from wherry.linux.mounts import BindRoot
from wherry.metadata import Database
from wherry.shim.runtime import Runtime
from wherry.snapshots.directory import DirectorySnapshotter
from wherry.snapshots.erofs import ErofsSnapshotter
from wherry.snapshots.native import NativeSnapshotter
from wherry.snapshots.overlay import OverlaySnapshotter

SOAK = bool(os.environ.get("WHERRY_SOAK"))
CUTS = 10**9 if SOAK else 60
WRECKS = 2000 if SOAK else 30
DRIVERS = {
    "erofs": ErofsSnapshotter,
    "overlay": OverlaySnapshotter,
    "native": NativeSnapshotter,
}

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: layers have owners"),
    pytest.mark.timeout(3600 if SOAK else 120),
]

PROGRAM = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from disklog import mark
from wherry.content.store import ContentStore
from wherry.engine.containers import Containers
from wherry.engine.host import Host
from wherry.engine.model import CreateRequest
from wherry.engine.recovery import recover
from wherry.engine.settings import Settings
from wherry.engine.stores import Stores
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.linux import cgroups
from wherry.metadata import Database
from wherry.shim.runtime import Runtime
from wherry.snapshots.drivers import choose

root, archive, driver = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]

async def work():
    settings = Settings(root, root.with_name("exec"), driver)
    (root / "containers").mkdir(0o710, exist_ok=True)
    database = Database.open(root / "wherry.db")
    content = ContentStore(root / "content")
    snapshots = choose(root, driver, opener(content, database))
    images = ImageStore(content, snapshots, database)
    runtime = Runtime(settings.exec_root)
    stores = Stores(
        settings, Host.look(), database, snapshots, images, runtime, cgroups.detect()
    )
    containers = Containers(stores)
    await recover(stores, containers)
    images.recover()
    with archive.open("rb") as stream:
        images.load(stream)
    for number, verb in enumerate(sys.argv[5:]):
        verb, name = verb.split()
        if verb == "create":
            await containers.create(name, CreateRequest(image="box", cmd=["x"]), None)
        else:
            await containers.remove(name, False, False, False)
            await stores.settle()
        mark(str(number))
    snapshots.wait_until_clean()
    database.close()

asyncio.run(work())
"""

# What is done; a removal is answered for before it is on the disk, so it may be undone.
STORY = ["create one", "create two", "remove one", "create three", "remove two", "create one"]


@dataclass
class Story:
    """What was recorded, and disks made of it."""

    driver: str
    recording: disklog.Recording
    work: Path

    def judge(self, state: powercuts.State) -> None:
        """Open the disk as an engine does after the power came back."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            powercuts.restore(self.recording, state, Path(folder))
            names = asyncio.run(judged(Path(folder), self.driver))
            numbers = [str(number) for number in range(len(STORY))]
            kept = powercuts.after(numbers, state.moment.promises)
            surely: set[str] = set()
            perhaps: set[str] = set()
            for number, verb in enumerate(STORY[: kept + 1]):
                _, name = verb.split()
                perhaps.add(name)
                if verb.startswith("remove"):
                    surely.discard(name)
                elif number < kept:
                    surely.add(name)
            assert surely <= names <= perhaps, state.moment.promises


async def judged(root: Path, driver: str) -> set[str]:
    """The containers after recovery, all being whole, and nothing else there."""
    with tempfile.TemporaryDirectory() as exec_root, Database.open(root / "wherry.db") as database:
        chosen = Settings(root, Path(exec_root), driver)
        content = ContentStore(root / "content")
        snapshots = DRIVERS[driver](root / "snapshots" / driver, opener(content, database))
        images = ImageStore(content, snapshots, database)
        runtime = Runtime(chosen.exec_root)
        groups = cgroups.detect()
        stores = Stores(chosen, Host(), database, snapshots, images, runtime, groups)
        containers = Containers(stores)
        await recover(stores, containers)
        images.recover()
        documents = [container.document for container in containers.roster]
        assert sorted(one.id for one in documents) == snapshots.keys()
        for document in documents:
            images.resolve(document.image)
            for diff_id in document.diff_ids:
                assert snapshots.contains(diff_id)
            see_whole(snapshots, document.id)
            for name in ("hosts", "hostname", "resolv.conf"):
                assert (stores.folder(document.id) / name).is_file()
            assert document.hostname in (stores.folder(document.id) / "hostname").read_text()
        folders = set(os.listdir(root / "containers")) if documents else set()
        assert folders == {document.id for document in documents}
        assert snapshots.wait_until_clean(30)
        return {document.name for document in documents}


def see_whole(snapshots: DirectorySnapshotter, key: str) -> None:
    """The snapshot is as it was made: nobody has run in it."""
    mount = snapshots.mounts(key)
    if isinstance(mount, BindRoot):
        tree = Path(mount.source)
        assert (tree / "base").read_bytes() == b"x" * 5000
        assert (tree / "deep/er").read_bytes() == b"z"
        return
    assert os.listdir(mount.upper) == []
    assert Path(mount.work).is_dir()
    assert snapshots.key_usage(key).inodes == 1


@pytest.fixture(scope="module", params=sorted(DRIVERS))
def story(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    if reason := disklog.why_not():
        pytest.skip(reason)
    tmp = tmp_path_factory.mktemp("power")
    _, layer = layertars.layer(
        layertars.file("base", b"x" * 5000),
        layertars.directory("deep"),
        layertars.file("deep/er", b"z"),
    )
    archive = tmp / "box.tar"
    archive.write_bytes(archives.docker_archive(["box"], [layer]))
    root = tmp / "root"
    root.mkdir()
    support = str(Path(disklog.__file__).parent)
    command = [sys.executable, "-c", PROGRAM, support, str(root), str(archive), request.param]
    recording = disklog.record(root, [*command, *STORY], tmp / "log")
    # Disks are made in memory, where an fsync costs nothing.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp) as work:
        yield Story(request.param, recording, Path(work))


def test_the_log_is_faithful(story: Story, tmp_path: Path) -> None:
    powercuts.restore(story.recording, powercuts.everything(story.recording), tmp_path)
    assert powercuts.picture(tmp_path) == powercuts.picture(story.recording.folder)


def test_losing_the_end(story: Story) -> None:
    found = list(powercuts.states(story.recording))
    for state in powercuts.sample(found, CUTS):
        story.judge(state)


def test_losing_all_that_was_not_synced(story: Story) -> None:
    for moment in powercuts.moments(story.recording):
        story.judge(powercuts.State(moment, moment.safe))


def test_losing_some_of_it(story: Story) -> None:
    moments = powercuts.moments(story.recording)

    @settings(max_examples=WRECKS, deadline=None, derandomize=not SOAK, database=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        moment = moments[data.draw(st.integers(0, len(moments) - 1), "moment")]
        places = st.integers(0, max(0, len(moment.loose) - 1))
        lost = data.draw(st.sets(places), "lost")
        story.judge(powercuts.wreck(story.recording, moment, lost, {}))

    check()
