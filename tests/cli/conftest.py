"""Programs to compare, a daemon with canned answers, and real ones: Wherry's and Docker's."""

import functools
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socketserver
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit

import leaks
import pytest

SOURCE = Path(__file__).parents[2] / "src"
LAUNCH = f"import sys; sys.path.append({str(SOURCE)!r}); from wherry.cli import leave, main; "
WHERRY = [sys.executable, "-I", "-S", "-c", LAUNCH + "leave(main(sys.argv[1:]))"]
DOCKER = ["docker"]
DOCKER_MAJOR = 28

Answer = tuple[int, object]


class Invocation:
    """A command line program, bound to one daemon."""

    def __init__(self, program: list[str], socket_path: str, home: str) -> None:
        self.command = [*program, "-H", f"unix://{socket_path}"]
        self.environment = {"PATH": os.environ["PATH"], "HOME": home, "TZ": "UTC", "LANG": "C"}

    def __call__(
        self, *arguments: str, stdin: bytes = b"", timeout: float = 30
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.command, *arguments],
            input=stdin,
            capture_output=True,
            timeout=timeout,
            env=self.environment,
        )


def read_chunks(stream: BinaryIO) -> bytes:
    """A body in chunks (RFC 9112, 7.1) without trailers."""
    pieces = []
    while size := int(stream.readline(), 16):
        pieces.append(stream.read(size))
        stream.readline()
    stream.readline()
    return b"".join(pieces)


class CannedDaemon:
    """Answers by (method, path without version); remembers the requests."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.api_version = "1.51"
        self.answers: dict[tuple[str, str], Answer] = {}
        self.requests: list[tuple[str, str, Mapping[str, list[str]], bytes]] = []
        daemon = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.client_address = ("unix", 0)
                super().handle_one_request()

            def answer(self) -> None:
                daemon.answer(self)

            do_GET = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815  http.server's names

            def log_message(self, *_: object) -> None:
                pass

        self.server = socketserver.ThreadingUnixStreamServer(path, Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        parts = url.path.split("/")
        path = "/" + "/".join(parts[2:] if parts[1].startswith("v1.") else parts[1:])
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if handler.headers.get("Transfer-Encoding") == "chunked":
            body = read_chunks(handler.rfile)
        if path != "/_ping":
            self.requests.append((handler.command, path, parse_qs(url.query), body))
        status, document = self.answers.get((handler.command, path), (404, {"message": "no"}))
        if path == "/_ping":
            status, document = 200, b""
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Api-Version", self.api_version)
        handler.send_header("Ostype", "linux")
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(payload)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(payload)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose name leaves room for a socket's in the 108 bytes that it may have."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as folder:
        yield Path(folder)


@pytest.fixture
def canned(short_path: Path) -> Iterator[CannedDaemon]:
    daemon = CannedDaemon(str(short_path / "canned.sock"))
    yield daemon
    daemon.close()


@pytest.fixture
def wherry(canned: CannedDaemon, short_path: Path) -> Invocation:
    return Invocation(WHERRY, canned.path, str(short_path))


@pytest.fixture
def invocation() -> Callable[[str, str], Invocation]:
    """Makes our command line for a socket and a home."""
    return lambda socket_path, home: Invocation(WHERRY, socket_path, home)


@functools.cache
def _docker_major() -> int:
    """Debian's docker.io brings a CLI that is years older than its daemon's API."""
    said = subprocess.run([*DOCKER, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"version (\d+)\.", said)
    return int(found[1]) if found else 0


@pytest.fixture
def docker(canned: CannedDaemon, short_path: Path) -> Invocation:
    """The stock CLI, against the same canned answers; its words are those of one version."""
    if shutil.which("docker") is None:
        pytest.skip("the stock docker CLI is not installed")
    if _docker_major() < DOCKER_MAJOR:
        pytest.skip(f"the stock docker CLI is older than {DOCKER_MAJOR}, whose words ours are")
    return Invocation(DOCKER, canned.path, str(short_path))


class Engine:
    """A running daemon with an image called busybox, and the command lines bound to it."""

    def __init__(self, name: str, folder: Path, command: list[str]) -> None:
        self.name = name
        self.folder = folder
        self.socket = str(folder / "d.sock")
        self.wherry = Invocation(WHERRY, self.socket, str(folder))
        self.docker = Invocation(DOCKER, self.socket, str(folder))
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self._daemon = subprocess.Popen(
                [*command, "-H", f"unix://{self.socket}"], stdout=log, stderr=log
            )

    def wait_and_load(self) -> None:
        wait_until(lambda: self.wherry("version").returncode == 0 or self._daemon.poll(), 30)
        assert self._daemon.poll() is None, self.log.read_text()
        loaded = self.wherry("load", stdin=_busybox_archive())
        assert loaded.returncode == 0, loaded.stderr

    def close(self) -> None:
        for identity in self.wherry("ps", "-aq").stdout.decode().split():
            self.wherry("rm", "-f", identity)
        self._daemon.send_signal(signal.SIGTERM)
        try:
            self._daemon.wait(30)
        finally:
            self._daemon.kill()
            _unmount_below(self.folder)
            shutil.rmtree(self.folder, ignore_errors=True)


def _engine(name: str, command: Callable[[Path], list[str]]) -> Iterator[Engine]:
    if os.geteuid() != 0:
        pytest.skip("needs root and the real kernel")
    if shutil.which("busybox") is None:
        pytest.skip("busybox is not installed")
    folder = Path(tempfile.mkdtemp(prefix="wherry-cli-"))
    engine = Engine(name, folder, command(folder))
    try:
        engine.wait_and_load()
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Engine]:
    if shutil.which("dockerd") is None:
        pytest.skip("dockerd is not installed")
    yield from _engine(
        "dockerd",
        lambda folder: [
            "dockerd", f"--data-root={folder}/data", f"--exec-root={folder}/exec",
            f"--pidfile={folder}/pid", "--bridge=none", "--iptables=false",
        ],
    )  # fmt: skip


@pytest.fixture(scope="session")
def wherryd() -> Iterator[Engine]:
    launch = (
        f"import sys; sys.path[:0] = {[str(SOURCE), *_packages()]!r}; "
        "from wherry.daemon import main; sys.exit(main(sys.argv[1:]))"
    )
    cgroup = leaks.cgroup_name("test")
    yield from _engine(
        "wherryd",
        lambda folder: [
            sys.executable, "-I", "-S", "-c", launch,
            f"--data-root={folder}/data", f"--exec-root={folder}/exec",
            f"--cgroup-parent={cgroup}",
        ],
    )  # fmt: skip
    leaks.clear_cgroups(cgroup)


def _packages() -> list[str]:
    return [path for path in sys.path if path.endswith("site-packages")]


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _busybox_archive() -> bytes:
    """A docker-archive of one layer: busybox under its applets' names."""
    program = Path(shutil.which("busybox") or "").read_bytes()
    links = ["sh", "echo", "cat", "sleep", "true", "stty", "env", "kill", "seq", "pwd", "id"]
    layer = _tar({"bin/busybox": program}, {f"bin/{name}": "busybox" for name in links})
    config = {
        "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": ["busybox:latest"], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer,
            "manifest.json": json.dumps(manifest).encode(),
        },
        {},
    )


def _tar(files: dict[str, bytes], links: dict[str, str]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return archive.getvalue()


def _unmount_below(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(str(folder))]):
        subprocess.run(["umount", "-l", mount], check=False)
