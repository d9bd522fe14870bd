"""One daemon per test process, held to leaving nothing behind."""

import os
import shutil
from collections.abc import Iterator

import archives
import pytest
from daemons import Daemon, poll
from programs import Program, find


@pytest.fixture(scope="session")
def shared_daemon() -> Iterator[Daemon]:
    """A daemon with the image `box`, whose end is looked at closely."""
    if os.geteuid() != 0:
        pytest.skip("needs root and the real kernel")
    archive = archives.image("box:latest")
    daemon = Daemon()
    try:
        daemon.start()
        empty = daemon.picture()
        answer = daemon.load(archive)
        assert answer.status == 200, answer
        yield daemon
        daemon.clear()
        for image in daemon.get("/images/json").json:
            assert daemon.delete(f"/images/{image['Id']}?force=1").status == 200
        daemon.settled(empty)
        daemon.stop()
        poll(lambda: not daemon.processes(), "no process is left")
        said = daemon.log.read_text()
        assert "unexpected" not in said, said
        assert "Traceback" not in said, said
    finally:
        daemon.destroy()


@pytest.fixture
def daemon(shared_daemon: Daemon) -> Iterator[Daemon]:
    """The shared daemon; a test's containers are gone after it, and nothing else has come."""
    before = shared_daemon.picture()
    yield shared_daemon
    shared_daemon.clear()
    shared_daemon.settled(before)


@pytest.fixture(params=["docker", "wherry"])
def program(request: pytest.FixtureRequest, daemon: Daemon) -> Program:
    return find(request.param, f"unix://{daemon.socket}")


@pytest.fixture
def docker(daemon: Daemon) -> Program:
    if shutil.which("docker") is None:
        pytest.skip("docker is not installed")
    return find("docker", f"unix://{daemon.socket}")
