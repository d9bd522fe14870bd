"""Whole daemons for tests: a process of their own, folders of their own, a cgroup of their own."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import leaks

Seen = TypeVar("Seen")

# Processes beside a daemon without containers: launcher, nursery, a spare shim and its child.
_READY = 4


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """What an error says."""
        return str(self.json["message"])


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float = 60) -> None:
        super().__init__("wherry", timeout=timeout)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def poll(look: Callable[[], Seen], what: str, seconds: float = 30) -> Seen:
    """Look until there is something to see."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come to this in {seconds:.0f} seconds: {what}")
        time.sleep(0.005)
    return found


class Daemon:
    """One data root, and the processes that own it one after the other."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wherry-e2e-", dir="/tmp"))
        self.data = self.folder / "data"
        self.exec = self.folder / "exec"
        self.socket = self.folder / "s"
        self.log = self.folder / "log"
        self.cgroup = leaks.cgroup_name("e2e")
        self.flags: list[str] = []  # beside those that every daemon gets
        self.process: subprocess.Popen[bytes] | None = None

    # --- its life -------------------------------------------------------------------------------

    def launch(self, **environment: str) -> "subprocess.Popen[bytes]":
        """Start the process; `up` tells when it answers."""
        config = self.folder / "daemon.json"
        config.write_text("{}")
        program = Path(sys.executable).with_name("wherryd")
        command = [
            program, "--data-root", self.data, "--exec-root", self.exec,
            "--pidfile", self.folder / "pid", "--config-file", config,
            "--cgroup-parent", self.cgroup, "-H", f"unix://{self.socket}", *self.flags,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )
        return self.process

    def start(self, **environment: str) -> None:
        self.launch(**environment)
        self.up()

    def up(self) -> None:
        """Return when it answers, and its launcher has made its cgroups."""

        def look() -> bool:
            if self.process is None or self.process.poll() is not None:
                raise AssertionError(f"wherryd has ended: {self.log.read_text()}")
            return self.answers()

        poll(look, f"wherryd answers on {self.socket}")
        shims = f"{self.cgroup}/shims"
        poll(lambda: self.launcher() in leaks.cgroup_members(shims), f"the launcher is in {shims}")

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.get("/_ping").status == 200
        return False

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def launcher(self) -> int:
        """The launcher's process, or 0."""
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return int(children[0]) if children else 0
        return 0

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> None:
        """SIGTERM; containers go on."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0, self.log.read_text()

    def destroy(self) -> None:
        """End everything, whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
        leaks.clear_cgroups(self.cgroup)
        shutil.rmtree(self.folder)

    # --- its API --------------------------------------------------------------------------------

    def request(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """`body` is bytes, or something to be sent as JSON."""
        with contextlib.closing(UnixConnection(self.socket)) as connection:
            told = {} if body is None else {"Content-Type": "application/json"}
            data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, path, data, told | (headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.read())

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, body: object = None) -> Answer:
        return self.request("POST", path, body)

    def delete(self, path: str) -> Answer:
        return self.request("DELETE", path)

    def load(self, archive: bytes) -> Answer:
        return self.request(
            "POST", "/images/load?quiet=1", archive, {"Content-Type": "application/x-tar"}
        )

    def create(self, *command: str, name: str = "", image: str = "box", **members: Any) -> str:
        """A container; `HostConfig` may be among the members."""
        request = {"Image": image, "Cmd": list(command), **members}
        host = {"NetworkMode": "none", **request.get("HostConfig", {})}
        query = f"?name={name}" if name else ""
        answer = self.post(f"/containers/create{query}", {**request, "HostConfig": host})
        assert answer.status == 201, answer
        return str(answer.json["Id"])

    def run(self, *command: str, **members: Any) -> str:
        """A container that runs."""
        container = self.create(*command, **members)
        answer = self.post(f"/containers/{container}/start")
        assert answer.status == 204, answer
        return container

    def state(self, container: str) -> dict[str, Any]:
        answer = self.get(f"/containers/{container}/json")
        assert answer.status == 200, answer
        return dict(answer.json["State"])

    def wait(self, container: str) -> int:
        return int(self.post(f"/containers/{container}/wait").json["StatusCode"])

    def containers(self) -> list[dict[str, Any]]:
        return list(self.get("/containers/json?all=1").json)

    def clear(self) -> None:
        """Remove all containers."""
        for container in self.containers():
            self.delete(f"/containers/{container['Id']}?force=1")

    # --- what it has made -----------------------------------------------------------------------

    def processes(self, shims: bool = True) -> list[int]:
        """Everything in the daemon's cgroups: containers; shims and the launcher if wanted."""
        pids = leaks.cgroup_members(self.cgroup)
        return sorted(pids if shims else pids - leaks.cgroup_members(f"{self.cgroup}/shims"))

    def picture(self) -> dict[str, list[str]]:
        """The machine as far as this daemon changes it, without what only grows or is noise.

        Equal pictures mean that nothing was left behind. The launcher, the shim that it keeps ready
        and that one's midwife are not in it, nor is their group. It is taken when they are at rest:
        just after a start, and after a container's, there is for a moment one too many or too few.
        """
        poll(lambda: self._spares() == 0, "all that is kept ready is there, and nothing else")
        return self._look()

    def _spares(self) -> int:
        """How many processes there are beside the ready ones and a shim for each container."""
        shims = leaks.cgroup_members(f"{self.cgroup}/shims")
        containers = self.exec / "containers"
        wanted = len(os.listdir(containers)) if containers.exists() else 0
        return len(shims) - _READY - wanted

    def _look(self) -> dict[str, list[str]]:
        tops = leaks.cgroups(self.cgroup)
        own = {*tops, *(f"{top}/shims" for top in tops)}
        return {
            "mounts": leaks.mounts(str(self.folder)),
            "cgroups": sorted({*leaks.cgroup_tree(self.cgroup)} - own),
            "processes": [leaks.command(pid) for pid in self.processes(shims=False)],
            "shims": ["one too many"] * self._spares(),
            "data": sorted(self._entries(self.data)),
            "exec": sorted(self._entries(self.exec)),
        }

    @staticmethod
    def _entries(root: Path) -> Iterator[str]:
        """Files and folders; not what is inside a layer or a container's root."""
        for parent, folders, files in os.walk(root):
            place = Path(parent).relative_to(root)
            if len(place.parts) >= 4 and place.parts[0] == "snapshots":
                folders.clear()
                continue
            for name in (*folders, *files):
                if not name.startswith("wherry.db-"):
                    yield str(place / name)

    def settled(self, before: dict[str, list[str]], seconds: float = 10) -> None:
        """Return when the machine looks as it did `before`; what goes on in the background may."""
        now: dict[str, list[str]] = {}

        def same() -> bool:
            now.update(self._look())
            return now == before

        try:
            poll(same, "the machine is as before", seconds)
        except AssertionError:
            changed = {name: (before[name], now[name]) for name in now if now[name] != before[name]}
            raise AssertionError(f"left behind (before, now): {changed}") from None


@contextlib.contextmanager
def running(**environment: str) -> Iterator[Daemon]:
    """A daemon that is destroyed at the end with all it has made."""
    daemon = Daemon()
    try:
        daemon.start(**environment)
        yield daemon
    finally:
        daemon.destroy()
