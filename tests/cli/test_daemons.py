"""`wherry daemon status|stop|logs`, and many command lines that start one daemon."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from daemons import poll
from programs import Program, find

from wherry.cli import autostart, daemons
from wherry.cli.errors import CliError

pytestmark = pytest.mark.root


@pytest.fixture
def folder(short_path: Path) -> Path:
    return short_path


@pytest.fixture
def running(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A wherryd that logs to a file, at `folder/run/wherry.sock`."""
    cgroup = leaks.cgroup_name("test")
    (folder / "daemon.json").write_text("{}")
    command = [
        Path(sys.executable).with_name("wherryd"), "--data-root", folder / "data", "--exec-root",
        folder / "run", "--cgroup-parent", cgroup, "--config-file", folder / "daemon.json",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        poll((folder / "run/wherry.sock").exists, "the daemon listens")
        yield process
    finally:
        process.terminate()
        process.wait(30)
        leaks.clear_cgroups(cgroup)


@pytest.fixture
def wherry(folder: Path) -> Program:
    return find("wherry", f"unix://{folder}/run/wherry.sock")


def test_a_daemon_that_runs(wherry: Program, running, folder: Path) -> None:
    done = wherry.run("daemon", "status")
    assert done.code == 0
    assert done.out.splitlines()[0] == (
        f"The daemon runs as process {running.pid}, at unix://{folder}/run/wherry.sock"
    )
    assert f" Log:         {folder}/log" in done.out
    assert wherry.ok("daemon", "status", "--format", "{{.PID}} {{.Running}} {{.Containers}}") == (
        f"{running.pid} true 0"
    )
    assert f'"PID":{running.pid}' in wherry.ok("daemon", "status", "-f", "json").replace(" ", "")
    assert "API listens" in wherry.ok("daemon", "logs")
    last = wherry.ok("daemon", "logs", "-n", "1")
    assert last.count("\n") == 0
    with wherry.popen("daemon", "logs", "-f", "-n", "1") as following:
        assert following.stdout is not None
        assert last.encode() in following.stdout.readline()
        running.send_signal(signal.SIGHUP)
        assert b"configuration reloaded" in following.stdout.readline()
    done = wherry.run("daemon", "stop")
    assert (done.code, done.out) == (0, f"Stopped the daemon, process {running.pid}\n")
    assert running.wait(1) == 0
    done = wherry.run("daemon", "stop")
    assert (done.code, done.out) == (0, f"No daemon runs at unix://{folder}/run/wherry.sock\n")


def test_one_that_does_not(wherry: Program, folder: Path) -> None:
    done = wherry.run("daemon", "status")
    assert (done.code, done.out) == (3, f"No daemon runs at unix://{folder}/run/wherry.sock\n")
    assert wherry.run("daemon", "status", "--format", "{{.Running}}").out == "false\n"


def test_one_that_does_not_end_in_time(wherry: Program, running) -> None:
    running.send_signal(signal.SIGSTOP)
    try:
        done = wherry.run("daemon", "stop", "-t", "1")
        assert done.code == 1
        assert "is still ending after 1 seconds" in done.err
    finally:
        running.send_signal(signal.SIGCONT)


def test_elsewhere_nobody_can_tell() -> None:
    wherry = find("wherry", "tcp://127.0.0.1:1")
    for words in (("status",), ("stop",), ("logs",)):
        done = wherry.run("daemon", *words)
        assert done.code == 4
        assert "may be on another machine" in done.err


def test_somebody_elses_socket(folder: Path) -> None:
    path = folder / "other.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        pid = os.getpid()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(daemons, "_is_daemon", lambda found: found != pid and found != 0)
            with pytest.raises(CliError, match="is no wherryd"):
                daemons.find_daemon(str(path))
            # Where systemd has bound the socket, the daemon has written down who it is.
            (folder / "wherryd.pid").write_text("1\n")
            assert daemons.find_daemon(str(path)) == 1


def test_a_log_that_got_long_is_put_aside(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(autostart, "LONG_LOG", 10)
    log = folder / "wherryd.log"
    log.write_text("x" * 11)
    assert autostart._begin_log("/nothing/s", str(folder)) == str(log)
    assert not log.exists()
    assert (folder / "wherryd.log.1").read_text() == "x" * 11


RACER = """
import sys
sys.path.append(sys.argv[1])
from wherry.cli.autostart import start_default_daemon
start_default_daemon(*sys.argv[2:])
"""
STAND_IN = """#!{python} -IS
import os, socket, time
with open({folder!r} + "/starts", "a") as starts:
    starts.write(f"{{os.getpid()}}\\n")
time.sleep(0.3)
listener = socket.socket(socket.AF_UNIX)
listener.bind({folder!r} + "/run/d.sock")
listener.listen()
while True:
    listener.accept()[0].close()
"""


def test_many_processes_start_one(folder: Path) -> None:
    program = folder / "wherryd"
    program.write_text(STAND_IN.format(python=sys.executable, folder=str(folder)))
    program.chmod(0o755)
    source = str(Path(autostart.__file__).parents[2])
    command = [
        sys.executable, "-IS", "-c", RACER, source, f"{folder}/run/d.sock", program, folder / "log",
    ]  # fmt: skip
    racers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(24)]
    try:
        said = [racer.communicate(timeout=60)[1] for racer in racers]
        assert all(racer.returncode == 0 for racer in racers), said
        assert sum(b"started the daemon" in words for words in said) == 1
    finally:
        pids = [int(line) for line in (folder / "starts").read_text().split()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    assert len(pids) == 1
