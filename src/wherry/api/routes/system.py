"""Who is there, and what it is."""

from wherry.api.calls import Call, Route, json_reply
from wherry.api.http.messages import Answer, Reply

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
    return json_reply(await call.backend.system.info())


ROUTES: list[Route] = [
    ("GET", "/_ping", ping),
    ("HEAD", "/_ping", ping),
    ("GET", "/version", version),
    ("GET", "/info", info),
]
