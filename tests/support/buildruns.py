"""Ways to have a Dockerfile built: by a command line, or by the request that all clients send."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import buildcases
import buildimages
import buildoutcomes
from buildcases import Case
from buildoutcomes import Outcome
from daemons import UnixConnection
from programs import Program

_TAG = "built"


@contextlib.contextmanager
def _connection(socket: Path) -> Iterator[UnixConnection]:
    with contextlib.closing(UnixConnection(socket)) as connection:
        yield connection


def load_images(socket: Path) -> None:
    """The images that cases build upon."""
    for archive in buildimages.images().values():
        with _connection(socket) as connection:
            headers = {"Content-Type": "application/x-tar"}
            connection.request("POST", "/images/load?quiet=1", archive, headers)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            response.read()


def _saved(socket: Path) -> Outcome:
    with _connection(socket) as connection:
        connection.request("GET", f"/images/{_TAG}/get")
        response = connection.getresponse()
        archive = response.read()
    with _connection(socket) as connection:
        connection.request("DELETE", f"/images/{_TAG}?force=1")
        connection.getresponse().read()
    if response.status != 200:
        return buildoutcomes.refused(str(json.loads(archive)["message"]))
    return buildoutcomes.of_archive(archive)


# --- By a request ---------------------------------------------------------------------------------

_QUERY = {
    "--target": "target",
    "--platform": "platform",
    "--file": "dockerfile",
    "--network": "networkmode",
    "--shm-size": "shmsize",
    "--add-host": "extrahosts",
}


def by_request(socket: Path, case: Case) -> Outcome:
    """POST /build with the context as a tar, whole."""
    with _connection(socket) as connection:
        headers = {"Content-Type": "application/x-tar"}
        context = buildcases.context_tar(case)
        connection.request("POST", f"/build?{_query(case)}", context, headers)
        response = connection.getresponse()
        said = response.read().decode()
    if response.status != 200:
        return buildoutcomes.refused(str(json.loads(said)["message"]))
    messages = [json.loads(line) for line in said.splitlines() if line.strip()]
    for message in messages:
        if "error" in message:
            assert message is messages[-1], messages
            return buildoutcomes.refused(str(message["error"]))
    return _saved(socket)


def _query(case: Case) -> str:
    """A case's flags as the parameters that the stock command line makes of them."""
    query: dict[str, Any] = {"t": _TAG, "networkmode": "none", "rm": "1"}
    arguments: dict[str, str | None] = {}
    labels: dict[str, str] = {}
    for flag in case.flags:
        name, _, value = flag.partition("=")
        if name == "--build-arg":
            key, equals, text = value.partition("=")
            arguments[key] = text if equals else None
        elif name == "--label":
            key, _, labels[key] = value.partition("=")
        else:
            query[_QUERY[name]] = value
    return urlencode({**query, "buildargs": json.dumps(arguments), "labels": json.dumps(labels)})


# --- By a command line ----------------------------------------------------------------------------


def by_program(program: Program, socket: Path, case: Case, folder: Path) -> Outcome:
    """`build` of the context in the empty `folder`."""
    buildcases.write_context(case, folder)
    flags = [
        flag.replace("@folder", str(folder)).replace("--file=", f"--file={folder}/")
        for flag in case.flags
    ]
    if not any(flag.startswith("--network") for flag in flags):
        flags.append("--network=none")
    if not any(flag.startswith("--file") for flag in flags):
        flags.append(f"--file={folder}/Dockerfile")
    done = program.run("build", "-q", "-t", _TAG, *flags, str(folder))
    if done.code != 0:
        # BuildKit tells the whole story first.
        said = done.err.strip()
        return buildoutcomes.refused(said.rpartition("\n")[2] if program.environment else said)
    return _saved(socket)


def with_buildkit(docker: Program) -> Program:
    """The first stock command line that has BuildKit's client in it; since 23 it is a plugin.

    Raises FileNotFoundError if there is none.
    """
    for folder in ("/usr/bin", "/usr/local/bin"):
        path = Path(folder, "docker")
        if path.exists():
            said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
            if int(said.removeprefix("Docker version ").partition(".")[0]) < 23:
                return Program("docker", str(path), docker.address, {"DOCKER_BUILDKIT": "1"})
    raise FileNotFoundError("there is no docker command line with BuildKit in it (20.10 has)")
