"""The command lines under test: the stock `docker` and our own `wherry`, driven alike."""

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Program:
    """A command line that speaks to the daemon at `address`."""

    name: str
    path: str
    address: str
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        return [self.path, "-H", self.address, *words]

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **self.environment}

    def run(self, *words: str, stdin: bytes | None = None, seconds: float = 60) -> Done:
        done = subprocess.run(
            self.command(*words),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=seconds,
            env=self._environment,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *words: str, stdin: bytes | None = None) -> str:
        """What it prints; it must not fail."""
        done = self.run(*words, stdin=stdin)
        assert done.code == 0, (words, done)
        return done.out.rstrip("\n")

    @contextlib.contextmanager
    def popen(self, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
        """The program as it runs, with pipes; it is killed at the end if it hasn't ended."""
        with subprocess.Popen(
            self.command(*words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextlib.contextmanager
    def terminal(self, *words: str, rows: int = 24, columns: int = 80) -> Iterator["Terminal"]:
        """The program on a terminal of its own."""
        ours, theirs = pty.openpty()
        _set_size(theirs, rows, columns)
        with subprocess.Popen(
            self.command(*words),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**self._environment, "TERM": "xterm"},
        ) as process:
            os.close(theirs)
            try:
                yield Terminal(ours, process)
            finally:
                process.kill()
                os.close(ours)


def find(name: str, address: str, **environment: str) -> Program:
    """`docker` from PATH (or a skip), `wherry` from beside this interpreter."""
    if name == "wherry":
        path: str | None = str(Path(sys.executable).with_name("wherry"))
    else:
        path = shutil.which(name)
    if path is None or not Path(path).exists():
        pytest.skip(f"{name} is not installed")
    return Program(name, path, address, environment)


def _set_size(fd: int, rows: int, columns: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Terminal:
    """A person at the keyboard."""

    def __init__(self, fd: int, process: "subprocess.Popen[bytes]") -> None:
        self._fd = fd
        self._process = process
        self.heard = b""
        self._read_to = 0

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def expect(self, pattern: str, seconds: float = 30) -> str:
        """Read until `pattern` shows up after what was expected before; answers the match."""
        deadline = time.monotonic() + seconds
        while not (match := re.compile(pattern.encode()).search(self.heard, self._read_to)):
            if not self._hear(deadline - time.monotonic()):
                raise AssertionError(f"{pattern!r} was not heard in {self.heard!r}")
        self._read_to = match.end()
        return match.group().decode()

    def _hear(self, seconds: float) -> bool:
        if seconds <= 0 or not select.select([self._fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # EIO: nobody holds the other end any more
            data = b""
        self.heard += data
        return bool(data)

    def resize(self, rows: int, columns: int) -> None:
        _set_size(self._fd, rows, columns)
        # It has no controlling terminal whose kernel side would do this.
        self._process.send_signal(signal.SIGWINCH)

    def wait(self, seconds: float = 30) -> int:
        """The exit status; what is still said is read meanwhile."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"it does not end; heard {self.heard!r}")
            if not self._hear(0.02):
                time.sleep(0.002)
        while self._hear(0.01):
            pass
        return self._process.returncode
