"""What happens, told to whoever listens: a short memory, and a queue for each listener."""

import asyncio
import logging
import time
import weakref
from collections import deque
from collections.abc import Mapping
from typing import Final

from wherry.engine.document import Document
from wherry.engine.event_filters import chooser
from wherry.engine.model import EventActor, EventMessage, EventOptions

log = logging.getLogger("wherry.engine")

MEMORY: Final = 256
"""So many of the last events are remembered for listeners that come later, as dockerd does."""
WAITING: Final = 1024
"""So many wait for a listener that does not take them."""


class Events:
    """One engine's events. Used on the engine's loop.

    To publish never waits. A listener that is too slow loses the oldest of what waits for it, and
    is told so in their place, by an event that only it gets: `daemon`, `lost`, with their `count`.
    """

    def __init__(self) -> None:
        self._memory: deque[EventMessage] = deque(maxlen=MEMORY)
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._closed = False

    def __len__(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def publish(
        self, kind: str, action: str, actor: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Tell that `action` was done to the `actor`, an ID, of type `kind`."""
        event = _event(kind, action, actor, attributes or {})
        self._memory.append(event)
        for listener in tuple(self._listeners):
            listener.offer(event)

    def container(self, document: Document, action: str, **details: str) -> None:
        """Tell of a container, which is named by its labels, image and name."""
        labels = document.config.labels or {}
        names = {"image": document.config.image, "name": document.name}
        self.publish("container", action, document.id, {**labels, **details, **names})

    def image(self, image_id: str, action: str, name: str, labels: Mapping[str, str]) -> None:
        """Tell of an image. `name` is its ID, except where a name was given to it."""
        self.publish("image", action, str(image_id), {**labels, "name": str(name)})

    def listen(self, options: EventOptions) -> "Listener":
        """Hear of all that comes from now on, after what is remembered if that is asked for."""
        past: list[EventMessage] = []
        if options.since or options.until:
            past = [event for event in self._memory if event.time_nano >= options.since]
        listener = Listener(options, past, self._listeners)
        if self._closed:
            listener.close()
        return listener

    def close(self) -> None:
        """Nothing more will happen: all listeners come to their end, and so do later ones."""
        self._closed = True
        for listener in tuple(self._listeners):
            listener.close()


class Listener:
    """An iterator over events. It ends with `until`, with the engine, or when it is closed.

    It listens from its creation on, as long as somebody has it.
    """

    def __init__(
        self,
        options: EventOptions,
        past: list[EventMessage],
        listeners: "weakref.WeakSet[Listener]",
    ) -> None:
        self._until = options.until
        self._wants = chooser(options.filters)
        self._waiting: deque[EventMessage] = deque(maxlen=WAITING)
        self._lost = 0
        self._ended = False
        self._news = asyncio.Event()
        self._listeners = listeners
        for event in past:
            self.offer(event)
        if self._until and self._until < time.time_ns():
            self.close()
        else:
            listeners.add(self)

    def offer(self, event: EventMessage) -> None:
        """Have the listener hear of it, if it wants to."""
        if (self._until and event.time_nano > self._until) or not self._wants(event):
            return
        if len(self._waiting) == WAITING:
            if not self._lost:
                log.warning("a client of the events does not keep up, and loses the oldest")
            self._lost += 1
        self._waiting.append(event)
        self._news.set()

    def close(self) -> None:
        """Hear of nothing more; what waits already can still be taken."""
        self._listeners.discard(self)
        self._ended = True
        self._news.set()

    def __aiter__(self) -> "Listener":
        return self

    async def __anext__(self) -> EventMessage:
        while True:
            if self._lost:
                count, self._lost = self._lost, 0
                return _event("daemon", "lost", "", {"count": str(count)})
            if self._waiting:
                return self._waiting.popleft()
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            try:
                async with asyncio.timeout(self._time_left()):
                    await self._news.wait()
            except TimeoutError:
                self.close()

    async def aclose(self) -> None:
        """Leave."""
        self._waiting.clear()
        self._lost = 0
        self.close()

    def _time_left(self) -> float | None:
        return max(0.0, (self._until - time.time_ns()) / 1e9) if self._until else None


def _event(kind: str, action: str, actor: str, attributes: Mapping[str, str]) -> EventMessage:
    now = time.time_ns()
    return EventMessage(
        type=kind,
        action=action,
        actor=EventActor(id=actor, attributes=dict(sorted(attributes.items()))),
        time=now // 1_000_000_000,
        time_nano=now,
    )
