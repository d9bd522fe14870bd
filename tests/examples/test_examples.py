"""The examples do what they say."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import archives
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PYTHON = Path("/usr/bin/python3")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root and the real kernel"),
    pytest.mark.skipif(not EXAMPLES.exists(), reason="needs the examples"),
]
needs_python = pytest.mark.skipif(not PYTHON.exists(), reason="needs a Python of the system")


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    """One for all, so that images are made once."""
    with tempfile.TemporaryDirectory(prefix="wherry-examples-") as folder:
        yield folder


def command(name: str, root: str, *words: str | Path) -> list[str | Path]:
    return [sys.executable, EXAMPLES / name, "--root", root, *words]


def run(name: str, root: str, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(name, root, *words), capture_output=True, text=True, timeout=100)


SOURCE = """
import socket, threading, time

def double(value):
    print("talking")
    return {"twice": value * 2}

def eat():
    return len(bytearray(1 << 30))

def spin():
    while True:
        pass

def many():
    for _ in range(100):
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()

def write():
    open("/file", "w")

def call_home():
    socket.create_connection(("127.0.0.1", 80))

def fail():
    raise ValueError("on purpose")
"""


@needs_python
@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (["double", "21"], 0, '{"twice": 42}\n', ""),
        (["double", '"ab"'], 0, '{"twice": "abab"}\n', ""),
        (["eat"], 1, "", "it needed more than 64m of memory\n"),
        (["--seconds", "1", "spin"], 1, "", "it took more than 1 seconds\n"),
        (["many"], 1, "", "RuntimeError: can't start new thread\n"),
        (["write"], 1, "", "OSError: [Errno 30] Read-only file system: '/file'\n"),
        (["call_home"], 1, "", "ConnectionRefusedError: [Errno 111] Connection refused\n"),
        (["fail"], 1, "", "ValueError: on purpose\n"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_sandbox(
    root: str, tmp_path: Path, words: list[str], code: int, out: str, err: str
) -> None:
    (tmp_path / "source.py").write_text(SOURCE)
    options = words[:-1] if words[0].startswith("--") else []
    done = run("sandbox.py", root, *options, tmp_path / "source.py", *words[len(options) :])
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)


@needs_python
def test_matrix(root: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import unittest\n"
        "class Tests(unittest.TestCase):\n"
        "    def test_asserts(self):\n"
        "        with self.assertRaises(AssertionError):\n"
        "            assert False\n"
    )
    done = run("matrix.py", root, tmp_path)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[:3] == [
        ["/usr/bin/python3", "plain", "passed"],
        ["/usr/bin/python3", "optimised", "FAILED"],
        ["/usr/bin/python3", "strict", "passed"],
    ], done.stderr
    assert "AssertionError not raised" in done.stdout
    assert done.returncode == 1
    (tmp_path / "test_it.py").write_text("def\n")
    done = run("matrix.py", root, tmp_path)
    assert done.stdout.count("FAILED") == 3
    assert "SyntaxError" in done.stdout


JOBS = """
image = "box"

[jobs.fetch]
command = ["sh", "-c", "echo 3 1 2 > /results/numbers"]

[jobs.sort]
needs = ["fetch"]
command = ["sh", "-c", "tr ' ' '\\\\n' < /results/numbers | sort"]
memory = "32m"

[jobs.bad]
command = ["sh", "-c", "exit 4"]

[jobs.after]
needs = ["bad"]
command = ["true"]

[jobs.slow]
command = ["sleep", "1000"]
seconds = 0.1
"""


@pytest.fixture(scope="module")
def box(root: str) -> Path:
    path = Path(root) / "box.tar"
    path.write_bytes(archives.image("box:latest"))
    return path


def test_jobs(root: str, box: Path, tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text(JOBS)
    done = run(
        "jobs.py", root, "--load", box, "--results", tmp_path, "--at-once", "2",
        tmp_path / "jobs.toml",
    )  # fmt: skip
    said = done.stdout.splitlines()
    assert [line for line in said if line.startswith("sort")] == ["sort: 1", "sort: 2", "sort: 3"]
    assert "bad: failed with status 4" in said
    assert "after: not run" in said
    assert "slow: stopped after 0.1 seconds" in said
    assert said[-1].startswith("2 of 5 jobs have succeeded")
    assert done.returncode == 1
    assert (tmp_path / "numbers").read_text() == "3 1 2\n"


def test_jobs_are_interrupted(root: str, box: Path, tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text(
        'image = "box"\n[jobs.long]\ncommand = ["sh", "-c", "echo begun; sleep 1000"]\n'
    )
    words = command("jobs.py", root, "--load", box, tmp_path / "jobs.toml")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "long: begun\n"
        program.send_signal(signal.SIGINT)
        assert program.wait(60) == 130


def test_jobs_that_need_each_other(root: str, tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text(
        '[jobs.a]\ncommand = []\nneeds = ["b"]\n[jobs.b]\ncommand = []\nneeds = ["a"]\n'
    )
    done = run("jobs.py", root, tmp_path / "jobs.toml")
    assert "a needs b needs a" in done.stderr
