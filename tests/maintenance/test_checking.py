"""Whatever byte is changed: it is found, named, and mended or set aside."""

import contextlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from dataroots import CONTAINERS, DRIVERS, NAMES, copy, opened, pictures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.maintenance.checking import Checked, check
from wherry.maintenance.findings import Findings, Outcome
from wherry.maintenance.mending import mend
from wherry.maintenance.root import DataRoot

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: layers have owners"),
    pytest.mark.usefixtures("no_waiting"),
]

SOAK = bool(os.environ.get("WHERRY_SOAK"))
Pristine = Callable[[str], Path]


def look(root: Path, repair: bool = False) -> Findings:
    with closing(DataRoot.open(root)) as stores:
        checked: Checked = check(stores)
        if repair and checked.findings.problems:
            mend(stores, checked)
        return checked.findings


def told(findings: Findings) -> str:
    return "\n".join(f"{p.subject} {p.object}: {p.what} ({p.remedy})" for p in findings.problems)


def flip(path: Path, offset: int, mask: int = 0x41) -> None:
    """Change a byte, and no time: as a disk does it."""
    status = path.stat()
    with path.open("r+b") as stream:
        stream.seek(offset)
        (byte,) = stream.read(1)
        stream.seek(offset)
        stream.write(bytes([byte ^ mask]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def verifiable(root: Path) -> list[Path]:
    """Files of every kind that a check answers for, a hardlinked one once."""
    places = ["content/blobs", "snapshots/driver"]
    for driver in DRIVERS:
        places += [f"snapshots/{driver}/layers"]
        places += [
            str(p.relative_to(root)) for p in root.glob(f"snapshots/{driver}/active/*/stack")
        ]
    found: dict[int, Path] = {}
    for place in places:
        top = root / place
        paths = [Path(f, n) for f, _, names in os.walk(top) for n in names] or [top]
        for path in sorted(paths):
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and status.st_size:
                    found.setdefault(status.st_ino, path.relative_to(root))
    return sorted(found.values())


def name_of(path: Path) -> str:
    """What a message must have in it about damage to this file."""
    parts = path.parts
    if parts[0] == "content":
        return f"sha256:{parts[-1]}"
    if "layers" in parts:
        return f"sha256:{parts[parts.index('layers') + 1]}"
    return parts[-2][:12] if parts[-1] == "stack" else str(path)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_whole_data_root(pristine: Pristine, driver: str) -> None:
    findings = look(pristine(driver))
    assert told(findings) == ""
    assert findings.nothing_is_lost
    counted = findings.checked
    assert (counted["images"], counted["layers"], counted["containers"]) == (3, 3, 2)
    assert counted["bytes"] > 20_000


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_changed_byte_anywhere(pristine: Pristine, tmp_path: Path, driver: str) -> None:
    files = verifiable(pristine(driver))
    kinds = {path.name if "content" not in path.parts else "blob" for path in files}
    assert {"blob", "driver", "stack"} < kinds

    @settings(
        max_examples=1000 if SOAK else 12, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from(files), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
    def damaged(path: Path, where: float, mask: int) -> None:
        root = copy(pristine(driver), tmp_path / "root")
        flip(root / path, int((root / path).stat().st_size * where), mask)
        found = look(root)
        assert name_of(path) in told(found)
        assert not found.nothing_is_lost
        assert told(look(root)) == told(found), "a check changes nothing"
        judge_repair(root)

    damaged()


def judge_repair(root: Path) -> None:
    """After it all images that are listed are whole; after a load all are, and all is well."""
    mended = look(root, repair=True)
    gone = {name for image in mended.removed for name in image.names}
    assert gone or mended.nothing_is_lost
    after = look(root)
    # What a container stands on comes back with its image.
    assert all("stands on the layer" in problem.what for problem in after.problems), told(after)
    with opened(root) as stores:
        assert set(stores.names()) == set(NAMES) - gone
        stores.load_all()
        assert stores.names() == NAMES
        assert stores.snapshots.keys() == sorted(f"{n}" * 64 for n in CONTAINERS.values())
    assert told(look(root)) == ""


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_is_made_anew(pristine: Pristine, tmp_path: Path, driver: str) -> None:
    """Every layer at once; the containers on them see what they saw."""
    root = copy(pristine(driver), tmp_path / "root")
    before = pictures(root)
    layers = [path for path in verifiable(root) if "layers" in path.parts]
    for path in layers:
        flip(root / path, (root / path).stat().st_size - 1)
    findings = look(root, repair=True)
    assert len(findings.problems) >= 3
    assert all(problem.outcome is Outcome.MENDED for problem in findings.problems)
    assert findings.removed == []
    assert not (root / "set-aside").exists()
    assert told(look(root)) == ""
    assert pictures(root) == before


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_can_not_be_made_anew(pristine: Pristine, tmp_path: Path, driver: str) -> None:
    """The tar of the topmost layer of `two`, wherever it is kept."""
    root = copy(pristine(driver), tmp_path / "root")
    with opened(root) as stores:
        diff_id = stores.images.resolve("two:1").diff_ids[1]
    if driver == "erofs":
        damaged = root / "snapshots/erofs/layers" / diff_id.hex / "layer.erofs"
    else:
        damaged = root / "content/blobs/sha256" / diff_id.hex
    flip(damaged, 4096 if driver == "erofs" else 0)
    bytes_then = damaged.read_bytes()
    said = told(look(root))
    assert "two:1" in said
    assert "load or pull" in said
    findings = look(root, repair=True)
    assert [image.names for image in findings.removed] == [("two:1",)]
    assert not findings.nothing_is_lost
    (aside,) = (root / "set-aside").iterdir()
    kept = aside / "layer.erofs" if aside.is_dir() else aside
    assert kept.read_bytes() == bytes_then
    with opened(root) as stores:
        assert "two:1" not in stores.names()
        stores.load_all()
    assert told(look(root)) == ""


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_is_missing(pristine: Pristine, tmp_path: Path, driver: str) -> None:
    for path in verifiable(pristine(driver)):
        if path.name in ("driver", "stack") or "fs" in path.parts:
            continue
        root = copy(pristine(driver), tmp_path / "root")
        (root / path).unlink()
        assert name_of(path) in told(look(root))
    judge_repair(root)


def test_a_layer_out_of_a_compressed_blob(pristine: Pristine, tmp_path: Path) -> None:
    root = copy(pristine("erofs"), tmp_path / "root")
    with opened(root) as stores:
        diff_id = stores.images.resolve("zip:1").diff_ids[1]
    flip(root / "snapshots/erofs/layers" / diff_id.hex / "layer.erofs", 4500)
    found = look(root, repair=True)
    (problem,) = found.problems
    assert "from the blob" in problem.remedy
    assert problem.outcome is Outcome.MENDED
    assert told(look(root)) == ""


def test_containers_that_lost_a_part(pristine: Pristine, tmp_path: Path) -> None:
    root = copy(pristine("overlay"), tmp_path / "root")
    web, idle = (f"{number}" * 64 for number in CONTAINERS.values())
    (root / "snapshots/overlay/active" / web).rename(tmp_path / "web")
    with closing(sqlite3.connect(root / "wherry.db")) as connection, connection:
        connection.execute("UPDATE containers SET document = ? WHERE id = ?", (b'{"\xff', idle))
    said = told(look(root))
    assert "its snapshot, with all that it has written, is missing" in said
    assert f"{idle[:12]} (idle)" in said
    look(root, repair=True)
    assert told(look(root)) == ""
    kept = {path.name.split(".")[0]: path for path in (root / "set-aside").iterdir()}
    assert kept[f"container-{idle}"].read_bytes() == b'{"\xff'
    assert b'"web"' in kept[f"container-{web}"].read_bytes()


def test_a_snapshot_that_the_daemon_makes_anew(pristine: Pristine, tmp_path: Path) -> None:
    """A power cut may take it as long as nothing ran in it."""
    root = copy(pristine("overlay"), tmp_path / "root")
    idle = root / "snapshots/overlay/active" / (f"{CONTAINERS['idle']}" * 64)
    (idle / "stack").unlink()
    assert told(look(root)) == ""
    shutil.rmtree(idle)
    assert told(look(root)) == ""


# --- the database -------------------------------------------------------------------------------


def test_a_record_that_names_other_layers(pristine: Pristine, tmp_path: Path) -> None:
    """A snapshot is not made to stand on what its container's damaged record says."""
    root = copy(pristine("erofs"), tmp_path / "root")
    web = "1" * 64
    with closing(sqlite3.connect(root / "wherry.db")) as connection, connection:
        (document,) = connection.execute("SELECT document FROM containers WHERE id = ?", (web,))
        layer = document[0].index(b'"layers":["sha256:') + 20
        changed = bytearray(document[0])
        changed[layer] = ord("0") if changed[layer] != ord("0") else ord("1")
        connection.execute("UPDATE containers SET document = ? WHERE id = ?", (bytes(changed), web))
    stack = root / "snapshots/erofs/active" / web / "stack"
    before = stack.read_bytes()
    (problem,) = look(root, repair=True).problems
    assert "layers that nobody knows" in problem.what
    assert stack.read_bytes() == before
    assert told(look(root)) == ""


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("damage", ["gone", "no database", "header", "a table"])
def test_a_database_made_anew(pristine: Pristine, tmp_path: Path, driver: str, damage: str) -> None:
    root = copy(pristine(driver), tmp_path / "root")
    path = root / "wherry.db"
    if damage == "gone":
        path.unlink()
    elif damage == "no database":
        path.write_bytes(b"x" * 8192)
    elif damage == "header":
        flip(path, 3)
    else:
        flip(path, page_of(path, "image_layers"), 0xFF)
    assert "wherry.db" in told(look(root))
    findings = look(root, repair=True)
    assert [problem.subject for problem in findings.problems] == ["database"]
    assert told(look(root)) == ""
    with opened(root) as stores:
        assert len(stores.images.list()) == 3
        containers = stores.database.read(lambda tx: [one.name for one in tx.containers()])
        if damage == "a table":  # the others can be read
            assert stores.names() == NAMES
            assert containers == list(CONTAINERS)
        stores.load_all()
        assert stores.names() == NAMES
    if damage != "gone":
        assert any(path.name.startswith("wherry.db") for path in (root / "set-aside").iterdir())


def page_of(path: Path, table: str) -> int:
    """Where the root page of a table begins."""
    with closing(sqlite3.connect(path)) as connection:
        (number,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    return (number - 1) * size


def test_a_damaged_database_never_ends_in_a_traceback(pristine: Pristine, tmp_path: Path) -> None:
    size = (pristine("erofs") / "wherry.db").stat().st_size

    @settings(
        max_examples=2000 if SOAK else 25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.integers(0, size - 1), st.integers(1, 255))
    def damaged(offset: int, mask: int) -> None:
        root = copy(pristine("erofs"), tmp_path / "root")
        flip(root / "wherry.db", offset, mask)
        look(root, repair=True)
        after = look(root)
        assert not {p.subject for p in after.problems} & {"database", "layer", "blob"}, told(after)

    damaged()
