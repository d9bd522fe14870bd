"""Columns that line up: Go's text/tabwriter with Docker's settings (10 wide at least, 3 apart)."""

from __future__ import annotations

MINIMUM = 10
PADDING = 3


def tabulate(lines: list[str]) -> str:
    """The lines, their tab-separated cells padded; a line's last cell is left as it is.

    A cell with a line break ends its line there, as in Go's writer.
    A column is as wide as its widest cell among neighbouring lines that have it.
    """
    rows = [line.split("\t") for text in lines for line in text.split("\n")]
    widths: list[list[int]] = [[] for _ in rows]
    column = 0
    while any(len(row) > column + 1 for row in rows):
        _measure(rows, widths, column)
        column += 1
    texts = []
    for row, row_widths in zip(rows, widths, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, row_widths, strict=False)]
        texts.append("".join(cells) + row[-1] + "\n")
    return "".join(texts)


def _measure(rows: list[list[str]], widths: list[list[int]], column: int) -> None:
    start = 0
    while start < len(rows):
        end = start
        while end < len(rows) and len(rows[end]) > column + 1:
            end += 1
        if end > start:
            widest = max(len(row[column]) for row in rows[start:end])
            for index in range(start, end):
                widths[index].append(max(MINIMUM, widest + PADDING))
        start = max(end, start + 1)
