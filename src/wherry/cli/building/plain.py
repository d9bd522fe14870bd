"""Progress as plain lines, in the form that BuildKit has for it.

#3 [build 2/5] RUN make
#3 0.123 cc -c main.c
#3 DONE 0.4s

#4 [build 3/5] COPY . .
#4 CACHED
"""

from __future__ import annotations

import time

from wherry.cli.output import encode, err_bytes
from wherry.cli.units import human_size
from wherry.client.building import output_of, vertex_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.client.building import BuildEvent, VertexStatus

_MAX_LINE = 64 * 1024
_STATUS_PAUSE = 1.0
_SHOWN_AFTER = 0.1


class _Vertex:
    """What is shown of one vertex. `number` is 0 until something is; `rest` is a line that has not
    come to its end.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0
        self.began = time.monotonic()
        self.rest = b""
        self.cached = False
        self.status_shown = 0.0


class Plain:
    """Events in, lines out, each as soon as it is whole.

    A vertex that begins is shown when it has something to say, or takes its time: so most of them
    stand together, although several go on at once.
    """

    def __init__(self) -> None:
        self._vertices: dict[str, _Vertex] = {}
        self._shown = 0
        self._last: _Vertex | None = None

    def sent(self, size: int) -> None:
        """So much of the context is on its way."""

    def show(self, event: BuildEvent) -> None:
        """Show what there is to show of an event."""
        if event["type"] == "vertex-started":
            name = event.get("name", "")
            if name:
                self._vertices[event["id"]] = _Vertex(name)
        elif event["type"] == "warning":
            if not event.get("rule"):
                err_bytes(encode(f"WARNING: {event['message']}\n"))
        else:
            vertex = self._vertices.get(vertex_of(event))
            if vertex is not None:
                self._go_on(vertex, event)
        self.tick()

    def tick(self) -> None:
        """Show who began a while ago."""
        now = time.monotonic()
        for vertex in self._vertices.values():
            if not vertex.number and now - vertex.began > _SHOWN_AFTER:
                self._turn_to(vertex)

    def close(self) -> None:
        """All was said."""

    def _go_on(self, vertex: _Vertex, event: BuildEvent) -> None:
        if event["type"] == "vertex-output":
            self._pass_on(vertex, output_of(event))
        elif event["type"] == "vertex-status":
            self._show_status(vertex, event)
        elif event["type"] == "vertex-cached":
            vertex.cached = True
        elif event["type"] == "vertex-done":
            seconds = event.get("seconds", 0.0)
            self._end(vertex, "CACHED" if vertex.cached else f"DONE {seconds:.1f}s")
        elif event["type"] == "vertex-cancelled":
            self._end(vertex, "CANCELED")
        elif event["type"] == "vertex-failed":
            self._end(vertex, f"ERROR: {event['failure']['message']}")

    def _pass_on(self, vertex: _Vertex, data: bytes) -> None:
        *lines, vertex.rest = (vertex.rest + data).split(b"\n")
        if len(vertex.rest) > _MAX_LINE:
            lines.append(vertex.rest)
            vertex.rest = b""
        for line in lines:
            self._show_line(vertex, line)

    def _show_line(self, vertex: _Vertex, line: bytes) -> None:
        # Of a line that was written over, as progress bars are, its last state is shown.
        line = line.rstrip(b"\r").rpartition(b"\r")[2]
        seconds = time.monotonic() - vertex.began
        self._turn_to(vertex)
        err_bytes(b"#%d %.3f %s\n" % (vertex.number, seconds, line))

    def _show_status(self, vertex: _Vertex, event: VertexStatus) -> None:
        current, total = event["current"], event.get("total", 0)
        done = total and current >= total
        now = time.monotonic()
        if done or now - vertex.status_shown > _STATUS_PAUSE:
            vertex.status_shown = now
            of = f" / {human_size(total, 3)}" if total else ""
            self._say(vertex, f"{event['what']} {human_size(current, 3)}{of}")

    def _end(self, vertex: _Vertex, how: str) -> None:
        """The last of a vertex, which is shown in any case."""
        if vertex.rest:
            self._show_line(vertex, vertex.rest)
        self._say(vertex, how)

    def _say(self, vertex: _Vertex, text: str) -> None:
        self._turn_to(vertex)
        err_bytes(encode(f"#{vertex.number} {text}\n"))

    def _turn_to(self, vertex: _Vertex) -> None:
        """Between lines of different vertices there is an empty one."""
        if self._last not in (None, vertex):
            err_bytes(b"\n")
        self._last = vertex
        if not vertex.number:
            self._shown += 1
            vertex.number = self._shown
            err_bytes(encode(f"#{vertex.number} {vertex.name}\n"))
