"""The units for systemd: this installation's program, and words that systemd knows."""

import shutil
import subprocess
from pathlib import Path

import pytest

from wherry.daemon import units
from wherry.errdefs import EngineError


def test_they_start_this_program(tmp_path: Path) -> None:
    units.install(tmp_path, Path("/opt/w/bin/wherryd"))
    service = (tmp_path / "wherry.service").read_text()
    assert "\nExecStart=/opt/w/bin/wherryd -H fd://\n" in service
    assert {"Type=notify", "Delegate=yes", "KillMode=process"} <= set(service.splitlines())
    assert "ListenStream=/run/wherry/wherry.sock" in (tmp_path / "wherry.socket").read_text()


def test_a_group_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "DEFAULT_GROUP", "docker")
    monkeypatch.setattr("grp.getgrnam", lambda name: {}[name])
    assert "SocketGroup=root" in units.unit("wherry.socket", Path("/w"))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="writing units to"):
        units.install(tmp_path / "nothing", Path("/w"))


@pytest.mark.peer
def test_systemd_understands_them(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    units.install(tmp_path, Path("/bin/true"))
    files = [str(tmp_path / name) for name in units.NAMES]
    done = subprocess.run([program, "verify", *files], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert not complaints
