"""Listening sockets and the connections that came by them."""

import asyncio
import socket

from wherry.api.http.connection import Connection
from wherry.api.http.messages import Application


class Server:
    """Serves one application on any number of listening sockets."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._listeners: list[asyncio.Server] = []
        self._connections: set[Connection] = set()

    async def listen(self, listener: socket.socket) -> None:
        """Accept from a bound stream socket, which is the server's from now on."""
        loop = asyncio.get_running_loop()
        open_server = (
            loop.create_unix_server if listener.family is socket.AF_UNIX else loop.create_server
        )
        self._listeners.append(
            await open_server(
                lambda: Connection(self._application, self._connections), sock=listener, backlog=512
            )
        )

    def stop_accepting(self) -> None:
        """No new connection, and no new request on those that there are."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self._connections):
            connection.close_when_idle()

    async def close(self, grace: float) -> None:
        """Let answers that are being written end within `grace` seconds, then cut what is left."""
        self.stop_accepting()
        deadline = asyncio.get_running_loop().time() + grace
        while self._connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.005)
        await asyncio.gather(*(connection.abandon() for connection in self._connections))
