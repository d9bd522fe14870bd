"""The two networks that need no making, and that there are no volumes yet."""

from wherry import errdefs
from wherry.api import parameters
from wherry.api.calls import Call, Route, json_reply
from wherry.api.http.messages import Answer
from wherry.engine.model import Zero
from wherry.engine.networking import network_id

_DRIVERS = {"none": "null", "host": "host"}


def _network(name: str) -> dict[str, object]:
    return {
        "Name": name,
        "Id": network_id(name),
        "Created": Zero,
        "Scope": "local",
        "Driver": _DRIVERS[name],
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {},
        "Labels": {},
    }


async def list_networks(call: Call) -> Answer:
    wanted = parameters.filters(call.request.query)
    known = {"name", "id", "driver", "scope", "type", "label", "dangling"}
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise errdefs.invalid(f"invalid filter '{unknown[0]}'")
    names = [name for name in _DRIVERS if any(part in name for part in wanted.get("name", [name]))]
    return json_reply([_network(name) for name in names])


async def inspect_network(call: Call) -> Answer:
    for name in _DRIVERS:
        network = _network(name)
        if call.ref in (name, network["Id"]):
            return json_reply(network)
    raise errdefs.not_found(f"network {call.ref} not found: there are none and host so far")


async def list_volumes(call: Call) -> Answer:
    parameters.filters(call.request.query)
    return json_reply({"Volumes": [], "Warnings": None})


ROUTES: list[Route] = [
    ("GET", "/networks", list_networks),
    ("GET", "/networks/", list_networks),
    ("GET", "/networks/{}", inspect_network),
    ("GET", "/volumes", list_volumes),
]
