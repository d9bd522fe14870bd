"""What the demo prints, and the end of it if something is not as it says."""

import shlex
import sys
import textwrap
from collections.abc import Iterable

WIDTH = 92


def heading(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{text}{plain}\n")


def command(*words: str) -> None:
    """What a user would type."""
    line = shlex.join(words).replace(" '<' ", " < ")
    lines = textwrap.wrap(f"$ {line}", WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    print("  " + " \\\n      ".join(lines), flush=True)


def say(text: str) -> None:
    for line in textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False):
        print(f"  {line}", flush=True)


def table(rows: Iterable[tuple[str, ...]]) -> None:
    lines = [tuple(cell.ljust(1) for cell in line) for line in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print(f"  {'   '.join(cells).rstrip()}", flush=True)


def claim(holds: object, what: str) -> None:
    """End the demo with an error unless what it claims `holds`."""
    if not holds:
        sys.exit(f"demo: this is not so: {what}")
