"""The daemon and who manages it: several sockets, notes, reload, and an end in order."""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from certificates import Certificates, issue
from daemons import poll

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

PROGRAM = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from wherry.daemon import main
sys.exit(main(sys.argv[1:]))
"""


class Service:
    """A daemon as a service manager starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cgroup = leaks.cgroup_name("test")
        self.config = folder / "daemon.json"
        self.process: subprocess.Popen[bytes] | None = None
        self.notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notes.bind(str(folder / "notify"))
        self.notes.settimeout(30)
        self.log = folder / "log"

    def start(self, *flags: str, inherited: list[socket.socket] | None = None) -> None:
        """`inherited` are on the descriptors from 3 on; there are at most two."""
        roots = [
            "--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "run"),
            "--cgroup-parent", self.cgroup, "--config-file", str(self.config),
        ]  # fmt: skip
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify")}
        fds = [one.fileno() for one in inherited or []]
        if fds:
            environment |= {"LISTEN_FDS": str(len(fds))}
        if not self.config.exists():
            self.config.write_text("{}")
        moves = "".join(f"os.dup2({fd}, {100 + at}); " for at, fd in enumerate(fds))
        moves += "".join(f"os.dup2({100 + at}, {3 + at}); " for at in range(len(fds)))
        moves += "os.closerange(100, 110); " if fds else ""
        run = f"import os, sys; {moves}os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", run, "-c", PROGRAM, *roots, *flags],
                stderr=log,
                env=environment,
                pass_fds=fds,
            )

    def note(self) -> list[str]:
        """What the service manager is told next."""
        return self.notes.recv(4096).decode().split("\n")

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> int:
        assert self.process is not None
        return self.process.wait(30)

    def get(self, path: str, over: "socket.socket | None" = None) -> object:
        connection = http.client.HTTPConnection("wherry", timeout=10)
        if over is None:
            over = socket.socket(socket.AF_UNIX)
            over.connect(str(self.folder / "run/wherry.sock"))
        with over as connection.sock:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())

    def said(self, words: str) -> str:
        """The first line of the log with these words, when it is there."""

        def look() -> str:
            return next((line for line in self.log.read_text().splitlines() if words in line), "")

        return poll(look, f"the daemon logs {words!r}")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    if made.process is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            made.process.terminate()
            made.process.wait(30)
        made.process.kill()
        made.process.wait()
    made.notes.close()
    leaks.clear_cgroups(made.cgroup)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue(tmp_path_factory.mktemp("certificates"))


def tls_flags(certs: Certificates) -> list[str]:
    return [
        "--tlsverify", f"--tlscacert={certs.ca}", f"--tlscert={certs.server.cert}",
        f"--tlskey={certs.server.key}",
    ]  # fmt: skip


def test_a_service_with_many_doors(service: Service, certs: Certificates, tmp_path: Path) -> None:
    path = tmp_path / "activated.sock"
    with socket.socket(socket.AF_UNIX) as unix, socket.create_server(("127.0.0.1", 0)) as tcp:
        unix.bind(str(path))
        unix.listen()
        other = f"unix://{tmp_path}/other.sock"
        service.start(
            "-H", "fd://", "-H", other, "-H", "tcp://localhost:0", *tls_flags(certs),
            inherited=[unix, tcp],
        )  # fmt: skip
        assert service.note()[0] == "READY=1"
        at = service.said("at=tcp://localhost:").rpartition(":")[2]
        for place in (path, tmp_path / "other.sock"):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(place))
            assert isinstance(service.get("/version", client), dict)
        context = ssl.create_default_context(cafile=str(certs.ca))
        context.load_cert_chain(certs.client.cert, certs.client.key)
        for port in (int(at), tcp.getsockname()[1]):
            plain = socket.create_connection(("127.0.0.1", port))
            client = context.wrap_socket(plain, server_hostname="localhost")
            assert isinstance(service.get("/version", client), dict)
        service.signal(signal.SIGTERM)
        assert service.note() == ["STOPPING=1"]
        assert service.end() == 0
    # What the service manager has bound is its own, and still there.
    assert path.exists()
    assert not (tmp_path / "other.sock").exists()


def test_a_door_too_far_open(service: Service) -> None:
    service.start("-H", "tcp://0.0.0.0:0")
    assert service.end() == 1
    assert "would make everyone root on this machine" in service.log.read_text()


def test_a_door_that_somebody_wants_open(service: Service) -> None:
    service.start("-H", "tcp://0.0.0.0:0", "--tls=false")
    assert service.note()[0] == "READY=1"
    assert "level=warning" in service.said("whoever reaches this address is root")


def test_without_the_service_manager_there_are_no_sockets(service: Service) -> None:
    service.start("-H", "fd://")
    assert service.end() == 1
    assert "make sure the service was started by systemd" in service.log.read_text()


def test_missing_certificates_are_named(service: Service, certs: Certificates) -> None:
    flags = tls_flags(certs)
    flags[1] = "--tlscacert=/nothing/ca.pem"
    service.start("-H", "tcp://127.0.0.1:0", *flags)
    assert service.end() == 1
    assert "/nothing/ca.pem can't be read: No such file" in service.log.read_text()


def test_a_reload(service: Service) -> None:
    service.config.write_text('{"labels": ["a=1"]}')
    service.start()
    assert service.note()[0] == "READY=1"
    info = service.get("/info")
    assert isinstance(info, dict)
    assert (info["Labels"], info["Debug"]) == (["a=1"], False)

    service.config.write_text('{"labels": ["a=2"], "debug": true, "data-root": "/elsewhere"}')
    service.signal(signal.SIGHUP)
    first, since = service.note()
    assert first == "RELOADING=1"
    assert since.startswith("MONOTONIC_USEC=")
    assert service.note()[0] == "READY=1"
    # A flag and the file say the data root: the whole is refused.
    assert "specified both as a flag and in the configuration" in service.said("not reloaded")

    service.config.write_text('{"labels": ["a=2"], "debug": true, "log-driver": "none"}')
    service.signal(signal.SIGHUP)
    assert service.note()[0] == "RELOADING=1"
    assert service.note()[0] == "READY=1"
    assert "unchanged=log-driver" in service.said("waits for the next start")
    info = service.get("/info")
    assert isinstance(info, dict)
    assert (info["Labels"], info["Debug"]) == (["a=2"], True)


def test_certificates_are_read_anew(service: Service, certs: Certificates, tmp_path: Path) -> None:
    newer = issue(tmp_path / "newer")
    files = [tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")]

    def put(given: Certificates) -> None:
        for file, source in zip(
            files, (given.ca, given.server.cert, given.server.key), strict=True
        ):
            file.write_bytes(source.read_bytes())

    put(certs)
    names = ("--tlscacert", "--tlscert", "--tlskey")
    flags = [f"{name}={file}" for name, file in zip(names, files, strict=True)]
    service.start("-H", "tcp://127.0.0.1:0", "--tlsverify", *flags)
    assert service.note()[0] == "READY=1"
    port = int(service.said("at=tcp://127.0.0.1:").rpartition(":")[2])
    put(newer)
    service.signal(signal.SIGHUP)
    assert service.note()[0] == "RELOADING=1"
    assert service.note()[0] == "READY=1"
    context = ssl.create_default_context(cafile=str(newer.ca))
    context.load_cert_chain(newer.client.cert, newer.client.key)
    plain = socket.create_connection(("127.0.0.1", port))
    client = context.wrap_socket(plain, server_hostname="127.0.0.1")
    assert isinstance(service.get("/version", client), dict)


def test_an_end_in_order(service: Service) -> None:
    """The event stream comes to its end, whole, and nobody new is let in."""
    service.start()
    assert service.note()[0] == "READY=1"
    listening = http.client.HTTPConnection("wherry", timeout=30)
    path = str(service.folder / "run/wherry.sock")
    with socket.socket(socket.AF_UNIX) as listening.sock:
        listening.sock.connect(path)
        listening.request("GET", "/events")
        answer = listening.getresponse()
        service.signal(signal.SIGHUP)
        event = json.loads(answer.readline())
        assert (event["Type"], event["Action"]) == ("daemon", "reload")
        assert event["Actor"]["Attributes"]["live-restore"] == "true"
        service.signal(signal.SIGTERM)
        assert answer.read() == b""  # http.client raises IncompleteRead where it is cut
    assert service.end() == 0
    assert not os.path.exists(path)
