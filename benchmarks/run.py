"""Wherry beside dockerd: the same work on both, by turns, in one run; medians, and their ratio.

    benchmarks/run.py                       # all cases, as a table
    benchmarks/run.py --markdown start log  # those with these words in their names, for a document

Each engine has its own folder below --work. Without dockerd or the docker CLI on this machine,
what needs them is left out. Needs root, and Debian's busybox-static.
"""

import argparse
import functools
import hashlib
import io
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engines import Engine, dockerd, pss, wherryd

IMAGE, BIG = "bench/busybox:latest", "bench/big:latest"
LINES = 200_000
IDLE = 50

Samples = dict[str, float]
Case = Callable[[Engine], Samples]
CASES: dict[str, tuple[Case, int]] = {}


def case(runs: int) -> Callable[[Case], Case]:
    """A case: one call is one sample of one engine, metrics by name. The unit is its last word."""

    def register(function: Case) -> Case:
        CASES[function.__name__] = (function, runs)
        return function

    return register


class Timer:
    """Seconds since it was made, or since the last lap."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        last, self._last = self._last, time.perf_counter()
        return self._last - last

    def lap_ms(self) -> float:
        return self.lap() * 1000


# --- starting ---------------------------------------------------------------------------------


@case(15)
def start_cli_network_none(engine: Engine) -> Samples:
    timer = Timer()
    engine.cli("run", "--rm", "--network", "none", IMAGE, "true")
    return {"docker run --rm --network none, ms": timer.lap_ms()}


@case(15)
def start_cli_network_host(engine: Engine) -> Samples:
    timer = Timer()
    engine.cli("run", "--rm", "--network", "host", IMAGE, "true")
    return {"docker run --rm --network host, ms": timer.lap_ms()}


def create(engine: Engine, *command: str) -> str:
    settings = {"Image": IMAGE, "Cmd": command, "HostConfig": {"NetworkMode": "none"}}
    return engine.client.create_container(settings)["Id"]


@case(25)
def start_api(engine: Engine) -> Samples:
    timer = Timer()
    container = create(engine, "true")
    waiting = engine.client.wait(container, "next-exit")
    engine.client.start(container)
    started = timer.lap_ms()
    waiting.result()
    waiting.close()
    engine.client.remove(container)
    return {
        "API: create and start, ms": started,
        "API: create, start, wait, remove, ms": started + timer.lap_ms(),
    }


@case(5)
def first_ping(engine: Engine) -> Samples:
    """A second daemon of the kind, from execve to its first answer, on an empty data root."""
    with engine.another() as other:
        return {"exec to first /_ping, cold, ms": other.started_in * 1000}


# --- streams ----------------------------------------------------------------------------------


@case(3)
def log_lines(engine: Engine) -> Samples:
    line = 'print "line " i " abcdefghijklmnopqrstuvwxyz 0123456789"'
    program = f"BEGIN {{ for (i = 1; i <= {LINES}; i++) {line} }}"
    timer = Timer()
    container = engine.cli("run", "-d", "--network", "none", IMAGE, "awk", program).strip()
    engine.cli("wait", container)
    written = timer.lap()
    got = engine.cli("logs", container).count("\n")
    read = timer.lap()
    engine.cli("rm", container)
    return {
        f"{LINES} log lines, run -d and wait, s": written,
        f"{LINES} log lines, docker logs, s": read,
        "log lines that came back, %": 100 * got / LINES,
    }


# --- memory -----------------------------------------------------------------------------------


@case(2)
def memory_idle_containers(engine: Engine) -> Samples:
    before = pss(engine.processes([]))
    containers = [create(engine, "sleep", "1000") for _ in range(IDLE)]
    try:
        for container in containers:
            engine.client.start(container)
        inits = [engine.client.inspect(one)["State"]["Pid"] for one in containers]
        after = pss(engine.processes(inits))
    finally:
        for container in containers:
            engine.client.remove(container, force=True)
    return {f"memory added by each of {IDLE} idle containers, MB": (after - before) / IDLE}


@case(3)
def memory_idle_daemon(engine: Engine) -> Samples:
    with engine.another() as other:
        time.sleep(2)  # let it come to rest
        return {"daemon and its helpers, idle, MB": pss(other.processes([]))}


# --- images -----------------------------------------------------------------------------------


@case(3)
def image_load_and_remove(engine: Engine) -> Samples:
    archive = big_archive(engine.work)
    os.sync()
    timer = Timer()
    engine.cli("load", "-q", "-i", str(archive))
    loaded = timer.lap()
    os.sync()
    timer = Timer()
    engine.cli("rmi", BIG)
    return {
        "docker load, 300 MB in 20,000 files, s": loaded,
        "docker rmi of it, s": timer.lap(),
    }


def add(archive: tarfile.TarFile, name: str, data: bytes, **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(data))


def write_archive(path: Path, name: str, layers: list[bytes]) -> None:
    """A docker-archive of one image, its layers uncompressed."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "amd64")
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": digests},
    }
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    listing = [{"Config": "config.json", "RepoTags": [name], "Layers": names}]
    with tarfile.open(path, "w") as archive:
        for member, layer in zip(names, layers, strict=True):
            add(archive, member, layer)
        add(archive, "config.json", json.dumps(config).encode())
        add(archive, "manifest.json", json.dumps(listing).encode())


def busybox_archive(work: Path) -> Path:
    """One static busybox, and a link for each of its applets."""
    busybox = shutil.which("busybox")
    if busybox is None:
        sys.exit("run.py: needs busybox (Debian's busybox-static)")
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        add(tar, "bin", b"", type=tarfile.DIRTYPE, mode=0o755)
        add(tar, "bin/busybox", Path(busybox).read_bytes(), mode=0o755)
        for applet in set(listed.stdout.split()) - {"busybox"}:
            add(tar, f"bin/{applet}", b"", type=tarfile.SYMTYPE, linkname="busybox")
    path = work / "busybox.tar"
    write_archive(path, IMAGE, [layer.getvalue()])
    return path


@functools.cache
def big_archive(work: Path) -> Path:
    """20,000 files of text, 5 KB on average, and 20 of 10 MB whose half does not compress."""
    dice = random.Random(1)
    text = b" ".join(b"%x" % dice.getrandbits(24) for _ in range(200_000))
    layers = []
    for first, last in ((0, 8000), (8000, 20000), (20000, 20020)):
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            for number in range(first, last):
                start = dice.randrange(len(text) // 2)
                data = text[start : start + dice.randint(1000, 9000)]
                if number >= 20000:
                    data = (dice.randbytes(5 << 20) + text * 4)[: 10 << 20]
                add(tar, f"data/{number // 200}/{number}", data)
        layers.append(layer.getvalue())
    path = work / "big.tar"
    write_archive(path, BIG, layers)
    return path


# --- the run ----------------------------------------------------------------------------------


def measure(name: str, engines: list[Engine], runs: int | None) -> Iterator[tuple[str, list[str]]]:
    """A row for each metric: its name, the engines' medians, their ratio."""
    function, usual = CASES[name]
    samples: list[list[Samples]] = [[] for _ in engines]
    for _ in range(runs or usual):
        for engine, taken in zip(engines, samples, strict=True):
            taken.append(function(engine))
    for metric in samples[0][0]:
        medians = [statistics.median(sample[metric] for sample in taken) for taken in samples]
        cells = [f"{median:.3g}" if median < 100 else f"{median:.0f}" for median in medians]
        ratio = f"{medians[0] / medians[-1]:.1f}" if len(medians) > 1 and medians[-1] else ""
        yield metric, [*cells, ratio]


def print_row(cells: list[str], markdown: bool) -> None:
    widths = [46, *(24 for _ in cells[1:-1]), 6]
    padded = [
        cell.ljust(width) if place == 0 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    print(f"| {' | '.join(padded)} |" if markdown else " ".join(padded), flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("words", nargs="*", help="of the cases' names; all cases by default")
    options.add_argument("--markdown", action="store_true", help="print a table for a document")
    options.add_argument("--runs", type=int, help="samples of each case, in place of its own")
    options.add_argument("--work", type=Path, help="where the engines' folders go")
    given = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("run.py: starting engines needs root")
    chosen = [name for name in CASES if any(word in name for word in given.words or [""])]
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir=given.work) as folder:
        work = Path(folder)
        archive = busybox_archive(work)
        with dockerd(work) as docker, wherryd(work) as wherry:
            engines = [engine for engine in (docker, wherry) if engine]
            for engine in engines:
                engine.load(archive)
            names = [f"{engine.name} {engine.version}" for engine in engines]
            cpu = f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
            print(f"Linux {platform.release()}, {platform.machine()}, {cpu}\n")
            print_row(["median", *names, "ratio"], given.markdown)
            if given.markdown:
                print_row(["---", *("---:" for _ in names), "---:"], markdown=True)
            for name in chosen:
                for metric, cells in measure(name, engines, given.runs):
                    print_row([metric, *cells], given.markdown)


if __name__ == "__main__":
    main()
