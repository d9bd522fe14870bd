"""What happens, as `GET /events` tells it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

from wherry.engine.model.base import Object


class EventActor(Object):
    """Whom it happened to. `attributes` are its name and labels, and what the action adds."""

    id: str = field(default="", name="ID")
    attributes: dict[str, str] = field(default_factory=dict)


class EventMessage(Object):
    """One event. `time` is in seconds since 1970, `time_nano` in nanoseconds.

    `type` is container, image, builder, daemon, network or volume; `action` is Docker's word:
    create, start, die, tag, prune.
    """

    type: str
    action: str
    actor: EventActor
    scope: str = field(default="local", name="scope")
    time: int = field(default=0, name="time")
    time_nano: int = field(default=0, name="timeNano")


class EventStream(Protocol):
    """Events as they come. It has listened from the moment that it was handed out."""

    def __aiter__(self) -> AsyncIterator[EventMessage]: ...

    async def __anext__(self) -> EventMessage: ...

    async def aclose(self) -> None: ...


class EventOptions(Struct, kw_only=True, frozen=True):
    """Which events are wanted.

    `since` and `until` are nanoseconds of the epoch, 0 for none. With either of them what happened
    already is told first, as far as it is remembered; `until` ends the stream. `filters` are those
    of the Engine API: one of a filter's values must match (of labels all), and every filter.
    """

    since: int = 0
    until: int = 0
    filters: Mapping[str, Sequence[str]] = {}
