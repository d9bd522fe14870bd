"""A build's events themselves, one JSON object to a line, for clients that ask for them."""

from __future__ import annotations

import msgspec

from wherry.api.building.spool import Spool
from wherry.build.events import BuildFailedError, Built, Event, Failed, Failure
from wherry.errdefs import EngineError

EVENTS = "application/vnd.wherry.build.events+json"


class Typed:
    """Events in, lines out."""

    media_type = EVENTS

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._spool = Spool()
        self.begun = False

    def take(self, event: Event) -> None:
        """Note an event."""
        self.begun = True
        self._spool.put(self._encoder.encode(event) + b"\n")

    def succeed(self, built: Built) -> None:
        """The build has come to its end."""
        self.take(built)

    def fail(self, error: EngineError) -> None:
        """The build has failed."""
        if isinstance(error, BuildFailedError):
            self.take(Failed(error.failure))
        else:
            self.take(Failed(Failure(message=error.message)))

    def next(self) -> bytes:
        """What can be sent now, some of it; nothing if nothing can."""
        return self._spool.take()

    def close(self) -> None:
        self._spool.close()
