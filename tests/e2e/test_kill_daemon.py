"""The daemon is killed, and containers don't notice."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import archives
import pytest
from daemons import Daemon, poll, running
from programs import find

pytestmark = pytest.mark.root

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


def fleet(daemon: Daemon, folder: Path, verb: str, start: int) -> dict[str, int]:
    """Five running containers by name, and the number each is to end with."""
    made = {}
    for number in range(start, start + 5):
        name = f"{verb}{number}"
        (folder / name).mkdir()
        script, stdin = (READER, True) if verb == "attach" else (SCRIPT, False)
        daemon.run(
            *("sh", "-c", script), name=name, Env=[f"N={number}"], OpenStdin=stdin,
            HostConfig={"Binds": [f"{folder}/{name}:/box"]},
        )  # fmt: skip
        made[name] = number
    return made


def test_twenty_containers_go_on(own_daemon: Daemon, tmp_path: Path) -> None:
    daemon = own_daemon
    cli = find("wherry", f"unix://{daemon.socket}")
    verbs = {
        verb: fleet(daemon, tmp_path, verb, 10 * i)
        for i, verb in enumerate(["logs", "wait", "attach", "stop"], 1)
    }
    everybody = [name for made in verbs.values() for name in made]
    for name in everybody:
        logs = f"/containers/{name}/logs?stdout=1"
        poll(lambda logs=logs: daemon.get(logs).body.endswith(b"up\n"), f"{name} is up")
    pids = {name: daemon.state(name)["Pid"] for name in everybody}

    daemon.kill()
    assert all(Path(f"/proc/{pid}").exists() for pid in pids.values())
    daemon.start()

    assert {name: daemon.state(name)["Pid"] for name in everybody} == pids
    with ExitStack() as stack:
        followers = {
            name: stack.enter_context(cli.popen("logs", "-f", name)) for name in verbs["logs"]
        }
        waiters = {name: stack.enter_context(cli.popen("wait", name)) for name in verbs["wait"]}
        attached = {
            name: stack.enter_context(cli.popen("attach", name)) for name in verbs["attach"]
        }
        for follower in followers.values():
            assert follower.stdout is not None
            assert follower.stdout.readline() == b"up\n"
        for name in (*followers, *waiters):
            (tmp_path / name / "end").touch()
        for name, follower in followers.items():
            assert follower.communicate(timeout=30)[0] == b"last\n"
            assert daemon.wait(name) == verbs["logs"][name]
        for name, waiter in waiters.items():
            assert waiter.communicate(timeout=30)[0] == b"%d\n" % verbs["wait"][name]
        for name, client in attached.items():
            out, _ = client.communicate(b"me\nend\n", timeout=30)
            assert out == b"got me\ngot end\n", name
            assert client.returncode == verbs["attach"][name]
    assert cli.ok("stop", *verbs["stop"]).split() == list(verbs["stop"])
    for name, number in verbs["stop"].items():
        assert cli.ok("logs", name) == "up\nterm"
        assert daemon.state(name)["ExitCode"] == number + 100
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
    daemon = own_daemon
    before = daemon.picture()
    names = [daemon.create("sleep", "1000") for _ in range(10)]
    results: dict[str, tuple[int, str]] = {}

    def start(name: str) -> None:
        answer = daemon.post(f"/containers/{name}/start")
        results[name] = (answer.status, answer.body.decode())

    threads = [threading.Thread(target=start, args=(name,)) for name in names]
    for i, thread in enumerate(threads):
        thread.start()
        if i in (3, 7):
            subprocess.run(["kill", "-KILL", str(poll(daemon.launcher, "there is one"))])
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
    daemon.clear()
    daemon.settled(before)


def test_a_killed_shim_takes_its_container_along(own_daemon: Daemon) -> None:
    daemon = own_daemon
    before = daemon.picture()
    container = daemon.run("sleep", "1000")
    pid = daemon.state(container)["Pid"]
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    subprocess.run(["kill", "-KILL", words[1]], check=True)
    assert daemon.wait(container) == 137
    assert "shim" in daemon.state(container)["Error"]
    poll(lambda: not Path(f"/proc/{pid}").exists(), "its program is gone")
    assert daemon.post(f"/containers/{container}/start").status == 204
    daemon.clear()
    daemon.settled(before)
