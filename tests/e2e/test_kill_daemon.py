"""The daemon is killed, and containers don't notice."""

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import archives
import leaks
import pytest
from daemons import Daemon, poll, running
from programs import Program, find

pytestmark = pytest.mark.root
SOAK = bool(os.environ.get("WHERRY_SOAK"))

# Says that it lives, does what the file in its folder says, and ends with its own number.
SCRIPT = """
echo up; trap 'echo term; exit $((N + 100))' TERM
until [ -e /box/end ]; do sleep 0.02 & wait $!; done
echo last; exit $N
"""
# Reads lines from standard input and answers each.
READER = "echo up; while read line; do echo got $line; [ $line = end ] && exit $N; done; exit 99"


@pytest.fixture
def own_daemon() -> Iterator[Daemon]:
    archive = archives.image("box:latest")
    with running() as daemon:
        assert daemon.load(archive).status == 200
        yield daemon


@dataclass
class Sailor:
    """A container of the fleet, and how it is to end: by itself, by its input or by a stop."""

    name: str
    number: int
    end: str
    folder: Path

    @property
    def code(self) -> int:
        return self.number + (100 if self.end == "stop" else 0)

    @property
    def last(self) -> bytes:
        return {"itself": b"last\n", "input": b"got me\ngot end\n", "stop": b"term\n"}[self.end]


def fleet(daemon: Daemon, folder: Path, count: int) -> list[Sailor]:
    """`count` containers that run, and have said so."""
    sailors = []
    for number in range(count):
        end = ("itself", "input", "stop", "stop")[number % 4]
        sailor = Sailor(f"sailor{number}", number + 1, end, folder / f"sailor{number}")
        sailor.folder.mkdir()
        daemon.run(
            *("sh", "-c", READER if end == "input" else SCRIPT), name=sailor.name,
            Env=[f"N={sailor.number}"], OpenStdin=end == "input",
            HostConfig={"Binds": [f"{sailor.folder}:/box"]},
        )  # fmt: skip
        sailors.append(sailor)
    for sailor in sailors:
        logs = f"/containers/{sailor.name}/logs?stdout=1"
        poll(lambda logs=logs: daemon.get(logs).body.endswith(b"up\n"), f"{sailor.name} is up")
    return sailors


@contextlib.contextmanager
def listeners(
    cli: Program, verb: Sequence[str], sailors: Sequence[Sailor]
) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    with contextlib.ExitStack() as stack:
        yield {one.name: stack.enter_context(cli.popen(*verb, one.name)) for one in sailors}


def test_twenty_containers_go_on(own_daemon: Daemon, tmp_path: Path) -> None:
    """On each of them `logs -f`, `wait`, `attach` and its end work, and its exit code is true."""
    daemon = own_daemon
    cli = find("wherry", f"unix://{daemon.socket}")
    sailors = fleet(daemon, tmp_path, 100 if SOAK else 20)
    pids = {one.name: daemon.state(one.name)["Pid"] for one in sailors}
    for _ in range(5 if SOAK else 1):
        daemon.kill()
        assert all(leaks.alive(pid) for pid in pids.values())
        daemon.start()
    assert {one.name: daemon.state(one.name)["Pid"] for one in sailors} == pids

    talkers = [one for one in sailors if one.end == "input"]
    others = [one for one in sailors if one.end != "input"]
    with (
        listeners(cli, ["logs", "-f"], sailors) as followers,
        listeners(cli, ["wait"], sailors) as waiters,
        listeners(cli, ["attach"], talkers) as talking,
        listeners(cli, ["attach", "--no-stdin"], others) as listening,
    ):
        attached = talking | listening
        poll(
            lambda: daemon.log.read_text().count("/attach status=101") == len(sailors),
            "all are attached to",
        )
        for one in sailors:
            if one.end == "itself":
                (one.folder / "end").touch()
            elif one.end == "input":
                stdin = talking[one.name].stdin
                assert stdin is not None
                stdin.write(b"me\nend\n")
                stdin.flush()
        stopped = [one.name for one in sailors if one.end == "stop"]
        assert cli.ok("stop", *stopped).split() == stopped
        for one in sailors:
            assert followers[one.name].communicate(timeout=30) == (b"up\n" + one.last, b"")
            assert waiters[one.name].communicate(timeout=30) == (b"%d\n" % one.code, b"")
            assert attached[one.name].communicate(timeout=30) == (one.last, b"")
            assert attached[one.name].returncode == one.code
            assert daemon.state(one.name)["ExitCode"] == one.code
    daemon.clear()
    daemon.stop()
    poll(lambda: not daemon.processes(), "no process is left")


def test_ends_that_nobody_saw(own_daemon: Daemon, tmp_path: Path) -> None:
    daemon = own_daemon
    before = daemon.picture()
    kept = {}
    for number in (0, 3, 7):
        kept[f"kept{number}"] = number
    for name in (*kept, "gone", "killed"):
        (tmp_path / name).mkdir()
        daemon.run(
            *("sh", "-c", SCRIPT), name=name, Env=[f"N={kept.get(name, 5)}"],
            HostConfig={"Binds": [f"{tmp_path}/{name}:/box"], "AutoRemove": name == "gone"},
        )  # fmt: skip
    states = {name: daemon.state(name) for name in (*kept, "gone", "killed")}
    daemon.kill()
    subprocess.run(["kill", "-KILL", str(states["killed"]["Pid"])], check=True)
    for name in (*kept, "gone"):
        (tmp_path / name / "end").touch()
    for state in states.values():
        poll(lambda state=state: not Path(f"/proc/{state['Pid']}").exists(), "it has ended")
    daemon.start()
    for name, number in {**kept, "killed": 137}.items():
        now = daemon.state(name)
        assert (now["Status"], now["ExitCode"]) == ("exited", number)
        assert now["StartedAt"] == states[name]["StartedAt"]
        assert now["FinishedAt"] > now["StartedAt"]
        assert daemon.wait(name) == number
    poll(lambda: daemon.get("/containers/gone/json").status == 404, "an AutoRemove one goes")
    daemon.clear()
    daemon.settled(before)


def test_output_while_it_is_away_is_not_lost(own_daemon: Daemon) -> None:
    daemon = own_daemon
    script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i; done; echo done; sleep 1000"
    container = daemon.run("sh", "-c", script)
    daemon.kill()
    log = daemon.data / "containers" / container / f"{container}-json.log"
    poll(lambda: b'"done\\n"' in log.read_bytes()[-200:], "all was said")
    daemon.start()
    cli = find("wherry", f"unix://{daemon.socket}")
    lines = cli.ok("logs", container).splitlines()
    assert lines == [*(str(number) for number in range(1, 20001)), "done"]


def test_a_client_of_a_killed_daemon_is_told(own_daemon: Daemon) -> None:
    daemon = own_daemon
    cli = find("wherry", f"unix://{daemon.socket}")
    container = daemon.run("sleep", "1000")
    with cli.popen("wait", container) as waiter:
        poll(lambda: "/wait" in daemon.log.read_text(), "it waits")
        daemon.kill()
        _, complaint = waiter.communicate(timeout=30)
    assert waiter.returncode != 0
    assert complaint.strip()
    assert b"Traceback" not in complaint
    daemon.start()
    assert daemon.state(container)["Running"]


def test_the_launcher_is_killed_during_starts(own_daemon: Daemon) -> None:
    """Each start works, or fails with a word of why; either way nothing is left of it."""
    before = own_daemon.picture()
    for _ in range(20 if SOAK else 1):
        starts_while_launchers_die(own_daemon)
        own_daemon.clear()
        own_daemon.settled(before)


def starts_while_launchers_die(daemon: Daemon) -> None:
    names = [daemon.create("sleep", "1000") for _ in range(10)]
    results: dict[str, tuple[int, str]] = {}

    def start(name: str) -> None:
        answer = daemon.post(f"/containers/{name}/start")
        results[name] = (answer.status, answer.body.decode())

    threads = [threading.Thread(target=start, args=(name,)) for name in names]
    for i, thread in enumerate(threads):
        thread.start()
        if i in (3, 7):
            kill(poll(daemon.launcher, "there is one"))
    for thread in threads:
        thread.join(30)
    assert sorted(results) == sorted(names)
    for name, (status, said) in results.items():
        running_now = daemon.state(name)["Running"]
        assert (status == 204) == running_now, (status, said)
        if status != 204:
            assert json.loads(said)["message"]
            assert daemon.post(f"/containers/{name}/start").status == 204
            assert daemon.state(name)["Running"]


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def shim_of(daemon: Daemon, container: str) -> int:
    """The parent of the container's first process."""
    stat = Path(f"/proc/{daemon.state(container)['Pid']}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


@pytest.mark.parametrize("away", [False, True], ids=["daemon-there", "daemon-away"])
def test_a_killed_shim_takes_its_container_along(own_daemon: Daemon, away: bool) -> None:
    daemon = own_daemon
    before = daemon.picture()
    containers = [daemon.run("sleep", "1000") for _ in range(20 if SOAK else 3)]
    spared = daemon.run("sleep", "1000")
    pids = [daemon.state(container)["Pid"] for container in containers]
    shims = [shim_of(daemon, container) for container in containers]
    if away:
        daemon.kill()
    for shim in shims:
        kill(shim)
    if away:
        daemon.start()
    for container, pid in zip(containers, pids, strict=True):
        assert daemon.wait(container) == 137
        assert "shim" in daemon.state(container)["Error"]
        poll(lambda pid=pid: not leaks.alive(pid), "its program is gone")
        assert daemon.post(f"/containers/{container}/start").status == 204
    assert daemon.state(spared)["Running"]
    daemon.clear()
    daemon.settled(before)


def test_killed_at_any_moment(own_daemon: Daemon) -> None:
    """Three clients are at work when it happens; what is then said of containers is true."""
    daemon = own_daemon
    before = daemon.picture()
    chance = random.Random(0)
    for _ in range(60 if SOAK else 3):
        clients = [threading.Thread(target=busy, args=(daemon,)) for _ in range(3)]
        for client in clients:
            client.start()
        # Not a wait for anything: the moment is what is tried.
        threading.Event().wait(chance.uniform(0.05, 0.5))
        daemon.kill()
        for client in clients:
            client.join(30)
        daemon.start()
        for container in daemon.containers():
            state = daemon.state(container["Id"])
            assert state["Running"] == bool(state["Pid"] and leaks.alive(state["Pid"]))
        daemon.clear()
        daemon.settled(before)


def busy(daemon: Daemon) -> None:
    """Make, start, end and remove containers until nobody answers."""
    with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
        while True:
            container = daemon.run("sleep", "1000")
            daemon.post(f"/containers/{container}/kill")
            daemon.wait(container)
            assert daemon.delete(f"/containers/{container}").status == 204
