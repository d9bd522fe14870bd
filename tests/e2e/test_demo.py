"""`make demo`, and its project by the stock CLI and by our own."""

import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import daemons
import hostimages
import pytest
from daemons import Daemon, poll
from programs import Program, find

EXAMPLES = Path(__file__).parents[2] / "examples"
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root and the real kernel"),
    pytest.mark.skipif(not EXAMPLES.exists(), reason="needs the examples"),
    pytest.mark.skipif(PYTHON is None, reason="needs a Python of the system, for the image"),
]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder of a short name: the demo's daemon has its socket below it."""
    with tempfile.TemporaryDirectory(prefix="wherry-", dir="/tmp") as folder:
        yield Path(folder)


def demo(examples: Path, scratch: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, examples / "demo"],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )


def test_the_demo_is_as_it_says(scratch: Path) -> None:
    done = demo(EXAMPLES, scratch)
    assert done.returncode == 0, done
    assert done.stderr == ""
    assert "and 9 steps from the cache" in done.stdout
    assert re.search(r"nothing, after \d+ s\n\Z", done.stdout)
    assert not list(scratch.iterdir())


def test_a_demo_that_fails_says_so_and_leaves_nothing(tmp_path: Path, scratch: Path) -> None:
    examples = tmp_path / "examples"
    shutil.copytree(EXAMPLES, examples)
    dockerfile = examples / "web/Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "USER 0\nRUN exit 3\n")
    # So that it is soon over.
    (examples / "web/index.py").write_text("import sys; open(sys.argv[2], 'w')\n")
    done = demo(examples, scratch)
    assert done.returncode == 1
    assert done.stderr.endswith("web` ended with 1\n"), done
    assert "RUN exit 3" in done.stderr
    assert not list(scratch.iterdir())


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with daemons.running() as daemon:
        base = hostimages.archive("base", str(PYTHON), "sh", "gzip")
        assert daemon.load(base).status == 200
        yield daemon


@pytest.fixture(params=["docker", "wherry"])
def program(request: pytest.FixtureRequest, daemon: Daemon) -> Program:
    if shutil.which(request.param) is None and request.param == "docker":
        pytest.skip("docker is not installed")
    found = find(request.param, f"unix://{daemon.socket}")
    return Program(found.name, found.path, found.address, {"DOCKER_BUILDKIT": "0"})


def test_the_project_is_built_and_served(program: Program) -> None:
    built = program.ok("build", "-q", "-t", "web", str(EXAMPLES / "web"))
    assert built == program.ok("image", "inspect", "-f", "{{.Id}}", "web")
    program.ok(
        "run", "-d", "--name", "web", "--network", "host", "--read-only",
        "-e", "ADDRESS=127.0.0.1:0", "web",
    )  # fmt: skip
    try:
        poll(lambda: "listening" in program.ok("logs", "web"), "the service listens")
        address = program.ok("logs", "web").partition("http://")[2].strip("/\n")
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request("GET", "/?q=temporary")
        assert b"<b>tempfile</b> Temporary files." in connection.getresponse().read()
        connection.close()
        program.ok("stop", "web")
    finally:
        program.ok("rm", "-f", "web")


def test_the_stage_of_tests_runs_them(program: Program) -> None:
    shown = [] if program.name == "docker" else ["--progress", "plain"]
    done = program.run("build", "--no-cache", "--target", "test", *shown, str(EXAMPLES / "web"))
    assert done.code == 0, done
    assert "Ran 3 tests" in done.out + done.err


def test_the_checks_have_nothing_to_say(daemon: Daemon) -> None:
    said = find("wherry", f"unix://{daemon.socket}").ok("build", "--check", str(EXAMPLES / "web"))
    assert said == "Check complete, no warnings found."
