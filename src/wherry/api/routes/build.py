"""Building images, what comes out of that, and its cache.

What that needs is imported with the first request: most daemons never build.
"""

from wherry.api.calls import Call, Handler, Route
from wherry.api.http.messages import Answer


def _later(name: str) -> Handler:
    async def handle(call: Call) -> Answer:
        from wherry.api.building import handlers

        handler: Handler = getattr(handlers, name)
        return await handler(call)

    return handle


ROUTES: list[Route] = [
    ("POST", "/build", _later("build")),
    ("POST", "/build/cancel", _later("cancel")),
    ("POST", "/build/prune", _later("prune")),
    ("GET", "/wherry/builds/cache", _later("cache")),
    ("GET", "/wherry/builds/{}/output", _later("output")),
    ("POST", "/wherry/agents/{}", _later("lend_agent")),
]
