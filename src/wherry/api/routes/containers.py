"""A container's life: create, start, look at, rename, stop, restart, kill, remove."""

from wherry import errdefs
from wherry.api import older, parameters
from wherry.api.calls import Call, Route, json_reply, no_content
from wherry.api.decoding import read_body
from wherry.api.http.messages import Answer, Reply
from wherry.engine.model import CreateRequest


async def list_all(call: Call) -> Answer:
    query = call.request.query
    found = await call.backend.containers.list(
        parameters.flag(query, "all"),
        parameters.number(query, "limit", 0) or 0,
        parameters.flag(query, "size"),
        parameters.filters(query),
    )
    return json_reply(older.containers(found, call.version))


async def create(call: Call) -> Answer:
    query = call.request.query
    wanted = await read_body(call.request, CreateRequest)
    if wanted is None:
        raise errdefs.invalid("config cannot be empty in order to create a container")
    older.create_request(wanted, call.version)
    name = parameters.text(query, "name").removeprefix("/") or None
    platform = parameters.text(query, "platform") or None
    created = await call.pending.complete(call.backend.containers.create(name, wanted, platform))
    return json_reply(created, 201)


async def inspect(call: Call) -> Answer:
    size = parameters.flag(call.request.query, "size")
    return json_reply(await call.backend.containers.inspect(_ref(call), size))


async def start(call: Call) -> Answer:
    if parameters.text(call.request.query, "checkpoint"):
        raise errdefs.not_implemented("starting from a checkpoint is not supported by Wherry")
    if (await call.request.body.read(64 * 1024)).strip() not in (b"", b"{}", b"null"):
        raise errdefs.invalid(
            "starting container with non-empty request body was deprecated since API v1.22 "
            "and removed in v1.24"
        )
    await call.pending.complete(call.backend.containers.start(_ref(call)))
    return no_content()


async def stop(call: Call) -> Answer:
    timeout, signal = _how_to_stop(call)
    await call.pending.complete(call.backend.containers.stop(_ref(call), timeout, signal))
    return no_content()


async def restart(call: Call) -> Answer:
    timeout, signal = _how_to_stop(call)
    await call.pending.complete(call.backend.containers.restart(_ref(call), timeout, signal))
    return no_content()


def _how_to_stop(call: Call) -> tuple[int | None, str | None]:
    """The patience in seconds, and the signal, which clients before v1.42 can't choose."""
    query = call.request.query
    signal = parameters.text(query, "signal") if call.version >= (1, 42) else ""
    return parameters.number(query, "t"), signal or None


async def rename(call: Call) -> Answer:
    name = parameters.text(call.request.query, "name")
    await call.pending.complete(call.backend.containers.rename(_ref(call), name))
    return no_content()


async def kill(call: Call) -> Answer:
    signal = parameters.text(call.request.query, "signal") or "SIGKILL"
    await call.pending.complete(call.backend.containers.kill(_ref(call), signal))
    return no_content()


async def resize(call: Call) -> Answer:
    height = parameters.number(call.request.query, "h")
    width = parameters.number(call.request.query, "w")
    if height is None or width is None:
        raise errdefs.invalid("resizing needs a height h and a width w")
    if not (0 <= height < 65536 and 0 <= width < 65536):
        raise errdefs.invalid(f"no terminal has {height} rows and {width} columns")
    await call.backend.containers.resize(_ref(call), height, width)
    return Reply(200)


async def remove(call: Call) -> Answer:
    query = call.request.query
    await call.pending.complete(
        call.backend.containers.remove(
            _ref(call),
            parameters.flag(query, "force"),
            parameters.flag(query, "v"),
            parameters.flag(query, "link"),
        )
    )
    return no_content()


def _ref(call: Call) -> str:
    """`inspect` shows names with a slash in front, and people copy them."""
    return call.ref.removeprefix("/")


ROUTES: list[Route] = [
    ("GET", "/containers/json", list_all),
    ("POST", "/containers/create", create),
    ("GET", "/containers/{}/json", inspect),
    ("POST", "/containers/{}/start", start),
    ("POST", "/containers/{}/stop", stop),
    ("POST", "/containers/{}/restart", restart),
    ("POST", "/containers/{}/rename", rename),
    ("POST", "/containers/{}/kill", kill),
    ("POST", "/containers/{}/resize", resize),
    ("DELETE", "/containers/{}", remove),
]
