"""`-H`: what it may say, what is bound for it, and who may reach that."""

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from certificates import Certificates, issue, openssl

from wherry.daemon.activation import Inherited
from wherry.daemon.credentials import TlsFiles
from wherry.daemon.hosts import InheritedHost, TcpHost, UnixHost, parse_host
from wherry.daemon.listeners import TcpListener, judge_access, open_listener
from wherry.errdefs import EngineError

NOBODY = Inherited({})


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("unix:///a/b", UnixHost("/a/b")),
        ("tcp://127.0.0.1:5", TcpHost("127.0.0.1", 5)),
        ("tcp://:5", TcpHost("", 5)),
        ("tcp://", TcpHost("127.0.0.1", 2376)),
        ("tcp://name", TcpHost("name", 2376)),
        ("tcp://[::1]:5", TcpHost("::1", 5)),
        ("tcp://[::]", TcpHost("::", 2376)),
        ("0.0.0.0:5", TcpHost("0.0.0.0", 5)),
        ("fd://", InheritedHost("")),
        ("fd://*", InheritedHost("")),
        ("fd://3", InheritedHost("3")),
        ("fd://wherry.socket", InheritedHost("wherry.socket")),
    ],
)
def test_what_is_said(text: str, host: UnixHost | TcpHost | InheritedHost) -> None:
    assert parse_host(text, tls=True) == host
    assert parse_host(str(host), tls=True) == host


@pytest.mark.parametrize(
    "text",
    ["tcp://h:x", "tcp://h:70000", "tcp://h/p", "tcp://[::1", "ssh://h", "x", "unix://x", "/a"],
)
def test_what_is_not(text: str) -> None:
    with pytest.raises(EngineError, match=r"^hosts: "):
        parse_host(text, tls=False)


def test_a_name_is_bound_at_all_its_addresses() -> None:
    listener = open_listener(TcpHost("localhost", 0), None, NOBODY)
    try:
        families = {bound.family for bound in listener.sockets}
        assert socket.AF_INET in families
        port = listener.sockets[0].getsockname()[1]
        assert listener.name == f"tcp://localhost:{port}"
    finally:
        for bound in listener.sockets:
            bound.close()


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=f"listening at tcp://127.0.0.1:{port}"):
            TcpListener(TcpHost("127.0.0.1", port))


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(EngineError, match=r"hosts: tcp://nobody\.invalid:1: "):
        TcpListener(TcpHost("nobody.invalid", 1))


@pytest.mark.parametrize(
    ("name", "verified", "accepted", "refused", "warned"),
    [
        ("127.0.0.1", False, False, False, True),
        ("127.0.0.1", True, False, False, False),
        ("0.0.0.0", False, False, True, False),
        ("0.0.0.0", False, True, False, True),
        ("0.0.0.0", True, False, False, False),
    ],
)
def test_who_may_reach_it(
    name: str, verified: bool, accepted: bool, refused: bool, warned: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    listener = TcpListener(TcpHost(name, 0))
    try:
        with caplog.at_level(logging.WARNING):
            if refused:
                with pytest.raises(EngineError, match="would make everyone root"):
                    judge_access(listener, verified, accepted)
            else:
                judge_access(listener, verified, accepted)
    finally:
        for bound in listener.sockets:
            bound.close()
    assert bool(caplog.records) == warned


# --- inherited sockets ---

INHERITING = """
import os, socket, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from wherry.daemon.activation import Inherited
from wherry.errdefs import EngineError
inherited = Inherited(os.environ)
assert not {name for name in os.environ if name.startswith("LISTEN")}
for which in sys.argv[1:]:
    try:
        taken = inherited.take(which)
    except EngineError as error:
        print(error.message)
    else:
        print([one.getsockname() if one.family != socket.AF_UNIX else "unix" for one in taken])
        assert not any(os.get_inheritable(one.fileno()) for one in taken)
"""


def inherit(*which: str, names: str, sockets: list[socket.socket]) -> list[str]:
    """What a program of a service manager makes of sockets from descriptor 3 on."""
    moves = "; ".join(f"os.dup2({one.fileno()}, {100 + at})" for at, one in enumerate(sockets))
    moves += "".join(f"; os.dup2({100 + at}, {3 + at})" for at in range(len(sockets)))
    run = f"import os, sys; {moves}; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    done = subprocess.run(
        [sys.executable, "-c", run, "-c", INHERITING, *which],
        pass_fds=[one.fileno() for one in sockets],
        env={**os.environ, "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_sockets_of_the_service_manager(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
    ):
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        at = tcp.getsockname()
        three = [tcp, unix, datagrams]
        said = inherit("9", "api", "3", "wrong", "", names="tcp:api:wrong", sockets=three)
        assert said[0] == "hosts: fd://9: the service manager gave 3 (tcp), 4 (api), 5 (wrong)"
        assert said[1:3] == ["['unix']", f"[{at!r}]"]
        assert said[3] == "hosts: the inherited socket 5 (wrong) does not listen"
        assert said[4].startswith("no sockets found via socket activation")
        assert inherit("", names="", sockets=[unix, tcp]) == [f"['unix', {at!r}]"]


def test_sockets_of_somebody_else() -> None:
    environment = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1"}
    inherited = Inherited(environment)
    assert environment == {}
    with pytest.raises(EngineError, match="make sure the service was started by systemd"):
        inherited.take("")


# --- certificates ---


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue(tmp_path_factory.mktemp("certificates"))


def test_files_that_are_no_certificates(certs: Certificates, tmp_path: Path) -> None:
    server = certs.server
    noise = tmp_path / "noise.pem"
    noise.write_text("noise")
    locked = tmp_path / "locked.pem"
    openssl("ec", "-in", server.key, "-aes128", "-passout", "pass:x", "-out", locked)
    TlsFiles(server.cert, server.key, certs.ca).context()
    for files, words in (
        (TlsFiles(tmp_path / "nothing", server.key, None), "nothing can't be read: No such file"),
        (TlsFiles(noise, server.key, None), "are not a certificate and its key in PEM"),
        (TlsFiles(server.cert, certs.client.key, None), "key values mismatch"),
        (TlsFiles(server.cert, locked, None), "the key is encrypted"),
        (TlsFiles(server.cert, server.key, noise), "noise.pem holds no certificates"),
    ):
        with pytest.raises(EngineError, match=words):
            files.context()
