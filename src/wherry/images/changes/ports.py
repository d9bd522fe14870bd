"""EXPOSE: ports of the container, with their protocol."""

from __future__ import annotations

import re
from typing import Final

from wherry import errdefs

_PROTOCOLS: Final = ("tcp", "udp", "sctp")
_RANGE: Final = re.compile(r"([0-9]+)(?:-([0-9]+))?\Z")
_PORT_MAX: Final = 65535


def ports_of(spec: str) -> list[str]:
    """`80`, `80/udp` or `8000-8010` as `80/tcp`, ...; Raises InvalidArgument in Docker's words.

    Before a colon may stand a port of the host, or its address and a port, as in `--publish`. An
    image cannot choose them, so they are checked and left out, as Docker does.
    """
    where, _, ports = spec.rpartition(":")
    numbers, _, protocol = ports.partition("/")
    protocol = protocol.partition("/")[0].lower() or "tcp"
    if not numbers:
        raise errdefs.invalid(f"No port specified: {spec}<empty>")
    inside = _range(numbers, "containerPort")
    outside = where.rpartition(":")[2]
    if outside:
        host = _range(outside, "hostPort")
        if len(inside) > 1 and len(host) != len(inside):
            raise errdefs.invalid(
                f"Invalid ranges specified for container and host Ports: {numbers} and {outside}"
            )
    if protocol not in _PROTOCOLS:
        raise errdefs.invalid(f"Invalid proto: {protocol}")
    return [f"{port}/{protocol}" for port in inside]


def _range(text: str, what: str) -> range:
    match = _RANGE.match(text)
    if match is not None:
        first, last = int(match[1]), int(match[2] or match[1])
        if first <= last <= _PORT_MAX:
            return range(first, last + 1)
    raise errdefs.invalid(f"Invalid {what}: {text}")
