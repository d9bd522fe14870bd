"""The figures of two engines that did the same in one run: as a table, and as a picture."""

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TypeVar

from engines import Engine, dockerd, wherryd
from run import Timer, print_row

T = TypeVar("T")

COLOURS = {"wherryd": "#0a7d4f", "dockerd": "#b3541e"}

Figures = dict[tuple[str, str], list[float]]
"""Seconds by verb and engine, one for each round."""


def run(
    doc: str | None,
    title: str,
    prepare: Callable[[Path], T],
    one_round: Callable[[Engine, T], dict[str, float]],
) -> None:
    """A benchmark's main program, which takes `--svg FILE` and more.

    `prepare` makes what the engines work on in a folder; `one_round` does everything once on one
    engine, and answers seconds by verb.
    """
    options = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    options.add_argument("--markdown", action="store_true", help="print a table for a document")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--svg", type=Path, help="draw the figures into this file")
    options.add_argument("--work", type=Path, help="where the engines' folders go")
    given = options.parse_args()
    if os.geteuid() != 0:
        sys.exit(f"{sys.argv[0]}: starting engines needs root")
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir=given.work) as folder:
        work = Path(folder)
        things = prepare(work)
        with dockerd(work) as docker, wherryd(work) as wherry:
            engines = [engine for engine in (docker, wherry) if engine]
            figures = measure(engines, lambda engine: one_round(engine, things), given.rounds)
    print_table(figures, given.markdown)
    if given.svg:
        given.svg.write_text(svg(figures, title))


def measure(
    engines: Sequence[Engine], one_round: Callable[[Engine], dict[str, float]], rounds: int
) -> Figures:
    """By turns: what disturbs one engine soon disturbs the other."""
    figures: Figures = {}
    for _ in range(rounds):
        for engine in engines:
            for verb, took in one_round(engine).items():
                figures.setdefault((verb, engine.name), []).append(took)
    return figures


def seconds_of(engine: Engine, *words: str) -> float:
    """What a command of the stock command line takes, upon a disk that has nothing else to do."""
    os.sync()
    timer = Timer()
    engine.cli(*words)
    return timer.lap()


def print_table(figures: Figures, markdown: bool) -> None:
    engines = list(dict.fromkeys(engine for _, engine in figures))
    print_row(["seconds: median (least)", *engines, "ratio"], markdown)
    if markdown:
        print_row(["---", *("---:" for _ in engines), "---:"], markdown)
    for verb in dict.fromkeys(verb for verb, _ in figures):
        rows = [figures[verb, engine] for engine in engines]
        cells = [f"{median(row):.3g} ({min(row):.3g})" for row in rows]
        print_row([verb, *cells, f"{median(rows[0]) / median(rows[-1]):.1f}"], markdown)


# --- the picture --------------------------------------------------------------------------------

WIDTH, LEFT, BAR, GAP, TOP = 760, 150, 22, 24, 44
FONT = 'font-family="sans-serif" font-size="13" fill="#333"'
LEAST, MOST = 0.01, 100.0  # seconds; the axis is logarithmic


def svg(figures: Figures, title: str) -> str:
    """Bars on a logarithmic axis."""
    engines = list(dict.fromkeys(engine for _, engine in figures))
    verbs = list(dict.fromkeys(verb for verb, _ in figures))
    height = TOP + len(verbs) * (len(engines) * BAR + GAP) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {FONT}>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        text(WIDTH / 2, 22, title, 'font-weight="bold"', "middle"),
    ]
    for second in (0.01, 0.1, 1, 10, 100):
        at = LEFT + across(second)
        parts.append(f'<line x1="{at}" y1="{TOP}" x2="{at}" y2="{height - 24}" stroke="#ddd"/>')
        parts.append(text(at, height - 8, f"{second:g} s", anchor="middle"))
    y = TOP
    for verb in verbs:
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
