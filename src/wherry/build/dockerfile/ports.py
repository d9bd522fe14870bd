"""EXPOSE: ports of the container, with their protocol."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from wherry.build.dockerfile.errors import RefusalError

_PROTOCOLS: Final = ("tcp", "udp", "sctp")
_RANGE: Final = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?\Z")
_PORT_MAX: Final = 65535


def ports_of(spec: str) -> list[str]:
    """`80`, `80/udp` or `8000-8010` as `80/tcp`, ...; Refused in Docker's words.

    Before a colon may stand a port of the host, or its address and a port, as in `--publish`. An
    image cannot choose them, so they are checked and left out, as Docker does.
    """
    where, _, ports = spec.rpartition(":")
    address, _, outside = where.rpartition(":")
    numbers, _, protocol = ports.partition("/")
    protocol = protocol.lower() or "tcp"
    if not numbers:
        raise RefusalError(f"no port specified: {spec}<empty>", spec)
    if protocol not in _PROTOCOLS:
        raise RefusalError(f"invalid proto: {protocol}", spec)
    if address and not _is_address(address):
        raise RefusalError(f"invalid IP address: {address}", spec)
    inside = _range(numbers, "containerPort", spec)
    if outside:
        host = _range(outside, "hostPort", spec)
        if len(inside) > 1 and len(host) != len(inside):
            raise RefusalError(
                f"invalid ranges specified for container and host Ports: {numbers} and {outside}",
                spec,
            )
    return [f"{port}/{protocol}" for port in inside]


def _range(text: str, what: str, spec: str) -> range:
    match = _RANGE.match(text)
    if match is not None:
        first, last = int(match[1]), int(match[2] or match[1])
        if first <= last <= _PORT_MAX:
            return range(first, last + 1)
    raise RefusalError(f"invalid {what}: {text}", spec)


def _is_address(text: str) -> bool:
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
