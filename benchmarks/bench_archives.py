"""What it costs to load an image of many files, to save it, and to remove it.

    benchmarks/bench_archives.py                                     # a table
    benchmarks/bench_archives.py --svg docs/images/archives.svg      # and the picture of it

300 MB in 20,000 files, through the stock `docker` CLI, in wherryd and in dockerd by turns; the
disk is synced before each. Needs root.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from engines import Engine, dockerd, wherryd
from run import BIG, Timer, big_archive, print_row

LOAD, SAVE, REMOVE = VERBS = ("docker load", "docker save", "docker rmi")
COLOURS = {"wherryd": "#0a7d4f", "dockerd": "#b3541e"}

Figures = dict[tuple[str, str], list[float]]
"""Seconds by verb and engine, one for each round."""


def one_round(engine: Engine, archive: Path) -> dict[str, float]:
    def seconds(*words: str) -> float:
        os.sync()
        timer = Timer()
        engine.cli(*words)
        return timer.lap()

    saved = engine.work / "saved.tar"
    took = {LOAD: seconds("load", "-q", "-i", str(archive))}
    took[SAVE] = seconds("save", "-o", str(saved), BIG)
    saved.unlink()
    took[REMOVE] = seconds("rmi", BIG)
    return took


def measure(engines: list[Engine], archive: Path, rounds: int) -> Figures:
    figures: Figures = {(verb, engine.name): [] for verb in VERBS for engine in engines}
    for _ in range(rounds):
        for engine in engines:
            for verb, took in one_round(engine, archive).items():
                figures[verb, engine.name].append(took)
    return figures


def print_table(figures: Figures, markdown: bool) -> None:
    engines = list(dict.fromkeys(engine for _, engine in figures))
    print_row(["seconds: median (least)", *engines, "ratio"], markdown)
    if markdown:
        print_row(["---", *("---:" for _ in engines), "---:"], markdown)
    for verb in VERBS:
        rows = [figures[verb, engine] for engine in engines]
        cells = [f"{median(row):.3g} ({min(row):.3g})" for row in rows]
        print_row([verb, *cells, f"{median(rows[0]) / median(rows[-1]):.1f}"], markdown)


# --- the picture --------------------------------------------------------------------------------

WIDTH, LEFT, BAR, GAP, TOP = 760, 120, 22, 24, 44
FONT = 'font-family="sans-serif" font-size="13" fill="#333"'
LEAST, MOST = 0.01, 10.0  # seconds; the axis is logarithmic


def svg(figures: Figures) -> str:
    engines = list(dict.fromkeys(engine for _, engine in figures))
    height = TOP + len(VERBS) * (len(engines) * BAR + GAP) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {FONT}>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        text(WIDTH / 2, 22, "an image of 300 MB in 20,000 files", 'font-weight="bold"', "middle"),
    ]
    for second in (0.01, 0.1, 1, 10):
        at = LEFT + across(second)
        parts.append(f'<line x1="{at}" y1="{TOP}" x2="{at}" y2="{height - 24}" stroke="#ddd"/>')
        parts.append(text(at, height - 8, f"{second:g} s", anchor="middle"))
    y = TOP
    for verb in VERBS:
        parts.append(text(LEFT - 10, y + BAR + 4, verb, anchor="end"))
        for engine in engines:
            value, colour = median(figures[verb, engine]), COLOURS[engine]
            long, label = across(value), f"{engine}, {value:.2g} s"
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{long}" height="18" fill="{colour}"/>')
            parts.append(text(LEFT + long + 6, y + 14, label, f'font-size="12" fill="{colour}"'))
            y += BAR
        y += GAP
    return "\n".join([*parts, "</svg>\n"])


def across(seconds: float) -> float:
    scale = math.log10(max(seconds, LEAST) / LEAST) / math.log10(MOST / LEAST)
    return round((WIDTH - LEFT - 130) * scale, 1)


def text(x: float, y: float, what: str, more: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" {more}>{what}</text>'


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--markdown", action="store_true", help="print a table for a document")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--svg", type=Path, help="draw the figures into this file")
    options.add_argument("--work", type=Path, help="where the engines' folders go")
    given = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench_archives.py: starting engines needs root")
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir=given.work) as folder:
        work = Path(folder)
        archive = big_archive(work)
        subprocess.run(["cat", str(archive)], stdout=subprocess.DEVNULL, check=True)
        with dockerd(work) as docker, wherryd(work) as wherry:
            engines = [engine for engine in (docker, wherry) if engine]
            figures = measure(engines, archive, given.rounds)
    print_table(figures, given.markdown)
    if given.svg:
        given.svg.write_text(svg(figures))


if __name__ == "__main__":
    main()
