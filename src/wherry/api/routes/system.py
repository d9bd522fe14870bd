"""Who is there, what it is, and what it takes."""

from wherry import errdefs
from wherry.api import older
from wherry.api.calls import Call, Route, json_reply
from wherry.api.http.messages import Answer, Reply
from wherry.engine.model import USAGE_KINDS

_PING_HEADERS = {
    # "1" is the classic builder; BuildKit's would be "2".
    "Builder-Version": "1",
    "Swarm": "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Content-Type": "text/plain; charset=utf-8",
}


async def ping(call: Call) -> Answer:
    return Reply(200, b"" if call.request.method == "HEAD" else b"OK", _PING_HEADERS)


async def version(call: Call) -> Answer:
    return json_reply(await call.backend.system.version())


async def info(call: Call) -> Answer:
    return json_reply(older.info(await call.backend.system.info(), call.version))


async def disk_usage(call: Call) -> Answer:
    asked = call.request.query.get("type") if call.version >= (1, 42) else None
    for kind in asked or ():
        if kind not in USAGE_KINDS:
            raise errdefs.invalid(f"unknown object type: {kind}")
    usage = await call.backend.system.disk_usage(USAGE_KINDS if asked is None else frozenset(asked))
    return json_reply(older.disk_usage(usage, call.version))


ROUTES: list[Route] = [
    ("GET", "/_ping", ping),
    ("HEAD", "/_ping", ping),
    ("GET", "/version", version),
    ("GET", "/info", info),
    ("GET", "/system/df", disk_usage),
]
