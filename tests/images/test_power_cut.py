"""The power goes at any moment of loads, imports, tags and removals: no image that is listed is
ever broken, what was promised is there, and nothing else is."""

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import disklog
import powercuts
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.content.store import ContentStore
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.layers.erofs import checking
from wherry.layers.tar import FILE, read_tar
from wherry.metadata import Database
from wherry.snapshots.directory import DirectorySnapshotter
from wherry.snapshots.drivers import recorded_driver
from wherry.snapshots.erofs import ErofsSnapshotter
from wherry.snapshots.native import NativeSnapshotter
from wherry.snapshots.overlay import OverlaySnapshotter
from wherry.spec.digest import Digest
from wherry.spec.platform import Platform

SOAK = bool(os.environ.get("WHERRY_SOAK"))
CUTS = 10**9 if SOAK else 120
WRECKS = 3000 if SOAK else 60
ALL = {
    "erofs": ErofsSnapshotter,
    "overlay": OverlaySnapshotter,
    "native": NativeSnapshotter,
}
# Native's layers are made as overlay's are.
DRIVERS = sorted(ALL) if SOAK else ["erofs", "overlay"]
HOST = Platform("amd64", "linux")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: layers have owners"),
    pytest.mark.timeout(3600 if SOAK else 120),
]

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from disklog import mark
from wherry.content.store import ContentStore
from wherry.images.importing import Described
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.metadata import Database
from wherry.reference import parse
from wherry.snapshots.drivers import choose
from wherry.spec.platform import Platform

root, archives, driver = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
host = Platform("amd64", "linux")

def work(verbs):
    database = Database.open(root / "wherry.db")
    content = ContentStore(root / "content")
    snapshots = choose(root, driver, opener(content, database))
    content.recover()
    snapshots.recover()
    images = ImageStore(content, snapshots, database, host)
    images.recover()
    for number, verb, subject in verbs:
        if verb == "tag":
            images.tag(*subject.split())
        elif verb == "rm":
            images.delete(subject, force=True)
        else:
            with open(archives / subject, "rb") as stream:
                if verb == "load":
                    images.load(stream)
                else:
                    images.import_image(stream, Described(host, parse("made:1")))
        mark(str(number))
        snapshots.wait_until_clean()
    database.close()

verbs = [(number, *line.split(" ", 1)) for number, line in enumerate(sys.argv[5:])]
middle = len(verbs) // 2
work(verbs[:middle])
work(verbs[middle:])
"""

# What is done, and the names that there are then.
STORY = [
    ("load old.tar", {"old:1"}),
    ("load new.tar", {"old:1", "new:1"}),
    ("tag new:1 again:1", {"old:1", "new:1", "again:1"}),
    ("load other.tar", {"old:1", "again:1", "new:1"}),
    ("rm old:1", {"again:1", "new:1"}),
    ("import layer.tar", {"again:1", "new:1", "made:1"}),
    ("rm again:1", {"new:1", "made:1"}),
    ("load old.tar", {"new:1", "made:1", "old:1"}),
    ("rm new:1", {"made:1", "old:1"}),
    ("rm made:1", {"old:1"}),
    ("load new.tar", {"old:1", "new:1"}),
]


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
            numbers = [str(number) for number in range(len(STORY))]
            kept = powercuts.after(numbers, state.moment.promises)
            before = STORY[kept - 1][1] if kept else set()
            allowed = [before] + [names for _, names in STORY[kept : kept + 1]]
            names = judged(Path(folder), self.driver)
            assert names in allowed, state.moment.promises


def judged(root: Path, driver: str) -> set[str]:
    """The names there are after recovery, all images being whole, and nothing else there."""
    with Database.open(root / "wherry.db") as database:
        content = ContentStore(root / "content")
        assert recorded_driver(root / "snapshots") in (None, driver)
        snapshots = ALL[driver](root / "snapshots" / driver, opener(content, database))
        content.recover()
        snapshots.recover()
        images = ImageStore(content, snapshots, database, HOST)
        images.recover()
        blobs: set[Digest] = set()
        layers: set[Digest] = set()
        for image in images.list():
            blobs |= {image.id, image.manifest}
            layers |= set(image.diff_ids)
        for diff_id in layers:
            see_whole(snapshots, diff_id)
        for digest in content.digests():
            content.verify(digest)
        kept = set() if snapshots.keeps_tar else layers
        assert set(content.digests()) == blobs | kept
        assert set(snapshots.layers()) == layers
        rows = database.read(lambda tx: (tx.leases(), {row.diff_id for row in tx.layers()}))
        assert rows == ([], layers)
        assert snapshots.wait_until_clean(30)
        for place in ("ingest", "trash"):
            assert not os.listdir(snapshots.root / place)
        assert not os.listdir(root / "content/ingest")
        return {name for image in images.list() for name in image.tags}


def see_whole(snapshots: DirectorySnapshotter, diff_id: Digest) -> None:
    """Everything of the layer is there, to the byte."""
    snapshots.usage(diff_id)
    with snapshots.open_tar(diff_id) as tar:
        assert Digest.of(tar.read()) == diff_id
    home = snapshots.root / "layers" / diff_id.hex
    if isinstance(snapshots, ErofsSnapshotter):
        fd = os.open(home / "layer.erofs", os.O_RDONLY)
        try:
            assert checking.check(fd).diff_id == diff_id
        finally:
            os.close(fd)
        return
    with snapshots.open_tar(diff_id) as tar:
        for entry, data in read_tar(tar):
            path = home / "fs" / os.fsdecode(entry.name)
            if entry.kind == FILE:
                assert path.read_bytes() == data.read(entry.size)
            else:
                assert os.readlink(path) == os.fsdecode(entry.link)


@pytest.fixture(scope="module", params=DRIVERS)
def story(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, archives
) -> Iterator[Story]:
    if reason := disklog.why_not():
        pytest.skip(reason)
    tmp = tmp_path_factory.mktemp("power")
    write_archives(tmp, archives)
    root = tmp / "root"
    root.mkdir()
    support = str(Path(disklog.__file__).parent)
    verbs = [verb for verb, _ in STORY]
    command = [sys.executable, "-c", PROGRAM, support, str(root), str(tmp), request.param, *verbs]
    recording = disklog.record(root, command, tmp / "log")
    # Disks are made in memory, where an fsync costs nothing.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp) as work:
        yield Story(request.param, recording, Path(work))


def write_archives(folder: Path, archives) -> None:
    base, link = archives.layer(base="x" * 5000), archives.tar([("to", "-> base")])
    more = archives.layer(more="y" * 2000, **{"deep/er": "z"})
    for name, image, form in (
        ("old", archives.image(base, names=["old:1"]), archives.docker25),
        ("new", archives.image(base, link, more, names=["new:1"]), archives.docker24),
        ("other", archives.image(base, more, names=["new:1"], comment="o"), archives.oci),
    ):
        (folder / f"{name}.tar").write_bytes(archives.tar(form(image)))
    (folder / "layer.tar").write_bytes(archives.layer(imported="i" * 3000))


def test_the_log_is_faithful(story: Story, tmp_path: Path) -> None:
    powercuts.restore(story.recording, powercuts.everything(story.recording), tmp_path)
    assert powercuts.picture(tmp_path) == powercuts.picture(story.recording.folder)


def test_losing_the_end(story: Story) -> None:
    found = list(powercuts.states(story.recording))
    for state in powercuts.sample(found, CUTS):
        story.judge(state)


def test_losing_anything_that_was_not_synced(story: Story) -> None:
    moments = powercuts.moments(story.recording)
    for moment in moments:
        story.judge(powercuts.State(moment, moment.safe))

    @settings(max_examples=WRECKS, deadline=None, derandomize=not SOAK, database=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        moment = moments[data.draw(st.integers(0, len(moments) - 1), "moment")]
        places = st.integers(0, max(0, len(moment.loose) - 1))
        lost = data.draw(st.sets(places), "lost")
        torn = data.draw(st.dictionaries(places, st.integers(-8, 8), max_size=5), "torn")
        story.judge(powercuts.wreck(story.recording, moment, lost, torn))

    check()
