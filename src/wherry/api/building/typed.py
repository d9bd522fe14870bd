"""A build's events themselves, one JSON object to a line, for clients that ask for them."""

from __future__ import annotations

import msgspec

from wherry.api.building.spool import Allowance, Spool
from wherry.build.events import (
    BuildFailedError,
    BuildWarning,
    Built,
    Event,
    Failed,
    Failure,
    VertexOutput,
)
from wherry.errdefs import EngineError

EVENTS = "application/vnd.wherry.build.events+json"


class Typed:
    """Events in, lines out."""

    media_type = EVENTS

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._allowance = Allowance()
        self._spool = Spool(self._allowance)
        self.begun = False

    def take(self, event: Event) -> None:
        """Note an event."""
        self.begun = True
        if isinstance(event, VertexOutput):
            if not self._allowance.takes(event.data):
                return
            if notice := self._allowance.notice():
                self._put(VertexOutput(event.id, event.stream, notice))
        self._put(event)

    def _put(self, event: Event) -> None:
        self._spool.put(self._encoder.encode(event) + b"\n")

    def succeed(self, built: Built) -> None:
        """The build has come to its end."""
        self._end(built)

    def fail(self, error: EngineError) -> None:
        """The build has failed."""
        if isinstance(error, BuildFailedError):
            self._end(Failed(error.failure))
        else:
            self._end(Failed(Failure(message=error.message)))

    def _end(self, event: Event) -> None:
        if notice := self._allowance.notice():
            self.take(BuildWarning(notice.decode().strip()))
        self.take(event)

    def next(self) -> bytes:
        """What can be sent now, some of it; nothing if nothing can."""
        return self._spool.take()

    def close(self) -> None:
        self._spool.close()
