"""What a client of `POST /build/prune` wants to be rid of."""

from __future__ import annotations

import re
import time

from wherry import errdefs
from wherry.api import parameters
from wherry.api.parameters import Query
from wherry.api.timestamps import nanoseconds
from wherry.build.usage import PruneRequest

_FILTERS = frozenset(("until", "id", "parent", "type", "description", "inuse", "shared", "private"))
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:h|ms|m|s|us|µs|ns))+")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|us|µs|ns)")
_NANOSECONDS = {
    "h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000,
    "ms": 1_000_000, "us": 1_000, "µs": 1_000, "ns": 1,
}  # fmt: skip


def read_prune_request(query: Query) -> PruneRequest:
    """EngineError says which parameter is wrong."""
    filters = parameters.filters(query)
    for name in filters:
        if name not in _FILTERS:
            raise errdefs.invalid(f"invalid filter '{name}'")
    until = filters.pop("until", [])
    if len(until) > 1:
        raise errdefs.invalid("invalid filter 'until': more than one was given")
    return PruneRequest(
        all=parameters.flag(query, "all"),
        # Two names of one thing: the older goes with API v1.52.
        reserved_space=_bytes(query, "reserved-space") or _bytes(query, "keep-storage"),
        max_used_space=_bytes(query, "max-used-space"),
        min_free_space=_bytes(query, "min-free-space"),
        until=_moment(until[0]) if until else 0,
        filters=filters,
    )


def _bytes(query: Query, name: str) -> int:
    number = parameters.number(query, name, 0) or 0
    if number < 0:
        raise errdefs.invalid(f"invalid value for {name}: {number} bytes")
    return number


def _moment(text: str) -> int:
    """A moment, or a time before now as Go writes it: `10m`, `1h30m`."""
    if not _DURATION.fullmatch(text):
        return nanoseconds("until", text)
    ago = sum(float(number) * _NANOSECONDS[unit] for number, unit in _PART.findall(text))
    return time.time_ns() - int(ago)
