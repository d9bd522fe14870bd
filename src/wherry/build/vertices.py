"""Vertices: what a build tells of each piece of its work, and how its failures are told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Literal

from wherry.build.dockerfile import DockerfileError, Location
from wherry.build.events import (
    BuildFailedError,
    Event,
    Excerpt,
    Failure,
    StepImage,
    VertexCached,
    VertexCancelled,
    VertexDone,
    VertexFailed,
    VertexOutput,
    VertexStarted,
    VertexStatus,
)
from wherry.errdefs import EngineError

_AROUND: Final = 2
"""Lines that are shown above and below those that are meant."""
_LINES_MAX: Final = 50
_LINE_MAX: Final = 500


class Vertex:
    """One that has begun."""

    def __init__(self, vertex_id: str, emit: Callable[[Event], None]) -> None:
        self.id = vertex_id
        self.layer = ""
        self._emit = emit

    def cached(self) -> None:
        self._emit(VertexCached(self.id))

    def output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        self._emit(VertexOutput(self.id, stream, data))

    def status(self, what: str, current: int, total: int) -> None:
        self._emit(VertexStatus(self.id, what, current, total))

    def image(self, image_id: str) -> None:
        self._emit(StepImage(self.id, str(image_id)))  # encoders know no kinds of strings


@contextlib.asynccontextmanager
async def vertex(
    emit: Callable[[Event], None],
    started: VertexStarted,
    location: Location | None = None,
) -> AsyncIterator[Vertex]:
    """Tell how a piece of work goes. What it raises goes on as BuildFailedError, with the place in
    the Dockerfile."""
    begun = time.monotonic()
    one = Vertex(started.id, emit)
    emit(started)
    try:
        yield one
    except asyncio.CancelledError:
        emit(VertexCancelled(one.id, time.monotonic() - begun))
        raise
    except BuildFailedError as error:
        if error.failure.instruction:
            # It is another vertex's, on which this one waited.
            emit(VertexCancelled(one.id, time.monotonic() - begun))
            raise
        failed = _failed(error, started, location)
        emit(VertexFailed(one.id, failed.failure, time.monotonic() - begun))
        raise failed from error
    except EngineError as error:
        failed = _failed(error, started, location)
        emit(VertexFailed(one.id, failed.failure, time.monotonic() - begun))
        raise failed from error
    emit(VertexDone(one.id, time.monotonic() - begun, str(one.layer)))


def excerpt_of(location: Location) -> Excerpt:
    """The lines that a place is in, with some around them; of very many, and of very long ones,
    the beginning."""
    lines = location.source.lines
    first = max(1, location.line - _AROUND)
    last = min(len(lines), location.end_line + _AROUND, first + _LINES_MAX)
    return Excerpt(
        location.source.name,
        first,
        tuple(_cut(line) for line in lines[first - 1 : last]),
        location.line,
        location.end_line,
        location.column,
    )


def _cut(line: str) -> str:
    return line if len(line) <= _LINE_MAX else f"{line[:_LINE_MAX]}..."


def _failed(
    error: EngineError, started: VertexStarted, location: Location | None
) -> BuildFailedError:
    details = (
        error.failure if isinstance(error, BuildFailedError) else Failure(message=error.message)
    )
    if isinstance(error, DockerfileError):
        details, location = Failure(message=error.reason), error.location
    failure = Failure(
        message=details.message,
        command=details.command,
        exit_code=details.exit_code,
        tail=details.tail,
        instruction=started.instruction or started.name,
        excerpt=excerpt_of(location) if location else None,
        hint=details.hint,
    )
    return BuildFailedError(error.kind, failure)
