"""The whole daemon as a process."""

import contextlib
import http.client
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

PROGRAM = "import sys; from wherry.daemon import main; sys.exit(main(sys.argv[1:]))"


class Daemon:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "run" / "wherry.sock"
        self.pidfile = folder / "run" / "wherryd.pid"
        self.cgroup = leaks.cgroup_name("test")
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *flags: str) -> subprocess.Popen[str]:
        config = self.folder / "daemon.json"
        config.write_text("{}")
        roots = [
            "--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "run"),
            "--cgroup-parent", self.cgroup,
        ]  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *roots, "--config-file", str(config), *flags],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def ping(self) -> int:
        connection = http.client.HTTPConnection("wherry", timeout=10)
        with socket.socket(socket.AF_UNIX) as connection.sock:
            connection.sock.connect(str(self.socket))
            connection.request("GET", "/_ping")
            return connection.getresponse().status

    def await_ping(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                assert self.ping() == 200
                return
            time.sleep(0.01)
        raise AssertionError("the daemon does not answer")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path)
    yield made
    for process in made.processes:
        process.terminate()
        process.communicate(timeout=30)
    leaks.clear_cgroups(made.cgroup)


def test_a_life(daemon: Daemon) -> None:
    process = daemon.start()
    daemon.await_ping()
    assert daemon.pidfile.read_text() == f"{process.pid}\n"
    second = daemon.start()
    assert second.wait(30) == 1
    _, complaint = second.communicate()
    assert f"process {process.pid}" in complaint
    assert "Traceback" not in complaint
    assert daemon.ping() == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert not daemon.socket.exists()
    assert not daemon.pidfile.exists()
    _, log = process.communicate()
    assert all(line.startswith('time="') for line in log.splitlines()), log


def test_many_descriptors_for_the_daemon_and_not_for_its_containers(daemon: Daemon) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = min(1000, hard // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        process = daemon.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    daemon.await_ping()
    launcher = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    assert resource.prlimit(launcher, resource.RLIMIT_NOFILE) == (few, hard)


def test_slow_uploads_keep_nobody_else_waiting(daemon: Daemon) -> None:
    process = daemon.start()
    daemon.await_ping()
    with contextlib.ExitStack() as slow:
        for _ in range(40):
            client = slow.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(daemon.socket))
            client.sendall(
                b"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x"
            )
        connection = http.client.HTTPConnection("wherry", timeout=10)
        connection.sock = slow.enter_context(socket.socket(socket.AF_UNIX))
        connection.sock.settimeout(10)
        connection.sock.connect(str(daemon.socket))
        connection.request("GET", "/images/json")  # from the database, by a thread
        assert connection.getresponse().status == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_what_a_killed_daemon_left_is_no_obstacle(daemon: Daemon) -> None:
    killed = daemon.start()
    daemon.await_ping()
    killed.kill()
    killed.communicate()
    assert daemon.socket.exists()
    again = daemon.start()
    daemon.await_ping()
    again.send_signal(signal.SIGINT)
    assert again.wait(30) == 0


def test_a_socket_in_use_is_left_alone(daemon: Daemon, tmp_path: Path) -> None:
    other = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(other))
        listener.listen()
        process = daemon.start("-H", f"unix://{other}")
        assert process.wait(30) == 1
        _, complaint = process.communicate()
        assert "another daemon answers there" in complaint
    assert other.exists()
