"""`make demo`: programs of this host in a container of an engine that lasts as long as the demo.

Everything is in a temporary folder and a cgroup of the demo's own, and goes with its end.
"""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path

import cost

from engine import Engine
from wherry import __version__

HERE = Path(__file__).parent
# The system's own where there is one: a private one may lie where only root may look.
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or os.path.realpath(sys.executable)
PROGRAMS = [PYTHON, "sh", "seq", "gzip", "sha256sum", "stat", "sleep", "true"]
IMAGE = "demo"
LIMITS = ["--memory=64m", "--pids-limit=20", "--cpus=0.5", "--read-only", "--tmpfs=/tmp"]
USER = "0:0" if PYTHON.startswith("/root/") else "1000:1000"
RUN = ["run", "--rm", "-i", "--network=none", "--hostname=wherry", f"--user={USER}"]


def heading(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{text}{plain}\n")


def show(*words: str, script: str = "") -> None:
    """The command that a user would type."""
    command = f"$ wherry {shlex.join(words)}{f' < {script}' if script else ''}"
    lines = textwrap.wrap(command, 90, break_long_words=False, break_on_hyphens=False)
    print("  " + " \\\n      ".join(lines), end="\n\n")


def table(rows: Iterable[tuple[str, ...]]) -> None:
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print(f"  {'   '.join(cells).rstrip()}", flush=True)


def make_image(engine: Engine) -> None:
    heading("An image of this host's programs")
    names = " ".join(Path(program).name for program in PROGRAMS)
    print(f"  $ host_image.py {IMAGE} {names} > {IMAGE}.tar")
    archive = engine.folder / f"{IMAGE}.tar"
    begin = time.perf_counter()
    with archive.open("wb") as out:
        tool = HERE.parent / "host_image.py"
        subprocess.run([sys.executable, tool, IMAGE, *PROGRAMS], stdout=out, check=True)
    made = time.perf_counter() - begin
    show("load", "-i", f"{IMAGE}.tar")
    begin = time.perf_counter()
    print(f"  {engine.run('load', '-q', '-i', str(archive)).strip()}")
    loaded = time.perf_counter() - begin
    size = archive.stat().st_size / 1e6
    print(f"  {size:.0f} MB: made in {made:.1f} s, loaded in {loaded:.1f} s", flush=True)


def run_script(engine: Engine, options: list[str], program: list[str], script: str) -> str:
    show(*RUN, *options, IMAGE, *(Path(word).name for word in program), script=script)
    return engine.run(*RUN, *options, IMAGE, *program, stdin=HERE / script)


def work(engine: Engine) -> None:
    heading("It does work")
    for line in run_script(engine, LIMITS, ["sh"], "work.sh").splitlines():
        print(f"  {line}", flush=True)


def look(engine: Engine) -> None:
    heading("It is alone: what the same program sees on the host and in a container")
    outside = subprocess.run([PYTHON, HERE / "look.py"], capture_output=True, check=True)
    inside = json.loads(run_script(engine, LIMITS, [PYTHON, "-"], "look.py"))
    rows = [(what, seen, inside[what]) for what, seen in json.loads(outside.stdout).items()]
    table([("", "host", "container"), *rows])


def overreach(engine: Engine) -> None:
    heading("It has limits: what it gets that reaches for more")
    print(f"  allowed: {' '.join(LIMITS)}\n")
    table(json.loads(run_script(engine, LIMITS, [PYTHON, "-"], "overreach.py")))


def costs(engine: Engine) -> None:
    heading("What it costs")
    table([("time to run `true` to its end, median", "")])
    times = cost.start_times(engine, IMAGE)
    table((f"  {way}", f"{ms:6.1f} ms") for way, ms in times.items())
    print()
    table([("memory while nothing happens", "")])
    table((f"  {who}", f"{mb:6.1f} MB") for who, mb in cost.memory(engine, IMAGE).items())


def main() -> int:
    if os.geteuid() != 0:
        print("demo: making containers needs root; try `sudo make demo`", file=sys.stderr)
        return 1
    begin = time.monotonic()
    kernel = os.uname()
    print(f"Wherry {__version__}, Python {platform.python_version()}, ", end="")
    print(f"Linux {kernel.release} on {kernel.machine}")
    with Engine() as engine:
        print(f"a daemon of the demo's own, process {engine.pid}, in {engine.folder}")
        for act in (make_image, work, look, overreach, costs):
            act(engine)
    heading("What is left of it")
    left = engine.left_behind()
    print(f"  {', '.join(left) or 'nothing'}, after {time.monotonic() - begin:.0f} s")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
