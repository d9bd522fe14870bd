"""A daemon that says what a test tells it to, byte for byte."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wherry.client.address import UnixAddress


class ScriptedDaemon:
    """Answers each connection with the next script; remembers what it was sent."""

    def __init__(self, path: Path) -> None:
        self.address = UnixAddress(str(path))
        self.received: list[bytes] = []
        self._scripts: list[Callable[[socket.socket], None]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def then(self, script: Callable[[socket.socket], None]) -> None:
        self._scripts.append(script)

    def then_say(self, *answers: bytes) -> None:
        """On the next connection, answer each request with one of `answers`, then close."""

        def script(peer: socket.socket) -> None:
            for answer in answers:
                self.read_request(peer)
                peer.sendall(answer)

        self.then(script)

    def read_request(self, peer: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request:
            data = peer.recv(65536)
            if not data:
                break
            request += data
        self.received.append(request)
        return request

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer:
                if self._scripts:
                    self._scripts.pop(0)(peer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[ScriptedDaemon]:
    scripted = ScriptedDaemon(tmp_path / "d.sock")
    yield scripted
    scripted.close()
