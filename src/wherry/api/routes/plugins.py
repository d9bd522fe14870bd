"""Plugins: there are none, and none can be had."""

from wherry import errdefs
from wherry.api import parameters
from wherry.api.calls import Call, Handler, Route, json_reply
from wherry.api.http.messages import Answer


async def list_all(call: Call) -> Answer:
    for name in parameters.filters(call.request.query):
        if name not in ("capability", "enabled"):
            raise errdefs.invalid(f"invalid filter '{name}'")
    return json_reply([])


async def not_found(call: Call) -> Answer:
    raise errdefs.not_found(f'plugin "{call.ref}" not found')


def _refusal(what: str) -> Handler:
    async def refuse(call: Call) -> Answer:
        raise errdefs.not_implemented(f"{what}: not supported by this version of Wherry")

    return refuse


ROUTES: list[Route] = [
    ("GET", "/plugins", list_all),
    ("GET", "/plugins/privileges", _refusal("asking for a plugin's privileges")),
    ("POST", "/plugins/pull", _refusal("installing plugins")),
    ("POST", "/plugins/create", _refusal("making plugins")),
    ("GET", "/plugins/{}/json", not_found),
    ("POST", "/plugins/{}/enable", not_found),
    ("POST", "/plugins/{}/disable", not_found),
    ("POST", "/plugins/{}/upgrade", not_found),
    ("POST", "/plugins/{}/push", not_found),
    ("POST", "/plugins/{}/set", not_found),
    ("DELETE", "/plugins/{}", not_found),
]
