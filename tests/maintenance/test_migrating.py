"""A data root goes from each driver to each other, killed wherever that hurts."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import permutations
from pathlib import Path

import dying
import pytest
from dataroots import CONTAINERS, DRIVERS, NAMES, copy, opened, pictures
from dying import Worker

import wherry
from wherry.errdefs import EngineError, Kind
from wherry.maintenance import migrating
from wherry.maintenance.checking import check
from wherry.maintenance.migrating import Migration
from wherry.maintenance.root import DataRoot
from wherry.snapshots import drivers

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: layers have owners"),
]

SOAK = bool(os.environ.get("WHERRY_SOAK"))
Pristine = Callable[[str], Path]
PAIRS = list(permutations(DRIVERS, 2))
# Each way of moving a layer and a container.
KILLED = [("erofs", "overlay"), ("native", "erofs"), ("erofs", "native")]
# Fault points on a migration's way that no other test kills at.
OWN = ("maintenance.", "snapshots.move.", "snapshots.switch.", "snapshots.restore.")
KEYS = sorted(f"{number}" * 64 for number in CONTAINERS.values())

SOURCE = Path(wherry.__file__).parent
MUST_BE_REACHED = {
    point
    for path in (SOURCE / "maintenance/migrating.py", SOURCE / "snapshots/drivers.py")
    for point in re.findall(r'\bfault\("([\w.-]+)"\)', path.read_text())
}

WORK = """
from wherry.maintenance.migrating import Migration
from wherry.maintenance.root import DataRoot

def work(root, target):
    with closing(DataRoot.open(root)) as stores:
        Migration(stores, target).run(lambda done, total: None)
"""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with dying.worker(WORK) as made:
        yield made


def judge(root: Path, target: str, before: dict, load: bool = True) -> None:
    """All is there, whole, with the driver, and nothing of the other one. To `load` the same images
    changes nothing."""
    with closing(DataRoot.open(root)) as stores:
        assert [problem.what for problem in check(stores).findings.problems] == []
    assert pictures(root) == before
    assert sorted(path.name for path in (root / "snapshots").iterdir()) == ["driver", target]
    with opened(root) as stores:
        assert stores.snapshots.name == target
        assert stores.names() == NAMES
        assert stores.snapshots.keys() == KEYS
        if not load:
            return
        kept = {row.diff_id: row.blob for row in stores.database.read(lambda tx: tx.layers())}
        blobs = set(stores.content.digests())
        archive = b"".join(stores.images.save(NAMES))
        stores.load_all()
        assert set(stores.content.digests()) == blobs
        after = {row.diff_id: row.blob for row in stores.database.read(lambda tx: tx.layers())}
        assert after == kept
        assert b"".join(stores.images.save(NAMES)) == archive


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_moved(
    pristine: Pristine, tmp_path: Path, no_waiting: None, source: str, target: str
) -> None:
    root = copy(pristine(source), tmp_path / "root")
    before = pictures(root)
    seen: list[int] = []
    with closing(DataRoot.open(root)) as stores:
        said = Migration(stores, target).run(lambda done, total: seen.append(done))
    assert said == f"moved {root} from {source} to {target}: 3 layers, 2 containers"
    assert seen == sorted(seen)
    judge(root, target, before)
    with closing(DataRoot.open(root)) as stores:
        assert "already" in Migration(stores, target).run(lambda done, total: None)
        # and back, to where the layers' tars are as they were
        Migration(stores, source).run(lambda done, total: None)
    judge(root, source, before)


@pytest.mark.parametrize(("source", "target"), PAIRS if SOAK else KILLED)
def test_killed_at_each_step(
    pristine: Pristine,
    tmp_path: Path,
    no_waiting: None,
    worker: Worker,
    source: str,
    target: str,
) -> None:
    before = pictures(pristine(source))
    root = copy(pristine(source), tmp_path / "root")
    killed, names = worker.run(root, target)
    assert not killed
    containers = "restore" if "native" in (source, target) else "migrate.before-container"
    assert any(containers in name for name in names)
    if containers != "restore":
        assert set(names) >= MUST_BE_REACHED
    turns = [
        turn
        for turn, name in enumerate(names, 1)
        if SOAK or (name.startswith(OWN) and name not in names[: turn - 1])
    ]
    for turn in turns:
        root = copy(pristine(source), tmp_path / "root")
        killed, reached = worker.run(root, target, turn)
        assert killed
        what = reached[-1]
        move = drivers.move_under_way(root)
        if move is None:
            with opened(root) as stores:  # a daemon may come between
                assert stores.snapshots.name in (source, target), what
                assert stores.names() == NAMES, what
                assert stores.snapshots.keys() == KEYS, what
        else:
            with pytest.raises(EngineError, match="migrate-storage") as failure, opened(root):
                pass
            assert failure.value.kind is Kind.CONFLICT
        killed, _ = worker.run(root, target)
        assert not killed
        judge(root, target, before, load=SOAK)


def test_killed_often(pristine: Pristine, tmp_path: Path, no_waiting: None, worker: Worker) -> None:
    before = pictures(pristine("native"))
    root = copy(pristine("native"), tmp_path / "root")
    turn, killed = 1, True
    while killed:
        turn += 3
        killed, _ = worker.run(root, "overlay", turn)
        assert turn < 500
    judge(root, "overlay", before)


def test_a_container_that_ran_between_two_attempts(
    pristine: Pristine, tmp_path: Path, no_waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt fails after it has copied a container; that goes on with the old driver."""
    root = copy(pristine("native"), tmp_path / "root")
    restored = []
    monkeypatch.setattr(
        migrating.DirectorySnapshotter, "restore", failing_second_time(restored), raising=True
    )
    with closing(DataRoot.open(root)) as stores, pytest.raises(EngineError, match="stays with"):
        Migration(stores, "erofs").run(lambda done, total: None)
    monkeypatch.undo()
    assert len(restored) == 2
    assert drivers.move_under_way(root) is None
    for key in KEYS:
        (root / "snapshots/native/active" / key / "fs/later").write_bytes(b"later")
    before = pictures(root)
    with closing(DataRoot.open(root)) as stores:
        Migration(stores, "erofs").run(lambda done, total: None)
    judge(root, "erofs", before)


def failing_second_time(restored: list[str]):
    real = migrating.DirectorySnapshotter.restore

    def restore(self, key, stack, changes):
        restored.append(key)
        if len(restored) == 2:
            raise EngineError(Kind.RESOURCE_EXHAUSTED, "the disk is full")
        real(self, key, stack, changes)

    return restore


def test_a_root_that_was_copied(pristine: Pristine, tmp_path: Path, no_waiting: None) -> None:
    """All its files are newer than they were, in whatever order."""
    root = copy(pristine("native"), tmp_path / "root")
    before = pictures(root)
    for stack in root.glob("snapshots/native/active/*/stack"):
        stack.chmod(0o640)  # later than all that the container has changed
    with closing(DataRoot.open(root)) as stores:
        Migration(stores, "erofs").run(lambda done, total: None)
    judge(root, "erofs", before)


def test_a_disk_without_room(
    pristine: Pristine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy(pristine("erofs"), tmp_path / "root")
    monkeypatch.setattr(migrating, "_KEPT_FREE", 1 << 60)
    with closing(DataRoot.open(root)) as stores, pytest.raises(EngineError) as failure:
        Migration(stores, "native").run(lambda done, total: None)
    assert failure.value.kind is Kind.RESOURCE_EXHAUSTED
    assert "MB" in failure.value.message
    with opened(root) as stores:
        assert stores.snapshots.name == "erofs"


def test_a_damaged_layer_is_not_moved(pristine: Pristine, tmp_path: Path) -> None:
    root = copy(pristine("erofs"), tmp_path / "root")
    (layer, *_) = sorted((root / "snapshots/erofs/layers").glob("*/layer.erofs"))
    with layer.open("r+b") as stream:
        stream.seek(4200)
        stream.write(b"!")
    with closing(DataRoot.open(root)) as stores, pytest.raises(EngineError) as failure:
        Migration(stores, "overlay").run(lambda done, total: None)
    assert "check --repair" in failure.value.message
    with opened(root) as stores:
        assert stores.snapshots.name == "erofs"
        assert stores.names() == NAMES


def test_a_driver_that_does_not_work(
    pristine: Pristine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy(pristine("native"), tmp_path / "root")
    monkeypatch.setattr(drivers, "why_not", lambda root, name: "no such module")
    with closing(DataRoot.open(root)) as stores, pytest.raises(EngineError, match="no such module"):
        Migration(stores, "overlay").run(lambda done, total: None)


def test_an_empty_data_root(tmp_path: Path) -> None:
    with opened(tmp_path, "native"):
        pass
    with closing(DataRoot.open(tmp_path)) as stores:
        said = Migration(stores, "erofs").run(lambda done, total: None)
    assert "--storage-driver erofs" in said


def test_a_second_move_while_one_is_under_way(pristine: Pristine, tmp_path: Path) -> None:
    root = copy(pristine("native"), tmp_path / "root")
    drivers.begin_move(root, drivers.Move("native", "overlay"))
    with closing(DataRoot.open(root)) as stores, pytest.raises(EngineError, match="finish it"):
        Migration(stores, "erofs")
    (root / "snapshots/move").write_text("nonsense")
    with pytest.raises(EngineError) as failure:
        drivers.move_under_way(root)
    assert failure.value.kind is Kind.DATA_LOSS


def test_the_daemon_names_the_command(pristine: Pristine, tmp_path: Path) -> None:
    root = copy(pristine("native"), tmp_path / "root")
    with (
        pytest.raises(EngineError, match="system migrate-storage erofs") as failure,
        opened(root, "erofs"),
    ):
        pass
    assert failure.value.kind is Kind.CONFLICT


def test_what_an_abandoned_attempt_has_left(
    pristine: Pristine, tmp_path: Path, worker: Worker
) -> None:
    from wherry.maintenance.mending import mend

    root = copy(pristine("native"), tmp_path / "root")
    _, names = worker.run(copy(root, tmp_path / "other"), "erofs")
    turn = names.index("snapshots.move.before-begin") + 1
    assert worker.run(root, "erofs", turn)[0]
    with closing(DataRoot.open(root)) as stores:
        checked = check(stores)
        (problem,) = checked.findings.problems
        assert problem.object == str(root / "snapshots/erofs")
        mend(stores, checked)
    with closing(DataRoot.open(root)) as stores:
        assert check(stores).findings.problems == []
