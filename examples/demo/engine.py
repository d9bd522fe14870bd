"""A daemon of the demo's own: its folders, its socket and its cgroup are nobody else's."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from wherry.client.address import UnixAddress
from wherry.client.connection import listens
from wherry.client.engine import EngineClient
from wherry.errdefs import EngineError
from wherry.linux import cgroups

PROGRAMS = Path(sys.executable).parent
PATIENCE = 15.0


class Engine:
    """Starts `wherryd` in a temporary folder; leaving the `with` takes all of it away."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wherry-demo-"))
        self.cgroup = f"/{self.folder.name}"
        self.socket = f"{self.folder}/wherry.sock"
        self.client = EngineClient(UnixAddress(self.socket))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Engine":
        flags = {
            "--data-root": f"{self.folder}/data",
            "--exec-root": f"{self.folder}/run",
            "--host": f"unix://{self.socket}",
            "--cgroup-parent": self.cgroup,
            "--config-file": os.devnull,
            "--log-level": "warn",
        }
        command = [str(PROGRAMS / "wherryd"), *(f"{name}={value}" for name, value in flags.items())]
        self._process = subprocess.Popen(command, start_new_session=True)
        deadline = time.monotonic() + PATIENCE
        while not listens(self.socket):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._clear_away()
                sys.exit("demo: the daemon did not start; what it said stands above")
            time.sleep(0.002)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(EngineError):
            for container in self.client.containers(all=True):
                self.client.remove(container["Id"], force=True)
        self._clear_away()

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def run(self, *arguments: str, stdin: Path | None = None) -> str:
        """What `wherry ARGUMENTS` prints; the demo ends if it fails."""
        with open(stdin or os.devnull, "rb") as given:
            done = subprocess.run(
                self._command(arguments), stdin=given, stdout=subprocess.PIPE, check=False
            )
        _succeeded(arguments, done.returncode)
        return done.stdout.decode()

    def follow(self, *arguments: str) -> Iterator[str]:
        """Each line of `wherry ARGUMENTS`'s progress (its standard error) as it comes."""
        with subprocess.Popen(
            self._command(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as process:
            assert process.stderr
            yield from process.stderr
        _succeeded(arguments, process.returncode)

    def left_behind(self) -> list[str]:
        """What of this engine is still on the machine after its end."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        left = [line.split()[4] for line in mounts if str(self.folder) in line]
        left += [str(self.folder)] if self.folder.exists() else []
        left += [f"cgroup {self.cgroup}"] if cgroups.detect().exists(self.cgroup) else []
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if os.fsencode(self.folder) in process.read_bytes():
                    left.append(f"process {process.parent.name}")
        return left

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [str(PROGRAMS / "wherry"), "-H", f"unix://{self.socket}", *arguments]

    def _clear_away(self) -> None:
        self.client.close()
        if self._process:
            self._process.terminate()
            self._process.wait()
        cgroups.detect().remove_tree(self.cgroup)
        shutil.rmtree(self.folder, ignore_errors=True)


def _succeeded(arguments: tuple[str, ...], code: int) -> None:
    if code:
        sys.exit(f"demo: `wherry {shlex.join(arguments)}` ended with {code}")
