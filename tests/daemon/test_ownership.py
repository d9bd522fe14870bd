"""One daemon per folder and per socket."""

import os
import socket
import stat
from pathlib import Path

import pytest

from wherry.daemon.listeners import UnixListener
from wherry.daemon.pidfile import PidFile
from wherry.errdefs import EngineError


def test_a_pid_file_of_nobody_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run" / "wherryd.pid"
    path.parent.mkdir()
    for stale in ("", "not a number", "1\n", "99999999\n"):
        path.write_text(stale)
        held = PidFile(path)
        assert path.read_text() == f"{os.getpid()}\n"
    held.remove()
    assert not path.exists()


def test_a_pid_file_of_a_living_daemon_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.daemon.pidfile._is_wherryd", lambda pid: pid == 1)
    path = tmp_path / "wherryd.pid"
    path.write_text("1\n")
    with pytest.raises(EngineError, match="pid file found"):
        PidFile(path)


def mode(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_stale_socket_is_replaced_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "api.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listener = UnixListener(str(path), None)
    listener.sockets[0].listen()
    assert mode(path) in (0o600, 0o660)
    with pytest.raises(EngineError, match="another daemon answers there"):
        UnixListener(str(path), None)
    listener.withdraw()
    listener.sockets[0].close()
    assert not path.exists()


def test_a_socket_that_is_anothers_by_now_stays(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    listener = UnixListener(str(path), None)
    path.rename(tmp_path / "kept")  # so that its inode is not used again at once
    path.write_text("")
    listener.withdraw()
    assert path.exists()
    listener.sockets[0].close()


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(EngineError, match="is no socket"):
        UnixListener(str(path), None)
    assert path.read_text() == "data"


def test_an_unknown_group(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no group no-such-group"):
        UnixListener(str(tmp_path / "api.sock"), "no-such-group")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_groups_socket(tmp_path: Path) -> None:
    listener = UnixListener(str(tmp_path / "api.sock"), "daemon")
    assert mode(tmp_path / "api.sock") == 0o660
    listener.withdraw()
    listener.sockets[0].close()
