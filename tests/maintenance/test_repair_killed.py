"""A repair that is killed at any of its steps: the next one comes to the same end."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import dying
import pytest
from dataroots import CONTAINERS, DRIVERS, NAMES, copy, opened, pictures
from dying import Worker

import wherry
from wherry.maintenance.checking import check
from wherry.maintenance.findings import Findings
from wherry.maintenance.root import DataRoot

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: layers have owners"),
    pytest.mark.usefixtures("no_waiting"),
]

SOAK = bool(os.environ.get("WHERRY_SOAK"))
Pristine = Callable[[str], Path]
KEYS = sorted(f"{number}" * 64 for number in CONTAINERS.values())

WORK = """
from wherry.maintenance.checking import check
from wherry.maintenance.mending import mend
from wherry.maintenance.root import DataRoot

def work(root, argument):
    with closing(DataRoot.open(root)) as stores:
        checked = check(stores)
        if checked.findings.problems:
            mend(stores, checked)
"""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with dying.worker(WORK) as made:
        yield made


def look(root: Path) -> Findings:
    with closing(DataRoot.open(root)) as stores:
        return check(stores).findings


def told(root: Path) -> list[str]:
    return [f"{problem.object}: {problem.what}" for problem in look(root).problems]


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset, os.SEEK_SET if offset >= 0 else os.SEEK_END)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 0x41]))


def layer_files(root: Path) -> list[Path]:
    places = root.glob("snapshots/*/layers/*/*")
    return sorted(path for path in places if path.is_file() and path.stat().st_size)


# --- what may have happened to a data root ------------------------------------------------------


def layers_that_can_be_made_anew(root: Path, driver: str) -> None:
    for path in layer_files(root):
        flip(path, -1)


def a_layer_that_can_not(root: Path, driver: str) -> None:
    with opened(root) as stores:
        diff_id = stores.images.resolve("two:1").diff_ids[1]
    if driver == "erofs":
        flip(root / "snapshots/erofs/layers" / diff_id.hex / "layer.erofs", 4096)
    else:
        flip(root / "content/blobs/sha256" / diff_id.hex, 0)


def every_blob(root: Path, driver: str) -> None:
    for path in sorted((root / "content/blobs/sha256").iterdir()):
        flip(path, 0)


def stacks_and_the_driver(root: Path, driver: str) -> None:
    for path in root.glob("snapshots/*/active/*/stack"):
        flip(path, 3)
    flip(root / "snapshots/driver", 1)


def a_snapshot(root: Path, driver: str) -> None:
    (root / f"snapshots/{driver}/active" / KEYS[0]).rename(root / "elsewhere")


def the_database(root: Path, driver: str) -> None:
    flip(root / "wherry.db", 3)


DAMAGE = [
    layers_that_can_be_made_anew,
    a_layer_that_can_not,
    every_blob,
    stacks_and_the_driver,
    a_snapshot,
    the_database,
]


def state(root: Path) -> list[object]:
    """What a repair is to come to: images, containers and what they see, what is kept aside."""
    with opened(root) as stores:
        images = {image.id: image.diff_ids for image in stores.images.list()}
        names, keys = stores.names(), stores.snapshots.keys()
    kept = {re.sub(r"-[0-9]+$", "", path.name) for path in (root / "set-aside").glob("*")}
    return [images, names, keys, kept]


@pytest.mark.parametrize("driver", DRIVERS if SOAK else ["erofs", "overlay"])
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_killed_at_each_step(
    pristine: Pristine,
    tmp_path: Path,
    worker: Worker,
    driver: str,
    damage: Callable[[Path, str], None],
) -> None:
    before = pictures(pristine(driver))
    damaged = copy(pristine(driver), tmp_path / "damaged")
    damage(damaged, driver)
    assert told(damaged)
    whole = copy(damaged, tmp_path / "whole")
    killed, names = worker.run(whole)
    assert not killed
    assert names, "a repair has fault points"
    wanted, left = state(whole), told(whole)
    # What a container stands on may come back with its image, and only so.
    assert all("stands on the layer" in problem for problem in left)
    turns = [turn for turn, name in enumerate(names, 1) if SOAK or name not in names[: turn - 1]]
    for turn in turns:
        root = copy(damaged, tmp_path / "root")
        killed, reached = worker.run(root, turn=turn)
        assert killed, names[turn - 1]
        killed, _ = worker.run(root)
        assert not killed
        assert told(root) == left, reached[-1]
        assert state(root) == wanted, reached[-1]
        with opened(root) as stores:
            stores.load_all()
            assert stores.names() == NAMES
        assert told(root) == []
        if damage is not a_snapshot:
            assert pictures(root) == before, reached[-1]


def test_every_fault_point_is_come_to(pristine: Pristine, tmp_path: Path, worker: Worker) -> None:
    source = Path(wherry.__file__).parent / "maintenance"
    points = {
        point
        for name in ("mending.py", "rebuilding.py", "root.py")
        for point in re.findall(r'\bfault\("([\w.-]+)"\)', (source / name).read_text())
    }
    reached: set[str] = set()
    for damage in DAMAGE:
        root = copy(pristine("erofs"), tmp_path / "root")
        damage(root, "erofs")
        reached.update(worker.run(root)[1])
    assert points <= reached
