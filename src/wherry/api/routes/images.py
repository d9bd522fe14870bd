"""Images: list, inspect, load, import, save, tag, history, remove."""

from collections.abc import AsyncIterator

import msgspec

from wherry import errdefs
from wherry.api import media_types, older, parameters
from wherry.api.calls import Call, Route, json_reply
from wherry.api.errors import JSON
from wherry.api.http.messages import Answer, Reply, Stream
from wherry.engine.model import ErrorDetail, ImportRequest, JSONMessage


async def list_all(call: Call) -> Answer:
    query = call.request.query
    wanted = parameters.filters(query)
    if call.version < (1, 41) and (pattern := parameters.text(query, "filter")):
        wanted.setdefault("reference", []).append(pattern)
    found = await call.backend.images.list(
        parameters.flag(query, "all"),
        wanted,
        parameters.flag(query, "digests"),
        parameters.flag(query, "shared-size"),
    )
    return json_reply(older.images(found, call.version))


async def inspect(call: Call) -> Answer:
    found = await call.backend.images.inspect(call.ref)
    return json_reply(older.image(found, call.version))


async def history(call: Call) -> Answer:
    if parameters.text(call.request.query, "platform"):
        raise _one_platform_each("the history of")
    return json_reply(await call.backend.images.history(call.ref))


def _one_platform_each(what: str) -> errdefs.EngineError:
    return errdefs.not_implemented(
        f"{what} one platform of an image: not supported by this version of Wherry, which keeps "
        "images of one platform each (leave out platform)"
    )


async def load(call: Call) -> Answer:
    quiet = parameters.flag(call.request.query, "quiet")
    messages = call.backend.images.load(aiter(call.request.body), quiet)
    try:
        # The head waits as long: many clients send no more of an archive once they have it.
        first = await anext(messages, None)
    except errdefs.EngineError as error:
        # Not with a status of its own: dockerd has none, and clients look for the line.
        return Reply(200, _line(_failure(error)), {"Content-Type": JSON})
    return Stream(200, _lines(first, messages), {"Content-Type": JSON})


async def create(call: Call) -> Answer:
    """An import. Pulling shares the path: the one has `fromSrc`, the other `fromImage`."""
    query = call.request.query
    if parameters.text(query, "fromImage"):
        raise errdefs.not_implemented(
            "pulling images: not supported by this version of Wherry (docker load and docker "
            "import take images from archives)"
        )
    source = parameters.text(query, "fromSrc")
    if source != "-":
        raise errdefs.not_implemented(
            f"importing from {source!r}: not supported by this version of Wherry, only fromSrc=-, "
            "the request's body (curl URL | docker import - NAME)"
        )
    request = ImportRequest(
        repo=parameters.text(query, "repo"),
        tag=parameters.text(query, "tag"),
        message=parameters.text(query, "message"),
        changes=query.get("changes", []),
        platform=parameters.text(query, "platform"),
    )
    image_id = await call.backend.images.import_image(aiter(call.request.body), request)
    return Reply(200, _line(JSONMessage(status=image_id)), {"Content-Type": JSON})


async def save(call: Call) -> Answer:
    """`/images/{name}/get` for one image, `/images/get?names=...` for several."""
    query = call.request.query
    if parameters.text(query, "platform"):
        raise _one_platform_each("saving")
    refs = [call.ref] if call.ref else query.get("names", [])
    if not all(refs) or not refs:
        raise errdefs.invalid("saving needs the names of images: the parameter names is empty")
    pieces = call.backend.images.save(refs)
    # The first piece decides the status: an unknown name is refused with one.
    first = await anext(pieces)
    return Stream(200, _archive(first, pieces), {"Content-Type": media_types.TAR})


async def _archive(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        yield first
        async for piece in rest:
            yield piece
    finally:
        await _close(rest)


async def _lines(
    first: JSONMessage | None, rest: AsyncIterator[JSONMessage]
) -> AsyncIterator[bytes]:
    """One JSON object a line; an error on the way is the last of them."""
    try:
        if first is not None:
            yield _line(first)
        async for message in rest:
            yield _line(message)
    except errdefs.EngineError as error:
        yield _line(_failure(error))
    finally:
        await _close(rest)


def _failure(error: errdefs.EngineError) -> JSONMessage:
    return JSONMessage(error=error.message, error_detail=ErrorDetail(message=error.message))


async def _close(pieces: AsyncIterator[object]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()


def _line(message: JSONMessage) -> bytes:
    return msgspec.json.encode(message) + b"\r\n"


async def tag(call: Call) -> Answer:
    query = call.request.query
    repository = parameters.text(query, "repo")
    if not repository:
        raise errdefs.invalid("tagging needs the new name: the parameter repo is empty")
    await call.pending.complete(
        call.backend.images.tag(call.ref, repository, parameters.text(query, "tag"))
    )
    return Reply(201)


async def delete(call: Call) -> Answer:
    query = call.request.query
    force = parameters.flag(query, "force")
    noprune = parameters.flag(query, "noprune")
    removed = await call.pending.complete(call.backend.images.delete(call.ref, force, noprune))
    return json_reply(removed)


ROUTES: list[Route] = [
    ("GET", "/images/json", list_all),
    ("GET", "/images/{}/json", inspect),
    ("GET", "/images/{}/history", history),
    ("POST", "/images/create", create),
    ("POST", "/images/load", load),
    ("GET", "/images/get", save),
    ("GET", "/images/{}/get", save),
    ("POST", "/images/{}/tag", tag),
    ("DELETE", "/images/{}", delete),
]
