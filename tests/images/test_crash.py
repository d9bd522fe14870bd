"""Killed at each fault point of load, import, tag and rm: garbage at worst, no broken image."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wherry
from wherry.content.store import ContentStore
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.metadata import Database
from wherry.snapshots.drivers import choose
from wherry.spec.platform import Platform

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: layers have owners"),
]

DRIVER = """
import json, os, sys
from pathlib import Path
from wherry import faults
from wherry.content.store import ContentStore
from wherry.images.importing import Described
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.metadata import Database
from wherry.reference import parse
from wherry.snapshots.drivers import choose
from wherry.spec import platform
from wherry.spec.platform import Platform

def work(root, verb, archive):
    database = Database.open(root / "wherry.db")
    content = ContentStore(root / "content")
    snapshots = choose(root, "native", opener(content, database))
    images = ImageStore(content, snapshots, database, Platform("amd64", "linux"))
    if verb == "load":
        with open(archive, "rb") as stream:
            images.load(stream)
    elif verb == "import":
        with open(archive, "rb") as stream:
            images.import_image(stream, Described(platform.host(), parse("new:1")))
    elif verb == "tag":
        images.tag("new:1", "again:1")
    else:
        images.delete("new:1", force=True)
    database.close()

# A killed process loses nothing that the kernel has; only a power cut would.
os.fsync = lambda fd: None

# One process imports, and a child of it works and dies, over and over.
for line in sys.stdin:
    root, point, verb, archive = json.loads(line)
    pid = os.fork()
    if pid == 0:
        faults._armed = point
        work(Path(root), verb, archive)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""

SOURCE = Path(wherry.__file__).parent


def points(*rooms: str) -> list[str]:
    text = "".join(path.read_text() for room in rooms for path in (SOURCE / room).rglob("*.py"))
    return sorted(set(re.findall(r'\bfault\("([\w.-]+)"\)', text)))


class Driver:
    """Does one thing to a data root in a process that is killed if it reaches a fault point."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, root: Path, point: str, verb: str, archive: Path) -> bool:
        """Whether it was killed."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps([str(root), point, verb, str(archive)]) + "\n")
        stdin.flush()
        code = int(stdout.readline())
        assert code in (0, -signal.SIGKILL)
        return code != 0


@pytest.fixture
def driver() -> Iterator[Driver]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", DRIVER], text=True, **pipes) as process:
        yield Driver(process)


def judged(root: Path) -> list[str]:
    """The names there are after recovery, all images being whole, and nothing else there."""
    with Database.open(root / "wherry.db", create=False) as database:
        content = ContentStore(root / "content")
        snapshots = choose(root, "native", opener(content, database))
        content.recover()
        snapshots.recover()
        images = ImageStore(content, snapshots, database, Platform("amd64", "linux"))
        images.recover()
        held: set[str] = set()
        for image in images.list():
            content.verify(image.manifest)
            held |= {image.id, image.manifest, *image.diff_ids}
            for diff_id in image.diff_ids:
                content.verify(diff_id)
                snapshots.open_tar(diff_id).close()
        assert set(content.digests()) == held
        layers = snapshots.layers()
        assert set(layers) == {each for image in images.list() for each in image.diff_ids}
        assert database.read(lambda tx: tx.leases()) == []
        assert {row.diff_id for row in database.read(lambda tx: tx.layers())} == set(layers)
        return sorted(name for image in images.list() for name in image.tags)


@pytest.mark.parametrize(
    ("verb", "before", "after"),
    [
        ("load", ["old:1"], ["new:1", "old:1"]),
        ("import", ["old:1"], ["new:1", "old:1"]),
        ("tag", ["new:1", "old:1"], ["again:1", "new:1", "old:1"]),
        ("rm", ["new:1", "old:1"], ["old:1"]),
    ],
)
def test_a_crash_leaves_whole_images(
    tmp_path: Path, archives, driver: Driver, verb: str, before: list[str], after: list[str]
) -> None:
    base = archives.layer(base="x")
    start = tmp_path / "start"
    start.mkdir()
    for name, layers in (("old", [base]), ("new", [base, archives.layer(more="y")])):
        archive = tmp_path / f"{name}.tar"
        archive.write_bytes(archives.tar(archives.docker25(
            archives.image(*layers, names=[f"{name}:1"]))))  # fmt: skip
        if f"{name}:1" in before:
            driver.run(start, "", "load", archive)
    if verb == "import":
        archive.write_bytes(archives.layer(imported="z"))
    reached = set()
    for number, point in enumerate(points("images", "metadata", "content")):
        root = tmp_path / str(number)
        shutil.copytree(start, root)
        if not driver.run(root, point, verb, archive):
            continue
        reached.add(point)
        names = judged(root)
        assert names in (before, after), point
        if names == before:
            assert not driver.run(root, "", verb, archive)
            assert judged(root) == after, point
    assert f"images.{'free' if verb == 'rm' else verb}" in {
        point.rpartition(".")[0] for point in reached
    }
    assert "metadata.write.before-commit" in reached
