"""A process killed at each fault point: what stays is whole, and what is not whole goes."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from layertars import file, layer

import wherry.snapshots

pytestmark = pytest.mark.root

SOURCES = Path(wherry.snapshots.__file__).parent
POINTS = sorted(
    {
        point
        for file in SOURCES.glob("*.py")
        for point in re.findall(r'fault\("(.+?)"\)', file.read_text())
    }
)
# Of a move between drivers: tests/maintenance/test_migrating.py kills there.
ELSEWHERE = ("snapshots.move.", "snapshots.switch.")
HERE = [point for point in POINTS if not point.startswith(ELSEWHERE)]
SCRIPT = """
import io, sys
from pathlib import Path
from wherry.snapshots.{driver} import {kind} as Driver
from wherry.spec.digest import Digest

snapshotter = Driver(Path(sys.argv[1]), lambda _: io.BytesIO())
tar = Path(sys.argv[2]).read_bytes()
diff_id = Digest.of(tar)
snapshotter.apply(diff_id, io.BytesIO(tar))
snapshotter.prepare("key", [diff_id])
snapshotter.restack("key", [diff_id])
snapshotter.restore("copy", [diff_id], snapshotter.changes("key"))
snapshotter.remove("copy")
snapshotter.remove("key")
snapshotter.replace(diff_id, io.BytesIO(tar))
snapshotter.remove_layer(diff_id)
"""


def test_every_durable_step_has_its_points():
    assert len(HERE) == 16
    assert len(POINTS) == 22


KINDS = {
    "erofs": "ErofsSnapshotter",
    "native": "NativeSnapshotter",
    "overlay": "OverlaySnapshotter",
}


@pytest.mark.parametrize("driver", KINDS)
@pytest.mark.parametrize("point", HERE)
def test_killed_at(point: str, driver: str, make_store, tmp_path: Path):
    if (driver, point) == ("erofs", "snapshots.replace.between-renames"):
        pytest.skip("erofs replaces its file in one rename")
    kind = KINDS[driver]
    diff_id, tar = layer(file("dir/file", b"content"))
    (tmp_path / "tar").write_bytes(tar)
    store = make_store(driver)
    script = SCRIPT.format(driver=driver, kind=kind)
    killed = subprocess.run(
        [sys.executable, "-c", script, store.root, tmp_path / "tar"],
        env={**os.environ, "WHERRY_FAULT": point},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()

    snapshotter = store.snapshotter
    snapshotter.recover()
    assert store.leftovers() == []
    assert snapshotter.layers() in ([], [diff_id])
    for key in list(snapshotter.keys()):
        with store.mounted(snapshotter.mounts(key)) as root:
            assert os.stat("dir/file", dir_fd=root).st_size == 7
        snapshotter.remove(key)
    store.apply((diff_id, tar))
    assert b"dir/file" in store.picture("key", [diff_id])
    snapshotter.remove_layer(diff_id)
    assert snapshotter.layers() == []
    assert store.leftovers() == []
