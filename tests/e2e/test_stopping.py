"""SIGTERM while a change is under way: it is finished, unless somebody insists."""

import os
import signal
import threading
from collections.abc import Iterator

import archives
import pytest
from daemons import Answer, Daemon, poll, running

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

STUBBORN = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.1; done"


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A daemon of the test's own, with a container that does not heed SIGTERM."""
    with running() as daemon:
        assert daemon.load(archives.image("box:latest")).status == 200
        yield daemon


class Stopping(threading.Thread):
    """A client that has a container stopped, and waits for it."""

    def __init__(self, daemon: Daemon, seconds: int) -> None:
        super().__init__()
        self._daemon = daemon
        self.container = daemon.run("sh", "-c", STUBBORN)
        self._path = f"/containers/{self.container}/stop?t={seconds}"
        self.answer: Answer | None = None
        poll(lambda: self._logged(b"ready"), "the container is ready")
        self.start()
        poll(lambda: self._logged(b"asked"), "the container has been asked to end")

    def _logged(self, word: bytes) -> bool:
        return word in self._daemon.get(f"/containers/{self.container}/logs?stdout=1").body

    def run(self) -> None:
        try:
            self.answer = self._daemon.post(self._path)
        except OSError:
            return  # the daemon was in a hurry


def test_a_change_under_way_is_finished(daemon: Daemon) -> None:
    stopping = Stopping(daemon, 2)
    daemon.stop()
    stopping.join(10)
    assert stopping.answer is not None
    assert stopping.answer.status == 204
    daemon.start()
    assert daemon.state(stopping.container)["ExitCode"] == 137


def test_who_insists_is_not_made_to_wait(daemon: Daemon) -> None:
    stopping = Stopping(daemon, 60)
    assert daemon.process is not None
    for times in range(3):
        daemon.process.send_signal(signal.SIGTERM)
        if times == 0:
            poll(lambda: "daemon is ending" in daemon.log.read_text(), "it has heard")
        elif times == 1:
            # Two that come at once are one for the kernel.
            poll(lambda: not _pending(daemon.pid), "it has heard again")
    assert daemon.process.wait(10) == 1
    assert "asked to stop three times" in daemon.log.read_text()
    stopping.join(10)
    daemon.start()
    assert daemon.state(stopping.container)["Running"]


def _pending(pid: int) -> bool:
    with open(f"/proc/{pid}/status") as status:
        masks = [line.split()[1] for line in status if line.startswith(("SigPnd", "ShdPnd"))]
    return any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in masks)
