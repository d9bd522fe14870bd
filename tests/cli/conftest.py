"""Programs to compare, a daemon with canned answers, and a real one of Docker's."""

import json
import os
import shutil
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

SOURCE = Path(__file__).parents[2] / "src"
LAUNCH = f"import sys; sys.path.append({str(SOURCE)!r}); from wherry.cli import leave, main; "
WHERRY = [sys.executable, "-I", "-S", "-c", LAUNCH + "leave(main(sys.argv[1:]))"]
DOCKER = ["docker"]

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
def docker(canned: CannedDaemon, short_path: Path) -> Invocation:
    """The stock CLI, against the same canned answers."""
    if shutil.which("docker") is None:
        pytest.skip("the stock docker CLI is not installed")
    return Invocation(DOCKER, canned.path, str(short_path))


class Peers:
    """Both command lines, against one dockerd with an image called busybox."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "docker.sock")
        self.wherry = Invocation(WHERRY, self.socket, str(folder))
        self.docker = Invocation(DOCKER, self.socket, str(folder))


@pytest.fixture(scope="session")
def peers() -> Iterator[Peers]:
    for program in ("docker", "dockerd", "busybox"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    folder = Path(tempfile.mkdtemp(prefix="wherry-peer-"))
    engine = subprocess.Popen(
        [
            "dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec",
            "--pidfile", folder / "pid", "-H", f"unix://{folder}/docker.sock",
            "--bridge", "none", "--iptables=false",
        ],
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("wb"),
    )  # fmt: skip
    try:
        both = Peers(folder)
        wait_until(lambda: both.docker("version").returncode == 0, 30)
        _import_busybox(both)
        yield both
        for identity in both.docker("ps", "-aq").stdout.decode().split():
            both.docker("rm", "-f", identity)
    finally:
        engine.send_signal(signal.SIGTERM)
        engine.wait(30)
        _unmount_below(folder)
        shutil.rmtree(folder, ignore_errors=True)


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _import_busybox(both: Peers) -> None:
    import io
    import tarfile

    program = Path(shutil.which("busybox") or "").read_bytes()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("bin/busybox")
        info.size, info.mode = len(program), 0o755
        tar.addfile(info, io.BytesIO(program))
        for applet in ("sh", "echo", "cat", "sleep", "true", "stty", "env", "kill", "seq", "pwd"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    result = both.docker(
        "import", "-c", "ENV PATH=/bin", "-c", 'CMD ["sh"]', "-", "busybox",
        stdin=archive.getvalue(),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


def _unmount_below(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(str(folder))]):
        subprocess.run(["umount", "-l", mount], check=False)
