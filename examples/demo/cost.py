"""What a container costs: time until its program has run, and memory while it waits."""

import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from engine import Engine

RUNS = 10
IDLE = 5


def start_times(engine: Engine, image: str) -> dict[str, float]:
    """Medians in milliseconds of running `true` to its end, taken by turns."""
    true = shutil.which("true") or "/bin/true"
    plain = engine.client

    def by_api() -> None:
        settings = {"Image": image, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
        container = plain.create_container(settings)["Id"]
        waiting = plain.wait(container, "next-exit")
        plain.start(container)
        waiting.result()
        waiting.close()
        plain.remove(container)

    ways: dict[str, Callable[[], object]] = {
        "as a plain subprocess": lambda: subprocess.run([true], check=True),
        "in one, by the API": by_api,
        "in one, by `wherry run --rm`": lambda: engine.run(
            "run", "--rm", "--network=none", image, "true"
        ),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(RUNS):
        for way, act in ways.items():
            begin = time.perf_counter()
            act()
            taken[way].append((time.perf_counter() - begin) * 1000)
    return {way: statistics.median(times) for way, times in taken.items()}


def memory(engine: Engine, image: str) -> dict[str, float]:
    """Megabytes (PSS: shared pages divided among those who share them) with idle containers."""
    for _ in range(IDLE):
        engine.run("run", "-d", "--network=none", image, "sleep", "600")
    records = Path(engine.folder, "run/containers").glob("*/pid")
    shims = [json.loads(record.read_bytes())["shim"]["pid"] for record in records]
    launcher = _children(engine.pid)[0]
    time.sleep(0.5)  # it makes itself ready again behind the last start
    spare = [pid for pid in _children(launcher) if pid not in shims]
    spare += [child for pid in spare for child in _children(pid)]
    return {
        "the daemon": _pss(engine.pid),
        "its launcher": _pss(launcher),
        "what it has ready for the next start": sum(map(_pss, spare)),
        f"a container's shim, mean of {IDLE}": statistics.mean(map(_pss, shims)),
    }


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _pss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
