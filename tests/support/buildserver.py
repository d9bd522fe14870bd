"""The API over a builder that only pretends, served by a thread: for clients that block."""

import asyncio
import socket
import threading
from pathlib import Path

from fakebuilds import FakeBuilds

from wherry.api.application import Api
from wherry.api.http.server import Server


class _Backend:
    """Only the noun that is needed."""

    def __init__(self) -> None:
        self.builds = FakeBuilds()


class BuildServer:
    """Serves at `path` until it is closed; `builds` may be given another script in between."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._started = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    async def _serve(self) -> None:
        backend = _Backend()
        self.builds = backend.builds
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = Server(Api(backend))  # type: ignore[arg-type]
        await server.listen(self._listener)
        self._started.set()
        await self._stop.wait()
        await server.close(0.1)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
