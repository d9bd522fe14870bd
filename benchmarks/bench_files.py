"""What a container's creation and an image's removal cost as the image's files become more.

    benchmarks/bench_files.py                                  # a table
    benchmarks/bench_files.py --svg docs/images/files.svg      # and the picture of it

Images of 1,000, 10,000 and 100,000 files, in wherryd and in dockerd by turns, over the API. The
least of several rounds counts, as others use the machine: up to nine, as many as fit into a time. A
removal is measured twice: until it is answered, and until the disk is free, which is the same for
dockerd. Needs root.
"""

import argparse
import io
import math
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engines import Engine, dockerd, wherryd
from run import add, print_row, write_archive

COUNTS = (1_000, 10_000, 100_000)
CREATIONS = 10
ROUNDS = 9
IMAGE = "bench/files:latest"

CREATE, REMOVE, FREE = "create and rm, ms", "rmi, ms", "rmi, until the disk is free, ms"
COLOURS = {"wherryd": "#0a7d4f", "dockerd": "#b3541e"}

Figures = dict[tuple[str, str, int], float]
"""Milliseconds by metric, engine and number of files."""


def archive(work: Path, count: int) -> Path:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for number in range(count):
            add(tar, f"usr/share/part{number // 100}/file{number}", b"%d" % number * 20)
    path = work / f"{count}.tar"
    write_archive(path, IMAGE, [layer.getvalue()])
    return path


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def container(engine: Engine) -> None:
    settings = {"Image": IMAGE, "Cmd": ["x"], "HostConfig": {"NetworkMode": "none"}}
    engine.client.remove(engine.client.create_container(settings)["Id"])


def wait_until_free(engine: Engine) -> None:
    while any(engine.folder.glob("data/snapshots/*/trash/*")):
        time.sleep(0.0005)


def one_round(engine: Engine, path: Path) -> Iterator[tuple[str, float]]:
    engine.load(path)
    os.sync()
    yield CREATE, min(milliseconds(lambda: container(engine)) for _ in range(CREATIONS))
    os.sync()
    answered = milliseconds(lambda: engine.client.remove_image(IMAGE))
    yield REMOVE, answered
    yield FREE, answered + milliseconds(lambda: wait_until_free(engine))


def measure(engines: list[Engine], work: Path, seconds: float) -> Figures:
    figures: Figures = {}
    for count in COUNTS:
        path = archive(work, count)
        spent = dict.fromkeys(engines, 0.0)
        for engine in engines * ROUNDS:
            if spent[engine] > seconds:
                continue
            began = time.perf_counter()
            for metric, value in one_round(engine, path):
                key = (metric, engine.name, count)
                figures[key] = min(value, figures.get(key, value))
            spent[engine] += time.perf_counter() - began
        path.unlink()
    return figures


def print_table(figures: Figures, markdown: bool) -> None:
    print_row(["files in the image", *(f"{count:,}" for count in COUNTS), "last/first"], markdown)
    if markdown:
        print_row(["---", *("---:" for _ in COUNTS), "---:"], markdown)
    for metric, engine in sorted({(metric, engine) for metric, engine, _ in figures}):
        row = [figures[metric, engine, count] for count in COUNTS]
        cells = [f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in row]
        print_row([f"{engine}: {metric}", *cells, f"{row[-1] / row[0]:.1f}"], markdown)


# --- the picture --------------------------------------------------------------------------------

FONT = 'font-family="sans-serif" font-size="13" fill="#333"'
WIDTH, HEIGHT = 760, 330
PANEL, LEFT, TOP, BOTTOM = 270, 70, 56, 270
DECADES = range(6)  # 1 ms to 100 s


def svg(figures: Figures) -> str:
    """Two panels, both axes logarithmic: on a level line cost does not grow with files."""
    panels = [
        (LEFT, "docker create and docker rm", CREATE),
        (LEFT + PANEL + 90, "docker rmi", REMOVE),
    ]
    engines = sorted({engine for _, engine, _ in figures}, reverse=True)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for left, title, metric in panels:
        parts += axes(left, title)
        for engine in engines:
            parts += line([figures[metric, engine, count] for count in COUNTS], left, engine)
    parts.append("</svg>\n")
    return "\n".join(parts)


def axes(left: int, title: str) -> Iterator[str]:
    yield text(left + PANEL / 2, 24, title, "middle", 'font-size="15" font-weight="bold"')
    for decade in DECADES:
        at = down(10.0**decade)
        yield (f'<line x1="{left}" y1="{at:.1f}" x2="{left + PANEL}" y2="{at:.1f}" stroke="#ddd"/>')
        yield text(
            left - 8, at + 4, f"{10**decade // 1000} s" if decade > 2 else f"{10**decade} ms"
        )
    for count in COUNTS:
        yield text(across(count, left), BOTTOM + 20, f"{count:,}", "middle")
    yield text(left + PANEL / 2, BOTTOM + 42, "files in the image", "middle")


def line(values: list[float], left: int, engine: str) -> Iterator[str]:
    colour = COLOURS[engine]
    points = [
        (across(count, left), down(value)) for count, value in zip(COUNTS, values, strict=True)
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
    for (x, y), value in zip(points, values, strict=True):
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
        shown = f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.2g} ms"
        shown = f"{value:.0f} ms" if 100 <= value < 1000 else shown
        yield text(x, y - 10, shown, "middle", f'fill="{colour}" font-size="11"')
    x, y = points[-1]
    yield text(x + 4, y + 20, engine, "end", f'fill="{colour}" font-weight="bold"')


def text(x: float, y: float, what: str, anchor: str = "end", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{what}</text>'


def across(count: int, left: int) -> float:
    inner = PANEL - 60
    place = COUNTS.index(count) / (len(COUNTS) - 1)  # each is ten times the one before
    return left + 30 + inner * place


def down(value: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * math.log10(max(value, 1.0)) / max(DECADES)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--markdown", action="store_true", help="print a table for a document")
    options.add_argument("--seconds", type=float, default=30, help="for an engine and image")
    options.add_argument("--svg", type=Path, help="draw the figures into this file")
    options.add_argument("--work", type=Path, help="where the engines' folders go")
    given = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench_files.py: starting engines needs root")
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir=given.work) as folder:
        work = Path(folder)
        with dockerd(work) as docker, wherryd(work) as wherry:
            engines = [engine for engine in (docker, wherry) if engine]
            figures = measure(engines, work, given.seconds)
    print_table(figures, given.markdown)
    if given.svg:
        given.svg.parent.mkdir(parents=True, exist_ok=True)
        given.svg.write_text(svg(figures))


if __name__ == "__main__":
    main()
