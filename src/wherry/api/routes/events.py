"""The stream of what happens."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from wherry import errdefs
from wherry.api import parameters
from wherry.api.calls import Call, Route
from wherry.api.errors import JSON
from wherry.api.http.messages import Answer, Stream
from wherry.api.timestamps import nanoseconds
from wherry.engine.model import EventMessage, EventOptions, EventStream

# Since v1.22 nobody should read `status`, `id` and `from`; v1.52 is the first without them.
_WITHOUT_OLD_FIELDS: Final = (1, 52)


async def events(call: Call) -> Answer:
    query = call.request.query
    since, until = parameters.text(query, "since"), parameters.text(query, "until")
    options = EventOptions(
        since=nanoseconds("since", since),
        until=nanoseconds("until", until),
        filters=parameters.filters(query),
    )
    if options.until and options.until < options.since:
        raise errdefs.invalid(f"`since` time ({since}) cannot be after `until` time ({until})")
    happened = call.backend.system.events(options)
    old_fields = call.version < _WITHOUT_OLD_FIELDS
    return Stream(200, _lines(happened, old_fields), {"Content-Type": JSON})


async def _lines(happened: EventStream, old_fields: bool) -> AsyncIterator[bytes]:
    async with contextlib.aclosing(happened):
        async for event in happened:
            plain: dict[str, object] = msgspec.to_builtins(event)
            if old_fields:
                plain = {**_old_fields(event), **plain}
            yield msgspec.json.encode(plain) + b"\n"


def _old_fields(event: EventMessage) -> Mapping[str, object]:
    if event.type not in ("container", "image"):
        return {}
    found = {"status": event.action, "id": event.actor.id}
    if event.type == "container" and (image := event.actor.attributes.get("image")):
        found["from"] = image
    return found


ROUTES: list[Route] = [("GET", "/events", events)]
