"""What the stock docker CLI sends of a directory that it is told to build: the reference for
.dockerignore. A server that only takes the upload stands in for the daemon."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DockerSends

    def address_string(self) -> str:
        return ""

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Api-Version", "1.43")
        self.send_header("Ostype", "linux")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self._answer(b"OK")

    def do_GET(self) -> None:
        self._answer(b"{}")

    def do_POST(self) -> None:
        pieces: list[bytes] = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        self.server.received = b"".join(pieces)
        self._answer(b"{}\n")


class DockerSends(ThreadingUnixStreamServer):
    """A stand-in for the daemon, until `close`."""

    daemon_threads = True

    def __init__(self, folder: Path, docker: str) -> None:
        self.received = b""
        self._docker = docker
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DOCKER_BUILDKIT": "0",
            "DOCKER_HOST": f"unix://{folder}/standin.sock",
        }
        super().__init__(str(folder / "standin.sock"), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def archive(self, context: Path, *flags: str) -> bytes | None:
        """The archive that it sends; None if it refuses to send any."""
        self.received = b""
        done = subprocess.run(
            [self._docker, "build", *flags, str(context)],
            env=self._environment,
            capture_output=True,
            timeout=60,
        )
        self.complaint = done.stderr.decode()
        return self.received if done.returncode == 0 else None

    def names(self, context: Path, *flags: str) -> list[str] | None:
        """The names of what it sends, in its order; None if it refuses."""
        archive = self.archive(context, *flags)
        if archive is None:
            return None
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            return tar.getnames()
