"""`wherry.connect()`: a daemon, with the interface of an engine of one's own."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from wherry import errdefs
from wherry.client.address import find_address
from wherry.client.aio import AsyncEngineClient
from wherry.client.calls import attach_container
from wherry.library.anyengine import AnyEngine
from wherry.library.attaching import Attachment
from wherry.library.remote import Remote
from wherry.threads import own_threads

if TYPE_CHECKING:
    from wherry.client.address import Address
    from wherry.engine.model import AttachOptions, EventOptions, EventStream


class RemoteEngine(AnyEngine):
    """A daemon's engine; see `AnyEngine`."""

    def __init__(self, address: Address, *, stop_timeout: int | None = None) -> None:
        super().__init__(stop_timeout=stop_timeout)
        self.client = AsyncEngineClient(address)
        """For what the interface does not have."""
        self._backend = Remote(self.client)
        self._undo = contextlib.AsyncExitStack()

    @property
    def backend(self) -> Remote:
        return self._backend

    async def attach(self, ref: str, options: AttachOptions) -> Attachment:
        tty = (await self._backend.containers.inspect(ref, False)).config.tty
        call = attach_container(
            ref,
            stdin=options.stdin,
            stdout=options.stdout,
            stderr=options.stderr,
            logs=options.logs,
        )
        return Attachment(await self.client.attach(call), tty=tty)

    async def listen(self, options: EventOptions) -> EventStream:
        events = self._backend.system.events(options)
        await events.open()
        return events

    async def _open(self) -> None:
        async with contextlib.AsyncExitStack() as undo:
            await undo.enter_async_context(own_threads())
            await self.client.api_version()
            self._undo = undo.pop_all()

    async def _close(self) -> None:
        """Each call had a connection of its own."""
        await self._undo.aclose()


def connect(host: str | None = None, *, stop_timeout: int | None = None) -> RemoteEngine:
    """A daemon's engine, for `async with`.

    `host` is as `-H` has it (`unix:///path`, `tcp://name:port`, `ssh://name`); by default it is
    found as `wherry` does: `WHERRY_HOST`, `DOCKER_HOST`, the docker CLI's context, the default
    socket. Raises InvalidArgument for a host that makes no sense; that nobody answers there is told
    when it is entered.
    """
    try:
        address = find_address(host, os.environ)
    except ValueError as error:
        raise errdefs.invalid(str(error)) from error
    return RemoteEngine(address, stop_timeout=stop_timeout)
