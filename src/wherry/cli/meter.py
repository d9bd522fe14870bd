"""How much has gone, and how fast: a line on the terminal for what takes longer than a second."""

from __future__ import annotations

import os
import time

from wherry.cli.output import encode, err_bytes
from wherry.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PATIENCE = 1.0
PAUSE = 0.1


class Meter:
    """Counts bytes. Its line is on standard error, if that is a terminal, and gone at the end.

    `total` is what there will be, or 0 if nobody knows.
    """

    def __init__(self, verb: str, total: int = 0) -> None:
        self._verb = verb
        self._total = total
        self._done = 0
        self._began = time.monotonic()
        self._shown = False
        # When the line is drawn next; never, where nobody looks.
        self._next = self._began + PATIENCE if _looked_at() else float("inf")

    def add(self, size: int) -> None:
        self._done += size
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PAUSE
            self._shown = True
            err_bytes(encode(f"\r\x1b[K{self.line(now)}"))

    def line(self, now: float) -> str:
        rate = self._done / max(now - self._began, 0.001)
        text = f"{self._verb} {human_size(self._done, 3)}"
        if self._total:
            text += f" of {human_size(self._total, 3)} ({self._done * 100 // self._total}%)"
        return f"{text}, {human_size(rate, 3)}/s"

    def close(self) -> None:
        if self._shown:
            err_bytes(b"\r\x1b[K")
        self._shown = False


def metered(pieces: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    """The same pieces, counted when they are taken."""
    try:
        for piece in pieces:
            meter.add(len(piece))
            yield piece
    finally:
        meter.close()


def _looked_at() -> bool:
    try:
        return os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb"
    except OSError:
        return False
