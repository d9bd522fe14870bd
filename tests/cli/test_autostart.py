"""A daemon is started when none listens, once however many ask, and its failure is told."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from wherry.cli.autostart import start_default_daemon
from wherry.cli.errors import CliError
from wherry.client.connection import listens

pytestmark = pytest.mark.root

DAEMON = """#!{python} -IS
import os, socket, sys, time
with open({folder!r} + "/starts", "a") as starts:
    starts.write(f"{{os.getpid()}} {{os.getsid(0) == os.getpid()}}\\n")
{before}
listener = socket.socket(socket.AF_UNIX)
listener.bind({folder!r} + "/run/d.sock")
listener.listen()
while True:
    listener.accept()[0].close()
"""


@pytest.fixture
def daemon(short_path: Path):
    """A stand-in for wherryd; call it to write it, and to have it ended afterwards."""

    def write(before: str = "") -> str:
        program = short_path / "wherryd"
        program.write_text(
            DAEMON.format(python=sys.executable, folder=str(short_path), before=before)
        )
        program.chmod(0o755)
        return str(program)

    yield write
    starts = short_path / "starts"
    for line in starts.read_text().splitlines() if starts.exists() else []:
        pid = int(line.split()[0])
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def start(folder: Path, program: str) -> None:
    start_default_daemon(str(folder / "run/d.sock"), program, str(folder / "log"))


def test_it_is_started_detached_and_said(short_path: Path, daemon, capsysbinary) -> None:
    start(short_path, daemon())
    assert listens(str(short_path / "run/d.sock"))
    pid, leads_its_session = (short_path / "starts").read_text().split()
    assert leads_its_session == "True"
    said = capsysbinary.readouterr().err.decode()
    assert said == (
        f"wherry: started the daemon, as none was running (pid {pid}, "
        f"log {short_path}/log/wherryd.log)\n"
    )


def test_racing_callers_start_one(short_path: Path, daemon) -> None:
    program = daemon("time.sleep(0.2)")
    threads = [threading.Thread(target=start, args=(short_path, program)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len((short_path / "starts").read_text().splitlines()) == 1


def test_one_that_ends_says_why(short_path: Path, daemon) -> None:
    program = daemon("print('first'); sys.exit('the data root is in use')")
    with pytest.raises(CliError, match="ended with code 1: the data root is in use"):
        start(short_path, program)


def test_a_left_over_socket_is_nobody(short_path: Path, daemon) -> None:
    import socket

    (short_path / "run").mkdir()
    path = short_path / "run/d.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert not listens(str(path))
    start(short_path, daemon(f"os.unlink({str(path)!r})"))
    assert listens(str(path))


def test_without_a_program_it_says_so(short_path: Path) -> None:
    with pytest.raises(CliError, match="is no program"):
        start(short_path, str(short_path / "nothing"))


def test_only_root_starts_one(short_path: Path, daemon, monkeypatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CliError, match="only root can start one"):
        start(short_path, daemon())
