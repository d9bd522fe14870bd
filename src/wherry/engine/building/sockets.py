"""A socket inside a step that leads to an agent's on the host: `RUN --mount=type=ssh`.

The agent's own socket can't be given to the step. It belongs to whoever started the agent, and an
agent asks the kernel who its clients are and serves nobody else. So there is a socket of ours, with
the owner and mode that the step wants, and whoever connects to it is led on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from wherry import errdefs
from wherry.build.protocols import SocketMount

_CHUNK: Final = 1 << 16
_MOST: Final = 64
"""Connections at once: a step that opens more has these refused."""


@contextlib.asynccontextmanager
async def forwarded(folder: Path, mount: SocketMount) -> AsyncIterator[Path]:
    """A socket file in `folder`, as long as the context lasts. Raises EngineError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{secrets.token_hex(8)}.sock"
        listener = _listen(path, mount)
    except OSError as error:
        raise errdefs.from_os_error(f"forwarding the socket {mount.socket}", error) from error
    forwarder = _Forwarder(mount.socket)
    try:
        server = await asyncio.start_unix_server(forwarder.serve, sock=listener)
        try:
            yield path
        finally:
            server.close()
            await forwarder.close()
    finally:
        path.unlink(missing_ok=True)


def _listen(path: Path, mount: SocketMount) -> socket.socket:
    """By a descriptor of the folder: a socket's path has 107 bytes at most."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.chown(path, mount.uid, mount.gid)
        path.chmod(mount.mode)
    except OSError:
        listener.close()
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(folder)
    return listener


class _Forwarder:
    def __init__(self, agent: Path) -> None:
        self._agent = agent
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if len(self._connections) <= _MOST:
                await self._lead_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            return  # either side has gone: the other sees it
        finally:
            self._connections.discard(task)
            writer.close()

    async def _lead_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        agent = os.open(self._agent.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            path = f"/proc/self/fd/{agent}/{self._agent.name}"
            answers, questions = await asyncio.open_unix_connection(path)
        finally:
            os.close(agent)
        try:
            there = asyncio.ensure_future(_copy(reader, questions))
            try:
                await _copy(answers, writer)
            finally:
                there.cancel()
                await asyncio.wait([there])
        finally:
            questions.close()

    async def close(self) -> None:
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(_CHUNK):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()
