"""What flows from and to a container: logs, attach, wait."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from wherry import errdefs
from wherry.api import detach, media_types, parameters
from wherry.api.calls import Call, Route
from wherry.api.errors import JSON
from wherry.api.http.messages import Answer, Hijack, Stream, Wire
from wherry.api.relay import Relay
from wherry.api.timestamps import nanoseconds
from wherry.engine.model import (
    AttachedStream,
    AttachOptions,
    LogOptions,
    Waiter,
    WaitError,
    WaitResult,
)

# docker-py reads the answer's head through a buffer, and what comes along with it is lost to it.
_HEAD_START = 0.01

CONDITIONS = ("not-running", "next-exit", "removed")


async def logs(call: Call) -> Answer:
    query = call.request.query
    tail = parameters.text(query, "tail", "all")
    options = LogOptions(
        stdout=parameters.flag(query, "stdout"),
        stderr=parameters.flag(query, "stderr"),
        timestamps=parameters.flag(query, "timestamps"),
        details=parameters.flag(query, "details"),
        follow=parameters.flag(query, "follow"),
        since=nanoseconds("since", parameters.text(query, "since")),
        until=nanoseconds("until", parameters.text(query, "until")),
        tail=int(tail) if tail.isascii() and tail.isdigit() and len(tail) < 19 else None,
    )
    if not (options.stdout or options.stderr):
        raise errdefs.invalid("Bad parameters: you must choose at least one stream")
    log = await call.backend.containers.logs(call.ref.removeprefix("/"), options)
    content_type = media_types.of_stream(log.tty, call.version)
    return Stream(200, log.chunks, {"Content-Type": content_type})


async def attach(call: Call) -> Answer:
    query = call.request.query
    keys = detach.parse(parameters.text(query, "detachKeys"))
    options = AttachOptions(
        stream=parameters.flag(query, "stream"),
        stdin=parameters.flag(query, "stdin"),
        stdout=parameters.flag(query, "stdout"),
        stderr=parameters.flag(query, "stderr"),
        logs=parameters.flag(query, "logs"),
    )
    ref = call.ref.removeprefix("/")
    attached = await call.backend.containers.attach(ref, options)
    detector = detach.Detector(keys) if attached.tty else None

    async def takeover(wire: Wire) -> None:
        relay = Relay(wire, options.stdin, detector)
        if attached.history is not None:
            await asyncio.sleep(_HEAD_START)
        await carry(wire, attached, relay)
        if relay.detached:
            await call.backend.containers.detached(ref)

    if "upgrade" not in call.request.headers:
        return Hijack(200, takeover, {"Content-Type": media_types.RAW})
    headers = {
        "Content-Type": media_types.of_stream(attached.tty, call.version),
        "Connection": "Upgrade",
        "Upgrade": "tcp",
    }
    return Hijack(101, takeover, headers)


async def carry(wire: Wire, attached: AttachedStream, relay: Relay) -> None:
    """First what was written before, then what comes."""
    try:
        if attached.history is not None:
            async for piece in attached.history:
                await relay.send(piece)
    except BaseException:
        wire.transport.close()
        if attached.socket is not None:
            attached.socket.close()
        raise
    await relay.run(attached.socket)


async def wait(call: Call) -> Answer:
    condition = parameters.text(call.request.query, "condition") or "not-running"
    if condition not in CONDITIONS:
        raise errdefs.invalid(f'invalid condition: "{condition}"')
    waiter = await call.backend.containers.wait(call.ref.removeprefix("/"), condition)
    return Stream(200, _result(waiter), {"Content-Type": JSON})


async def _result(waiter: Waiter) -> AsyncIterator[bytes]:
    """One JSON object, when the container has come to its end."""
    try:
        result = await waiter.result()
    except errdefs.EngineError as error:
        result = WaitResult(status_code=-1, error=WaitError(message=error.message))
    yield msgspec.json.encode(result) + b"\n"


ROUTES: list[Route] = [
    ("GET", "/containers/{}/logs", logs),
    ("POST", "/containers/{}/attach", attach),
    ("POST", "/containers/{}/wait", wait),
]
