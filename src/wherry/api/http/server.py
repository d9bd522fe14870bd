"""Listening sockets and the connections that came by them."""

import asyncio
import socket
import ssl
from collections.abc import Callable

from wherry.api.http.connection import Connection
from wherry.api.http.messages import Application
from wherry.api.http.terminator import Terminator

# Of those who left without a word nothing is heard over TCP but that they do not answer.
_KEEPALIVE = {
    socket.TCP_KEEPIDLE: 15,
    socket.TCP_KEEPINTVL: 15,
    socket.TCP_KEEPCNT: 4,
}


class Server:
    """Serves one application on any number of listening sockets."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._listeners: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._terminators: set[Terminator] = set()
        self._stopped = False

    async def listen(
        self, listener: socket.socket, secure: Callable[[], ssl.SSLContext] | None = None
    ) -> None:
        """Accept from a bound stream socket, unix or TCP, which is the server's from now on.

        With `secure` every connection is TLS, by the context that it gives for each.
        """
        loop = asyncio.get_running_loop()
        if listener.family is not socket.AF_UNIX:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE.items():
                listener.setsockopt(socket.IPPROTO_TCP, option, value)

        def accept() -> asyncio.Protocol:
            if secure is None:
                return self._connection()
            return Terminator(secure(), self._adopt, self._terminators)

        self._listeners.append(await loop.create_server(accept, sock=listener, backlog=512))

    def _connection(self) -> Connection:
        return Connection(self._application, self._connections)

    async def _adopt(self, client: socket.socket) -> None:
        if self._stopped:
            client.close()
            return
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(self._connection, sock=client)

    def stop_accepting(self) -> None:
        """No new connection, and no new request on those that there are."""
        self._stopped = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self._connections):
            connection.close_when_idle()

    async def close(self, grace: float) -> None:
        """Let answers that are being written end within `grace` seconds, then cut what is left."""
        self.stop_accepting()
        deadline = asyncio.get_running_loop().time() + grace
        await _empty(self._connections, deadline)
        await asyncio.gather(*(connection.abandon() for connection in self._connections))
        await _empty(self._terminators, deadline)
        for terminator in list(self._terminators):
            terminator.abort()


async def _empty(things: set[Connection] | set[Terminator], deadline: float) -> None:
    """Wait until they have gone by themselves, or until then."""
    while things and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.005)
