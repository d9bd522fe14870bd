"""What commands cost by `wherry` and by the stock `docker`, both on the same Wherry daemon.

    benchmarks/bench_cli.py                 # a table
    benchmarks/bench_cli.py --rounds 100

Each command is run by the one and the other by turns, with twenty containers to list; its time is
that from the start of its process to its end, its CPU time that of the process alone, which tells
more on a machine that is busy. Needs root and the stock command line.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from engines import Engine, wherryd
from run import IMAGE, Timer, busybox_archive
from side_by_side import Figures, print_table

CONTAINERS = 20
DOCKERFILE = f"FROM {IMAGE}\nENV A=1\nCOPY file /file\nRUN cat /file\n"


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--markdown", action="store_true", help="print a table for a document")
    options.add_argument("--rounds", type=int, default=20)
    given = options.parse_args()
    docker = shutil.which("docker")
    if os.geteuid() != 0 or docker is None:
        sys.exit(f"{sys.argv[0]}: needs root, and the stock docker command line")
    programs = {"docker": docker, "wherry": f"{Path(sys.executable).parent}/wherry"}
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as folder:
        work = Path(folder)
        with wherryd(work) as engine:
            lines = commands(prepare(engine, work))
            figures: Figures = {}
            for number in range(given.rounds + 1):
                for verb, words in lines.items():
                    for name, program in programs.items():
                        took, cpu = run(engine, program, words)
                        if number:  # the first round is to have everything in memory
                            figures.setdefault((verb, name), []).append(took)
                            figures.setdefault((f"{verb} (CPU)", name), []).append(cpu)
    print_table(figures, given.markdown)


def prepare(engine: Engine, work: Path) -> Path:
    """Something to list, and a folder to build."""
    engine.load(busybox_archive(work))
    for number in range(CONTAINERS):
        engine.cli("create", "--name", f"c{number}", "--network", "none", IMAGE, "true")
    context = work / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "file").write_text("something\n")
    return context


def commands(context: Path) -> dict[str, list[str]]:
    """What is run, by what it is called in the table."""
    return {
        "--version": ["--version"],
        "ps -a": ["ps", "-a"],
        "images": ["images"],
        "run --rm true": ["run", "--rm", "--network", "none", IMAGE, "true"],
        "build, cached": ["build", "-q", "-t", "built", str(context)],
    }


def run(engine: Engine, program: str, words: list[str]) -> tuple[float, float]:
    """Seconds that it took, and seconds of CPU time."""
    address = f"unix://{engine.folder}/sock"
    timer, before = Timer(), os.times()
    done = subprocess.run(
        [program, "-H", address, *words],
        # docker builds by the engine's own builder then, as wherry does.
        env=os.environ | {"DOCKER_BUILDKIT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    took, after = timer.lap(), os.times()
    if done.returncode:
        sys.exit(f"{program} {' '.join(words)}: {done.stderr.decode()}")
    spent = after.children_user + after.children_system
    return took, spent - before.children_user - before.children_system


if __name__ == "__main__":
    main()
