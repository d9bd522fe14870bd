"""The commands as people use them: beside a daemon, after it, and in pipes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import archives
import pytest
from daemons import Daemon, poll, running
from dataroots import copy

from wherry.maintenance.running import running_containers

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root and the real kernel"),
]


def wherry(*words: object) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("wherry")
    return subprocess.run(
        [program, "system", *map(str, words)], capture_output=True, text=True, timeout=100
    )


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    archive = archives.image("box:latest")
    with running() as daemon:
        assert daemon.load(archive).status == 200
        yield daemon


def layer_files(daemon: Daemon) -> list[Path]:
    return list((daemon.data / "snapshots").glob("*/layers/*/*"))


def test_a_check_between_two_daemons(daemon: Daemon) -> None:
    if daemon.get("/info").json["Driver"] != "erofs":
        pytest.skip("this kernel mounts no images")
    web = daemon.create("sh", "-c", "cat /kept; echo more >> /kept", name="web")
    assert daemon.post(f"/containers/{web}/start").status == 204
    assert daemon.wait(web) == 0
    assert daemon.post(f"/containers/{web}/start").status == 204
    assert daemon.wait(web) == 0

    refused = wherry("check", "--data-root", daemon.data)
    assert refused.returncode == 1
    assert f"process {daemon.pid}" in refused.stderr
    assert "stop it" in refused.stderr
    daemon.stop()

    well = wherry("check", "--data-root", daemon.data)
    assert (well.returncode, well.stderr) == (0, "")
    assert "1 images, 1 containers; all is well" in well.stdout
    for target in ("native", "overlay", "erofs"):
        moved = wherry("migrate-storage", target, "--data-root", daemon.data)
        assert "1 layers, 1 containers" in moved.stdout, moved.stderr
        daemon.start()
        assert daemon.get("/info").json["Driver"] == target
        assert daemon.post(f"/containers/{web}/start").status == 204
        assert daemon.wait(web) == 0
        daemon.stop()
    logs = (daemon.data / "containers" / web / f"{web}-json.log").read_text()
    # At its starts the file had 1, 2, 3 and 4 lines; before the first there was none.
    assert logs.count('"more') == 1 + 2 + 3 + 4

    (layer,) = (path for path in layer_files(daemon) if path.name == "layer.erofs")
    with layer.open("r+b") as stream:
        stream.seek(-700, os.SEEK_END)
        stream.write(b"damage")
    found = wherry("check", "--data-root", daemon.data, "--format", "json")
    assert found.returncode == 1
    report = json.loads(found.stdout)
    assert report["ok"] is False
    (problem,) = report["problems"]
    assert problem["subject"] == "layer"
    assert problem["object"] == f"sha256:{layer.parent.name}"
    assert "box:latest" in problem["what"]
    mended = wherry("check", "--repair", "--data-root", daemon.data)
    assert mended.returncode == 0, mended.stdout
    assert "made anew" in mended.stdout
    daemon.start()
    assert daemon.wait(daemon.run("true")) == 0
    daemon.clear()


def test_containers_that_run_are_in_the_way(daemon: Daemon) -> None:
    web = daemon.run("sleep", "1000")
    daemon.stop()
    assert running_containers([web, "0" * 64]) == [web]
    for words in (["check", "--repair"], ["migrate-storage", "overlay"]):
        refused = wherry(*words, "--data-root", daemon.data)
        assert refused.returncode == 1
        assert web[:12] in refused.stderr
        assert "wherry stop" in refused.stderr
    assert wherry("check", "--data-root", daemon.data).returncode == 0
    daemon.start()
    daemon.clear()
    poll(lambda: not running_containers([web]), "it has ended")


def test_a_daemon_after_a_move_that_was_interrupted(pristine) -> None:
    daemon = Daemon()
    try:
        root = copy(pristine("native"), daemon.data)
        killed = subprocess.run(
            [Path(sys.executable).with_name("wherryd"), "migrate-storage", "overlay",
             f"--data-root={root}"],
            env={**os.environ, "WHERRY_FAULT": "snapshots.switch.before-rename"},
        )  # fmt: skip
        assert killed.returncode == -9
        command = f"wherry system migrate-storage overlay --data-root {root}"
        assert daemon.launch().wait(30) == 1
        assert command in daemon.log.read_text()
        checked = wherry("check", "--data-root", root)
        assert checked.returncode == 1
        assert command in checked.stderr
        assert wherry("migrate-storage", "overlay", "--data-root", root).returncode == 0
        assert wherry("check", "--data-root", root).returncode == 0
    finally:
        daemon.destroy()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "--bogus"], "unknown flag: --bogus"),
        (["check", "--format", "xml"], "there is only json"),
        (["check", "more"], "accepts no arguments"),
        (["migrate-storage"], "requires 1 argument"),
        (["migrate-storage", "zfs"], "erofs, overlay, native"),
    ],
)
def test_what_makes_no_sense(words: list[str], said: str) -> None:
    refused = wherry(*words)
    assert said in refused.stderr
    assert refused.returncode == 2


def test_no_data_root(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        refused = wherry("check", "--data-root", path)
        assert refused.returncode == 1
        assert str(path) in refused.stderr
