"""ssh agents that clients lend to their builds.

    client --POST /wherry/agents/SESSION/ID--> an offer: a connection that waits
    ssh in a step --> socket in a private folder --> the oldest offer: bytes go both ways

An offer carries one conversation. A client makes the next one when the first bytes of this come.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections import deque
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from wherry import errdefs

_Key: TypeAlias = tuple[str, str]

# How long a step waits for its client to offer a connection.
PATIENCE: Final = 10.0
MAX_OFFERS: Final = 16
_PIECE: Final = 64 * 1024


class _Offer:
    """A client's connection, and whoever uses it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.user: asyncio.Future[asyncio.StreamWriter] = asyncio.Future()

    async def carry(self) -> None:
        """What the client sends, to whoever uses it; until the client leaves."""
        with contextlib.suppress(ConnectionError):
            while data := await self.reader.read(_PIECE):
                user = await self.user
                user.write(data)
                await user.drain()


class Agents:
    """Sockets for steps, and the clients' connections behind them."""

    def __init__(self, parent: Path) -> None:
        """`parent` is a directory that only we can enter; it is made when it is needed."""
        self._parent = parent
        self._offers: dict[_Key, deque[_Offer]] = {}
        self._news = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def sockets(self, agents: Mapping[str, str]) -> AsyncIterator[Mapping[str, Path]]:
        """A socket for each agent (its session by its ID), while the context lasts."""
        if not agents:
            yield {}
            return
        async with contextlib.AsyncExitStack() as undo:
            try:
                self._parent.mkdir(0o700, parents=True, exist_ok=True)
                folder = self._parent / secrets.token_hex(8)
                folder.mkdir(0o700)
                undo.callback(shutil.rmtree, folder, ignore_errors=True)
                found: dict[str, Path] = {}
                for number, (name, session) in enumerate(agents.items()):
                    path = folder / f"{number}.sock"
                    server = await self._listen((session, name), path)
                    undo.callback(server.close)
                    found[name] = path
            except OSError as error:
                raise errdefs.from_os_error("making a socket for an ssh agent", error) from error
            yield found

    async def lend(
        self, session: str, name: str, transport: asyncio.Transport, early: bytes
    ) -> None:
        """See `BuildsBackend.lend_agent`."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        reader.feed_data(early)
        offer = _Offer(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        offers = self._offers.setdefault((session, name), deque())
        try:
            if len(offers) >= MAX_OFFERS:
                return
            offers.append(offer)
            async with self._news:
                self._news.notify_all()
            await offer.carry()
        finally:
            if offer in offers:
                offers.remove(offer)
            if not offers:
                self._offers.pop((session, name), None)
            if offer.user.done() and not offer.user.cancelled():
                offer.user.result().close()
            transport.close()

    async def _listen(self, key: _Key, path: Path) -> asyncio.Server:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                offer = await self._next(key)
                offer.user.set_result(writer)
                await _copy(reader, offer.writer)
                offer.writer.close()
            except TimeoutError:
                return  # the client has gone: to ssh the agent has
            finally:
                writer.close()

        return await asyncio.start_unix_server(converse, path)

    async def _next(self, key: _Key) -> _Offer:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: self._offers.get(key))
            return self._offers[key].popleft()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
