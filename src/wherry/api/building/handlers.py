"""What the routes of builds do; imported with the first of their requests."""

from __future__ import annotations

from collections.abc import AsyncIterator

from wherry import errdefs
from wherry.api import media_types, parameters
from wherry.api.building.classic import Classic
from wherry.api.building.progress import Emit, Progress, Rendering
from wherry.api.building.pruning import read_prune_request
from wherry.api.building.request import DOCKERFILE, MAX_DOCKERFILE, read_request
from wherry.api.building.typed import EVENTS, Typed
from wherry.api.calls import Call, json_reply
from wherry.api.http.messages import Answer, Hijack, Reply, Stream, Wire
from wherry.build.events import Built
from wherry.engine.disk_usage import cache_row


async def build(call: Call) -> Answer:
    """The context is the body, unless `remote` names one."""
    inline, context = await _body(call)
    typed = EVENTS in call.request.headers.get("accept", "")
    rendering: Rendering = Typed() if typed else Classic(parameters.flag(call.request.query, "q"))
    # Docker's first builder names an image for each step, and people run those.
    wanted = read_request(call.request, inline, step_images=not typed)

    async def work(emit: Emit) -> Built:
        return await call.backend.builds.build(wanted, context, emit)

    progress = Progress(rendering, work)
    # The first bytes decide the status: a request that cannot be understood is refused with one.
    first = await progress.begin()
    return Stream(200, progress.rest(first), {"Content-Type": rendering.media_type})


async def _body(call: Call) -> tuple[bytes | None, AsyncIterator[bytes] | None]:
    """The Dockerfile if the body is nothing but that, else the body as a context."""
    request = call.request
    remote = parameters.text(request.query, "remote")
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != DOCKERFILE:
        return None, None if remote else aiter(request.body)
    if not remote:
        raise errdefs.invalid(
            f"a body of type {DOCKERFILE} is a Dockerfile without a context: the parameter remote "
            "names one"
        )
    return await request.body.read(MAX_DOCKERFILE), None


async def cancel(call: Call) -> Answer:
    identity = parameters.text(call.request.query, "id")
    if not identity:
        raise errdefs.invalid("build ID not provided")
    await call.backend.builds.cancel(identity)
    return Reply(200)


async def cache(call: Call) -> Answer:
    """The records of the cache, in the form that the Engine API has for them."""
    return json_reply([cache_row(entry) for entry in await call.backend.builds.cache()])


async def prune(call: Call) -> Answer:
    pruned = await call.pending.complete(
        call.backend.builds.prune(read_prune_request(call.request.query))
    )
    return json_reply({"CachesDeleted": pruned.ids or None, "SpaceReclaimed": pruned.bytes})


async def output(call: Call) -> Answer:
    """A result that is no image here: a tar of files, or an archive. It can be fetched once."""
    pieces = call.backend.builds.output(call.ref)
    first = await anext(pieces)
    return Stream(200, _whole(first, pieces), {"Content-Type": media_types.TAR})


async def _whole(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        yield first
        async for piece in rest:
            yield piece
    finally:
        close = getattr(rest, "aclose", None)
        if close is not None:
            await close()


async def lend_agent(call: Call) -> Answer:
    """One connection to an ssh agent, which the client lends to a build: it stays silent until a
    step connects to its agent, and then carries that conversation.
    """
    session, _, name = call.ref.partition("/")
    if not session or not name:
        raise errdefs.invalid("lending an ssh agent: the path is /wherry/agents/SESSION/ID")

    async def takeover(wire: Wire) -> None:
        await call.backend.builds.lend_agent(session, name, wire.transport, wire.early)

    headers = {"Content-Type": media_types.RAW, "Connection": "Upgrade", "Upgrade": "tcp"}
    return Hijack(101, takeover, headers)
