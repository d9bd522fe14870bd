"""Builds and tests a project in several ways at once: by each Python of this host, in each mode.

    sudo .venv/bin/python examples/matrix.py examples/web
    sudo .venv/bin/python examples/matrix.py . --python /usr/bin/python3 --python /opt/python3.14 \\
        --test "-m unittest -v"

A base image is made of each Python. What two builds have in common is built once, also if both
need it at the same time.
"""

import argparse
import asyncio
import itertools
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import wherry

MODES = {
    "plain": {},
    "optimised": {"PYTHONOPTIMIZE": "1"},
    "strict": {"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1"},
}

DOCKERFILE = """
ARG BASE
FROM ${BASE}
ARG PYTHON
WORKDIR /project
COPY . .
RUN ["/bin/sh", "-c", "$PYTHON -m compileall -q ."]
"""


@dataclass
class Cell:
    """One way, and what has become of it."""

    python: str
    mode: str
    passed: bool
    output: str


async def base(engine: wherry.AnyEngine, python: str) -> str:
    """An image of a Python of this host, and a shell."""
    name = f"matrix-{Path(python).name}"
    if await engine.images.exists(name):
        return name
    return await engine.images.from_host(name, [python, "sh"])


async def try_one(
    engine: wherry.AnyEngine, project: Path, python: str, image: str, mode: str, test: list[str]
) -> Cell:
    """Build the project upon a Python, and run its test in a mode."""
    try:
        built = await engine.build(project, text=DOCKERFILE, args={"BASE": image, "PYTHON": python})
    except wherry.BuildFailedError as error:
        return Cell(python, mode, False, "\n".join(error.failure.tail) or error.message)
    container = await engine.run(
        built.image, [python, *test], env=MODES[mode], network="none", memory="256m", pids=64
    )
    async with container:
        passed = await container.wait() == 0
        output = await container.output()
    return Cell(python, mode, passed, (output.stdout + output.stderr).decode("utf-8", "replace"))


async def try_all(
    engine: wherry.AnyEngine, project: Path, pythons: list[str], test: list[str]
) -> list[Cell]:
    images = {python: await base(engine, python) for python in pythons}
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(try_one(engine, project, python, images[python], mode, test))
            for python, mode in itertools.product(pythons, MODES)
        ]
    return [task.result() for task in tasks]


async def main() -> int:
    parser = argparse.ArgumentParser(description="Build and test a project in several ways.")
    parser.add_argument("--root", help="the engine's folder (default: the daemon's)")
    parser.add_argument("--python", action="append", help="may be repeated")
    parser.add_argument("--test", default="-m unittest", help="what Python is given")
    parser.add_argument("project", type=Path)
    given = parser.parse_args()
    pythons = given.python or ["/usr/bin/python3"]
    async with wherry.Engine(given.root) as engine:
        cells = await try_all(engine, given.project, pythons, shlex.split(given.test))
    for cell in cells:
        print(f"{cell.python:<24} {cell.mode:<12} {'passed' if cell.passed else 'FAILED'}")
    for cell in cells:
        if not cell.passed:
            print(f"\n{cell.python}, {cell.mode}:\n{cell.output.rstrip()}")
    return 0 if all(cell.passed for cell in cells) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
