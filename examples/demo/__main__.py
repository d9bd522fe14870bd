"""`make demo`: a web service is built, run, changed and built again, by an engine that lasts as
long as the demo.

Everything is in a temporary folder and a cgroup of the demo's own, and goes with its end. The demo
ends with an error if anything is not as it says.
"""

import io
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cost
from project import Project
from report import claim, command, heading, say, table

from engine import Engine
from wherry import __version__
from wherry.errdefs import EngineError

HERE = Path(__file__).parent
# The system's own where there is one: a private one may lie where only root may look.
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or str(
    Path(sys.executable).resolve().with_name("python3")
)
PROGRAMS = [PYTHON, "sh", "gzip", "sleep", "true"]
BASE = "base"
LIMITS = ["--memory=64m", "--pids-limit=20", "--cpus=0.5", "--read-only"]
AS_ROOT = ["--user=0:0"] if PYTHON.startswith("/root/") else []
ALONE = ["run", "--rm", "-i", "--network=none", "--hostname=wherry", *AS_ROOT, *LIMITS]

INDEX = "RUN --mount=type=cache"
CHANGES = {
    "server.py": ("The standard library, searched", "What Python has for you"),
    "index.py": ('"class")', '"class", "function")'),
}


def make_base(engine: Engine) -> None:
    heading("A base image: programs of this host, with all that they need")
    names = [Path(program).name for program in PROGRAMS]
    command("wherry", "image", "from-host", "-t", BASE, *names)
    begin = time.perf_counter()
    engine.run("image", "from-host", "-q", "-t", BASE, *PROGRAMS)
    made = time.perf_counter() - begin
    size = engine.run("images", "--format", "{{.Size}}", BASE).strip()
    say(f"{size}, found, packed and loaded in {made:.1f} s")


def first_build(project: Project) -> str:
    heading("examples/web, built: stages side by side, and what a cache mount is given")
    build = project.build()
    claim(len(build.anew) == 10, "of the stages those are built that are needed")
    claim(not build.cached, "nothing of the first build comes from a cache")
    heading("... and run, on a free port of the loopback")
    page = project.serve(*AS_ROOT)
    claim(CHANGES["server.py"][0] in page, "the page has its title")
    claim(_found(page), "the page has found something")
    return page


def change_the_page(project: Project, before: str) -> str:
    heading("A change of the service")
    project.change("server.py", *CHANGES["server.py"])
    build = project.build()
    claim(build.anew == ["COPY server.py ."], "only what copies server.py is done anew")
    say("Each step's key is made of what it depends on, files by their content.")
    page = project.serve(*AS_ROOT)
    claim(CHANGES["server.py"][1] in page, "the page has its new title")
    claim(_found(page) == _found(before), "the page has found the same")
    return page


def change_the_index(project: Project, before: str) -> None:
    heading("A change of what an early stage does: the index is to hold functions as well")
    project.change("index.py", *CHANGES["index.py"])
    build = project.build()
    anew = ["COPY index.py .", INDEX, "COPY --from=index /index.db .", "COPY server.py ."]
    claim(
        all(any(name.startswith(one) for one in anew) for name in build.anew),
        "only what index.py and the index are in is done anew",
    )
    say(f"The RUN said: {build.output.strip()}.")
    claim("static" not in " ".join(build.anew), "the other stage stays as it is")
    claim(" read" not in build.output, "the cache mount has every module")
    page = project.serve(*AS_ROOT)
    claim(_found(page) > _found(before), "the page finds more than before")


def _found(page: str) -> int:
    return int(page.splitlines()[1].split()[0])


def show_layers(engine: Engine) -> None:
    heading("Its layers")
    words = ["history", "--format", "table {{.Size}}\\t{{.CreatedBy}}", "web"]
    command("wherry", *words)
    said = engine.run(*words)
    claim("COPY server.py ." in said and "image from-host" in said, "the history has every step")
    for line in said.splitlines():
        print(f"  {line}")


def look(engine: Engine) -> None:
    heading("It is alone: what the same program sees on the host and in a container")
    outside = subprocess.run([PYTHON, HERE / "look.py"], capture_output=True, check=True)
    command("wherry", *ALONE, "web", "python3", "-", "<", "look.py")
    inside = json.loads(engine.run(*ALONE, "web", "python3", "-", stdin=HERE / "look.py"))
    rows = [(what, seen, inside[what]) for what, seen in json.loads(outside.stdout).items()]
    table([("", "host", "container"), *rows])
    claim(inside["process ID"] == inside["processes"] == "1", "it sees no process but itself")
    claim(inside["network"] == "lo", "it has no network")
    claim(inside["system calls"] == "filtered", "its system calls are filtered")


def overreach(engine: Engine) -> None:
    heading("It has limits: what it gets, run like that, when it reaches for more")
    said = engine.run(*ALONE, "web", "python3", "-", stdin=HERE / "overreach.py")
    results = json.loads(said)
    table((what, result) for what, result, _ in results)
    for what, result, held_back in results:
        claim(held_back, f"it is held back from: {what} ({result})")


def costs(engine: Engine) -> None:
    heading("What a container costs")
    times = cost.start_times(engine, BASE)
    rows = [(f"`true` {way}, median", f"{ms:6.1f} ms") for way, ms in times.items()]
    memory = cost.memory(engine, BASE)
    table([*rows, *((f"memory of {who}", f"{mb:6.1f} MB") for who, mb in memory.items())])


def main() -> int:
    if os.geteuid() != 0:
        print("demo: making containers needs root; try `sudo make demo`", file=sys.stderr)
        return 1
    begin = time.monotonic()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    kernel = os.uname()
    print(f"Wherry {__version__}, Python {platform.python_version()}, ", end="")
    print(f"Linux {kernel.release} on {kernel.machine}")
    with Engine() as engine:
        print(f"a daemon of the demo's own, process {engine.pid}, in {engine.folder}")
        try:
            make_base(engine)
            project = Project(engine)
            page = first_build(project)
            page = change_the_page(project, page)
            change_the_index(project, page)
            for act in (show_layers, look, overreach, costs):
                act(engine)
        except (EngineError, OSError, subprocess.CalledProcessError) as error:
            sys.exit(f"demo: {error}")
        except KeyboardInterrupt:
            return 130
    heading("What is left of it")
    left = engine.left_behind()
    print(f"  {', '.join(left) or 'nothing'}, after {time.monotonic() - begin:.0f} s")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
