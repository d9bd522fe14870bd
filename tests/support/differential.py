"""Scenarios of the stock command line, and what of their outcomes is the same on every engine."""

import re
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import archives
from daemons import poll
from programs import Program

# --- Outcomes -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a command did, without what differs from run to run and from machine to machine."""

    command: str
    code: int
    out: str
    err: str

    def document(self) -> dict[str, object]:
        return asdict(self)


_UNIT = r"(seconds?|minutes?|hours?|days?|weeks?|months?|years?)"
_NORMALISED = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} \w+", "<time>"),
    (rf"(Less than a second|About an? \w+|\d+ {_UNIT})( ago)?", "<span>"),
    (r"\b[0-9a-f]{64}\b", "<id>"),
    (r"\b[0-9a-f]{12}\b", "<short id>"),
    (r"\b\d+(\.\d+)?[kMG]?B\b", "<size>"),
    (r"0\.01 to \d+\.00, as there are only \d+ CPUs", "0.01 to <CPUs>, as there are only <CPUs>"),
    (r"available: [\d,-]+", "available: <CPUs>"),
    # A table's columns are as wide as what was in them.
    (r" {2,}", "  "),
    (r"-{4,}", "----"),
]


def normalised(text: str, folder: Path) -> str:
    text = text.replace(str(folder), "<folder>")
    for pattern, name in _NORMALISED:
        text = re.sub(pattern, name, text)
    return text


# --- Scenarios ----------------------------------------------------------------------------------

GOLDEN = Path(__file__).parents[1] / "golden"

# Both engines are spoken to in the newest version that both know, and build by themselves.
ENVIRONMENT = {"DOCKER_API_VERSION": "1.41", "DOCKER_BUILDKIT": "0"}


def scenarios() -> dict[str, list[str]]:
    """The lines of each, by name, in the form that the file explains."""
    found: dict[str, list[str]] = {}
    steps: list[str] = []
    for line in (GOLDEN / "scenarios.txt").read_text().splitlines():
        if line.startswith("["):
            steps = found[line.strip("[]")] = []
        elif line:
            steps.append(line)
    return found


def fill(folder: Path) -> None:
    """The archives and files that scenarios speak of."""
    members = {
        "Entrypoint": ["echo", "from"], "Cmd": ["image"], "User": "bob", "WorkingDir": "/tmp",
        "Env": ["PATH=/bin", "HULL=wood"], "Labels": {"of": "image"}, "StopSignal": "SIGINT",
        "ExposedPorts": {"80/tcp": {}},
    }  # fmt: skip
    layers = [archives.busybox_layer()]
    full = archives.image("full:1", **members)
    named = archives.config(layers, Labels={"two": "names"})
    nameless = archives.config(layers, Labels={"no": "name"})
    files = {
        "full.tar": full,
        "full.tar.gz": archives.compressed(full),
        "moved.tar": archives.image("full:1", **members, Hostname="moved"),
        "names.tar": archives.docker_archive(["two:a", "two:b"], layers, named),
        "nameless.tar": archives.docker_archive([], layers, nameless),
        "root.tar": layers[0],
        "text": b"not an archive\n" * 100,
        "env": b"# a comment\nV1=one\nV2=two words\n\nV3=\n",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "shared").mkdir()
    (folder / "shared/file").write_text("shared\n")


# --- Playing ------------------------------------------------------------------------------------


def play(docker: Program, steps: Sequence[str], folder: Path) -> list[Outcome]:
    """Do the steps one after the other; what runs beside them is awaited at the end."""
    outcomes: list[Outcome] = []
    beside: list[tuple[str, subprocess.Popen[bytes]]] = []

    def came(line: str, code: int, out: str, err: str) -> None:
        outcomes.append(Outcome(line, code, normalised(out, folder), normalised(err, folder)))

    with ExitStack() as stack:
        for line in steps:
            text, _, data = line.partition(" <<< ")
            words = _words(docker, text, folder)
            if words[0] == "until":
                poll(lambda words=words: words[2] in docker.run("logs", words[1]).out, line)
            elif words[0] == "&":
                beside.append((line, stack.enter_context(docker.popen(*words[1:]))))
            else:
                stdin = data.replace("\\n", "\n").encode() if data else None
                done = docker.run(*words, stdin=stdin)
                came(line, done.code, done.out, done.err)
        for line, process in beside:
            out, err = process.communicate(timeout=60)
            came(line, process.returncode, out.decode(), err.decode())
    return outcomes


def _words(docker: Program, text: str, folder: Path) -> list[str]:
    words: list[str] = []
    for word in shlex.split(text):
        if word == "@none":
            words += ["--network", "none"]
        elif word.startswith(("@id:", "@short:")):
            kind, _, name = word.partition(":")
            found = docker.ok("inspect", "-f", "{{.Id}}", name)
            words.append(found if kind == "@id" else found[:12])
        else:
            words.append(word.replace("@folder", str(folder)))
    return words


def tidy(docker: Program, steps: Sequence[str]) -> None:
    """Remove what the steps of a scenario have left: it may have been made to fail."""
    if containers := docker.ok("ps", "-aq").split():
        docker.run("rm", "-f", *containers)
    names = docker.ok("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
    for line in names:
        name, identity = line.split()
        if name != "box:latest":
            docker.run("rmi", "-f", identity if "<none>" in name else name)
    if any(line.startswith("build ") for line in steps):
        docker.run("builder", "prune", "-af")
