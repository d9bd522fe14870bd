"""A tiny job runner: commands in containers, so many at once, each after those that it needs.

    sudo .venv/bin/python examples/jobs.py jobs.toml

    image = "busybox"

    [jobs.fetch]
    command = ["sh", "-c", "echo 3 1 2 > /results/numbers"]

    [jobs.sort]
    needs = ["fetch"]
    command = ["sh", "-c", "tr ' ' '\\\\n' < /results/numbers | sort"]
    memory = "32m"
    seconds = 10

All jobs share the folder /results. What fails takes those with it that need it. Ctrl-C stops all.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import wherry


@dataclass
class Job:
    command: list[str]
    image: str = ""
    needs: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    memory: str = "256m"
    seconds: float = 3600


class Runner:
    """Runs jobs, each in a task that waits for the tasks of those that it needs."""

    def __init__(
        self, engine: wherry.AnyEngine, jobs: Mapping[str, Job], results: Path, at_once: int
    ) -> None:
        self._engine = engine
        self._jobs = jobs
        self._results = results
        self._room = asyncio.Semaphore(at_once)
        self._tasks: dict[str, asyncio.Task[bool]] = {}

    async def run(self) -> dict[str, bool]:
        """Whether each has succeeded."""
        for name in self._in_order():
            self._tasks[name] = asyncio.create_task(self._see_to(name))
        try:
            await asyncio.gather(*self._tasks.values())
        finally:
            for task in self._tasks.values():
                task.cancel()
        return {name: task.result() for name, task in self._tasks.items()}

    def _in_order(self) -> list[str]:
        """Each after those that it needs. Raises ValueError for what nobody can do."""
        order: list[str] = []

        def visit(name: str, way: tuple[str, ...]) -> None:
            if name in way or name not in self._jobs:
                raise ValueError(f"{' needs '.join((*way, name))}: there is no such order")
            for needed in self._jobs[name].needs:
                visit(needed, (*way, name))
            if name not in order:
                order.append(name)

        for name in self._jobs:
            visit(name, ())
        return order

    async def _see_to(self, name: str) -> bool:
        job = self._jobs[name]
        if not all(await asyncio.gather(*(self._tasks[needed] for needed in job.needs))):
            print(f"{name}: not run", flush=True)
            return False
        async with self._room:
            return await self._run(name, job)

    async def _run(self, name: str, job: Job) -> bool:
        container = await self._engine.run(
            job.image,
            job.command,
            env={**job.env, "JOB": name},
            binds={"/results": self._results},
            network="none",
            memory=job.memory,
            labels={"job": name},
        )
        async with container:
            try:
                async with asyncio.timeout(job.seconds):
                    async for line in container.logs():
                        print(f"{name}: {line}", flush=True)
                    code = await container.wait()
            except TimeoutError:
                print(f"{name}: stopped after {job.seconds:g} seconds", flush=True)
                return False
        if code != 0:
            print(f"{name}: failed with status {code}", flush=True)
        return code == 0


def read_jobs(path: Path) -> dict[str, Job]:
    document = tomllib.loads(path.read_text())
    return {
        name: Job(**{"image": document.get("image", ""), **table})
        for name, table in document["jobs"].items()
    }


async def main() -> int:
    parser = argparse.ArgumentParser(description="Run jobs in containers.")
    parser.add_argument("--root", help="the engine's folder (default: the daemon's)")
    parser.add_argument("--load", help="an archive with images to load first")
    parser.add_argument("--results", type=Path, help="the folder that the jobs share")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1)
    parser.add_argument("jobs", type=Path)
    given = parser.parse_args()
    results = given.results or Path(tempfile.mkdtemp(prefix="results-"))
    async with wherry.Engine(given.root, stop_timeout=2) as engine:
        if given.load:
            await engine.images.load(given.load)
        done = await Runner(engine, read_jobs(given.jobs), results, given.at_once).run()
    print(f"{sum(done.values())} of {len(done)} jobs have succeeded; results are in {results}")
    return 0 if all(done.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        sys.exit(130)
