"""Logs and attached clients."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from wherry import errdefs
from wherry.engine.container import Container, stream_pair
from wherry.engine.document import nanoseconds
from wherry.engine.logging_options import read_log_config
from wherry.engine.model import AttachedStream, AttachOptions, LogOptions, LogStream
from wherry.engine.stores import Stores
from wherry.logs.read import Wanted, read
from wherry.shim.runtime import Attach

BEGINNING: Final = 0.2
"""For so many seconds from its start, who asks for the log as far as it is there waits for the
container's end: Docker's starts take longer than that, so programs read what a short command has
said right after they have started it, docker-py's own tests among them."""


def logs(stores: Stores, container: Container, options: LogOptions) -> LogStream:
    """The log, and with `follow` what comes until the container ends.

    Raises InvalidArgument if neither stream was asked for, NotImplemented if nothing is logged.
    """
    if not (options.stdout or options.stderr):
        raise errdefs.invalid("Bad parameters: you must choose at least one stream")
    _check_readable(container)
    config = container.document.config
    wanted = Wanted(
        stdout=options.stdout,
        stderr=options.stderr,
        timestamps=options.timestamps,
        details=options.details,
        tail=options.tail,
        since=options.since or None,
        until=options.until or None,
        framed=not config.tty,
    )
    path = stores.log_path(container.id)
    if not container.running:
        return LogStream(config.tty, read(path, wanted))
    if options.follow:
        return LogStream(config.tty, read(path, wanted, ended=container.ended))
    return LogStream(config.tty, _begun(container, read(path, wanted)))


async def _begun(
    container: Container, log: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """The log, which nobody has begun to read, when the container has had its time to begin."""
    age = (time.time_ns() - nanoseconds(container.document.life.started_at)) / 1e9
    if 0 <= age < BEGINNING:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEGINNING - age):
                await container.ended.wait()
    async with contextlib.aclosing(log):
        async for chunk in log:
            yield chunk


def _check_readable(container: Container) -> None:
    if read_log_config(container.document.host_config.log_config).driver == "none":
        raise errdefs.not_implemented("configured logging driver does not support reading")


async def attach(stores: Stores, container: Container, options: AttachOptions) -> AttachedStream:
    """Join the streams of a running container, or of the next start of one that does not run.

    Raises Conflict if it is going away, ResourceExhausted if too many have joined it.
    """
    tty = container.document.config.tty
    ours: socket.socket | None = None
    if options.stream:
        ours = await _join(container, options)
    history: AsyncIterator[bytes] | None = None
    if options.logs:
        if not options.stream:
            _check_readable(container)
        wanted = Wanted(stdout=options.stdout, stderr=options.stderr, framed=not tty)
        history = read(stores.log_path(container.id), wanted)
    return AttachedStream(ours, tty, history)


async def _join(container: Container, options: AttachOptions) -> socket.socket:
    ours, theirs = stream_pair()
    wanted = Attach(
        theirs,
        stdin=options.stdin and container.document.config.open_stdin,
        stdout=options.stdout,
        stderr=options.stderr,
    )
    try:
        if container.removing:
            raise errdefs.conflict(f"container {container.id} is being removed")
        container.count_client(ours)
        if container.task is None:
            container.attach_later(wanted)
        else:
            await container.task.attach(wanted)
    except BaseException:
        ours.close()
        theirs.close()
        raise
    return ours
