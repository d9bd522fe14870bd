"""Progress on a terminal: a picture of what goes on, drawn over itself.

[+] Building 3.2s (3/5)
 => [internal] load build context                                   0.0s
 => CACHED [1/3] FROM busybox                                       0.0s
 => [2/3] RUN make                                                  3.1s
 => => cc -c main.c
"""

from __future__ import annotations

import os
import time

from wherry.cli.output import encode, err_bytes
from wherry.cli.terminal import window_size
from wherry.cli.units import human_size
from wherry.client.building import output_of, vertex_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.client.building import BuildEvent

TAIL = 6
_PAUSE = 0.1
_BLUE, _RED, _YELLOW, _DIM, _PLAIN = "34", "31", "33", "2", "0"


class _Vertex:
    """One line of the picture, and those below it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.began = time.monotonic()
        self.seconds = -1.0
        self.state = ""
        self.tail: list[str] = []
        self.rest = ""
        self.status: dict[str, str] = {}

    @property
    def running(self) -> bool:
        return self.seconds < 0

    def took(self) -> float:
        return time.monotonic() - self.began if self.running else self.seconds

    def pass_on(self, data: bytes) -> None:
        text = self.rest + data.decode("utf-8", "replace")
        *lines, rest = text.replace("\r\n", "\n").split("\n")
        self.rest = rest[-1024:]
        self.tail = (self.tail + [_visible(line) for line in lines if line.strip()])[-TAIL:]


class Live:
    """Events in, pictures out. A picture is drawn at most ten times a second."""

    def __init__(self) -> None:
        self._vertices: dict[str, _Vertex] = {}
        self._began = time.monotonic()
        self._drawn = 0.0
        self._height = 0
        self._sent = 0
        self._coloured = "NO_COLOR" not in os.environ

    def sent(self, size: int) -> None:
        """So much of the context is on its way."""
        self._sent = size
        self.tick()

    def show(self, event: BuildEvent) -> None:
        """Note an event, and draw if it is time to."""
        if event["type"] == "vertex-started":
            if event.get("name"):
                self._vertices[event["id"]] = _Vertex(event.get("name", ""))
        else:
            vertex = self._vertices.get(vertex_of(event))
            if vertex is not None:
                _note(vertex, event)
        self.tick()

    def tick(self) -> None:
        """Draw if it is time to."""
        if time.monotonic() - self._drawn >= _PAUSE:
            self._draw()

    def close(self) -> None:
        """Draw the last picture, with all there is, and leave it."""
        if self._vertices:
            self._draw(last=True)
        self._height = 0
        self._vertices = {}

    def _draw(self, last: bool = False) -> None:
        self._drawn = time.monotonic()
        height, width = window_size(2)
        lines = self._lines(width or 80, last)
        if not last and height and len(lines) >= height:
            lines = [lines[0], *lines[-(height - 2) :]]
        picture = f"\x1b[{self._height}F" if self._height else ""
        picture += "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J"
        self._height = len(lines)
        err_bytes(encode(picture))

    def _lines(self, width: int, last: bool) -> list[str]:
        done = sum(not vertex.running for vertex in self._vertices.values())
        all_ = len(self._vertices)
        finished = " FINISHED" if last and done == all_ else ""
        took = time.monotonic() - self._began
        lines = [self._painted(f"[+] Building {took:.1f}s ({done}/{all_}){finished}", _BLUE)]
        if not self._vertices and self._sent:
            lines.append(f" => sending the build context {human_size(self._sent, 3)}")
        for vertex in self._vertices.values():
            lines.append(self._line(vertex, width))
            if vertex.running:
                below = [*vertex.status.values(), *vertex.tail]
                lines += [self._painted(f" => => {text}"[: width - 1], _DIM) for text in below]
        return lines

    def _line(self, vertex: _Vertex, width: int) -> str:
        time_ = f" {vertex.took():.1f}s"
        state = f"{vertex.state} " if vertex.state else ""
        room = max(width - len(time_) - 1, 10)
        text = f" => {state}{_visible(vertex.name)}"
        text = (text if len(text) <= room else f"{text[: room - 3]}...").ljust(room) + time_
        colour = {"ERROR": _RED, "CANCELED": _YELLOW}.get(vertex.state, _BLUE)
        return text if vertex.running else self._painted(text, colour)

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[{_PLAIN}m" if self._coloured else text


def _note(vertex: _Vertex, event: BuildEvent) -> None:
    if event["type"] == "vertex-output":
        vertex.pass_on(output_of(event))
    elif event["type"] == "vertex-status":
        total = event.get("total", 0)
        of = f" / {human_size(total, 3)}" if total else ""
        vertex.status[event["what"]] = f"{event['what']} {human_size(event['current'], 3)}{of}"
    elif event["type"] == "vertex-cached":
        vertex.state = "CACHED"
    elif event["type"] == "vertex-done":
        vertex.seconds = event.get("seconds", 0.0)
    elif event["type"] == "vertex-cancelled":
        vertex.state, vertex.seconds = "CANCELED", event["seconds"]
    elif event["type"] == "vertex-failed":
        vertex.state, vertex.seconds = "ERROR", event["seconds"]


def _visible(text: str) -> str:
    """Without what would move the cursor: a line's last state, and no control characters."""
    text = text.rstrip("\r").rpartition("\r")[2].expandtabs()
    plain: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == "\x1b" and text[at + 1 : at + 2] == "[":
            at += 2
            while at < len(text) and not "@" <= text[at] <= "~":
                at += 1
        elif text[at].isprintable():
            plain.append(text[at])
        at += 1
    return "".join(plain)
