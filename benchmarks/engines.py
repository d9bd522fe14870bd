"""Daemons to measure: started in folders of their own, and taken away whole."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from wherry.client.address import UnixAddress
from wherry.client.engine import EngineClient
from wherry.errdefs import EngineError
from wherry.linux import cgroups

PATIENCE = 60.0
CGROUP = "/wherry-bench"

Command = Callable[[Path], list[str]]


class Engine:
    """A running daemon, whose `folder` has all that is its own."""

    def __init__(self, name: str, work: Path, command: Command) -> None:
        """Start it and wait for its first /_ping; `started_in` seconds it took."""
        self.name = name
        self.work = work
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=work))
        self.client = EngineClient(UnixAddress(f"{self.folder}/sock"))
        self._command = command
        with open(self.folder / "log", "wb") as log:
            began = time.perf_counter()
            self._process = subprocess.Popen(command(self.folder), stdout=log, stderr=log)
        while not self._answers():
            if self._process.poll() is not None or time.perf_counter() - began > PATIENCE:
                sys.exit(f"{name} did not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.001)
        self.started_in = time.perf_counter() - began

    def _answers(self) -> bool:
        try:
            return bool(self.client.api_version)
        except EngineError:
            return False

    @contextlib.contextmanager
    def another(self) -> "Iterator[Engine]":
        """A second daemon of the same kind, with nothing stored."""
        with _running(Engine(self.name, self.work, self._command)) as other:
            yield other

    @property
    def version(self) -> str:
        return self.client.version()["Version"]

    def cli(self, *arguments: str) -> str:
        """What the stock `docker ARGUMENTS` prints, or Wherry's own where there is none."""
        program = shutil.which("docker") or f"{Path(sys.executable).parent}/wherry"
        command = [program, "-H", f"unix://{self.folder}/sock", *arguments]
        # Builds by the engine's own builder, whatever plugins there are; without a word about it.
        own = os.environ | {"DOCKER_BUILDKIT": "0"}
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{self.name}: {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def load(self, archive: Path) -> None:
        self.cli("load", "-q", "-i", str(archive))

    def processes(self, inits: list[int]) -> list[int]:
        """The daemon, its descendants, and the processes above containers' first ones (`inits`),
        but nothing of the containers themselves."""
        parents = dict(_parents())
        ours = {self._process.pid}
        for init in inits:
            pid = parents.get(init, 1)
            while pid > 1 and pid not in (self._process.pid, os.getpid()):
                ours.add(pid)
                pid = parents.get(pid, 1)
        while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
            ours |= more
        here = os.readlink("/proc/self/ns/pid")
        return [pid for pid in ours if _pid_namespace(pid) == here]

    def stop(self) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait()
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if f" {self.folder}/" in line:
                subprocess.run(["umount", "-l", line.split()[4]], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def _running(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.stop()


@contextlib.contextmanager
def wherryd(work: Path, *flags: str) -> Iterator[Engine]:
    """Ours, with more flags if wanted."""
    program = f"{Path(sys.executable).parent}/wherryd"

    def command(folder: Path) -> list[str]:
        own = [f"--cgroup-parent={CGROUP}", f"--config-file={os.devnull}"]
        return [program, *_folders(folder), *own, *flags]

    try:
        with _running(Engine("wherryd", work, command)) as engine:
            yield engine
    finally:
        cgroups.detect().remove_tree(CGROUP)


@contextlib.contextmanager
def dockerd(work: Path) -> Iterator[Engine | None]:
    """Docker's, without a network of its own; None if this machine has none."""
    program = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        print("no dockerd on this machine: Wherry alone\n", file=sys.stderr)
        yield None
        return
    settings = work / "dockerd.json"
    settings.write_text("{}")

    def command(folder: Path) -> list[str]:
        own = [f"--config-file={settings}", f"--pidfile={folder}/pid"]
        return [program, *_folders(folder), *own, "--bridge=none", "--iptables=false"]

    with _running(Engine("dockerd", work, command)) as engine:
        yield engine


def _folders(folder: Path) -> list[str]:
    return [
        f"--data-root={folder}/data",
        f"--exec-root={folder}/run",
        f"--host=unix://{folder}/sock",
    ]


def pss(pids: list[int]) -> float:
    """Megabytes of memory, a page that several share divided among them (proc(5))."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def _parents() -> Iterator[tuple[int, int]]:
    """Each process and its parent."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            yield int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
