"""Both command lines over every way to a daemon: unix socket, TCP, TLS and ssh."""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import archives
import pytest
import sshds
from certificates import Certificates, issue
from daemons import Daemon, poll
from programs import Program, find

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

WAYS = ("unix", "tcp", "tls", "ssh")


@dataclass(frozen=True)
class Machine:
    """A daemon, and what there is to reach it by; TCP and TLS are two daemons' ports."""

    daemon: Daemon
    port: int
    certs: Certificates


def _port(daemon: Daemon) -> int:
    def look() -> "re.Match[str] | None":
        return re.search(r"at=tcp://127\.0\.0\.1:(\d+)", daemon.log.read_text())

    return int(poll(look, "the daemon says its port")[1])


def _machine(folder: Path, certs: Certificates, tls: bool) -> Iterator[Machine]:
    daemon = Daemon()
    daemon.flags = ["-H", "tcp://127.0.0.1:0"]
    if tls:
        daemon.flags += [
            "--tlsverify", f"--tlscacert={certs.ca}", f"--tlscert={certs.server.cert}",
            f"--tlskey={certs.server.key}",
        ]  # fmt: skip
    try:
        daemon.start()
        assert daemon.load(archives.image("box:latest")).status == 200
        yield Machine(daemon, _port(daemon), certs)
        daemon.clear()
        daemon.stop()
        said = daemon.log.read_text()
        assert "unexpected" not in said, said
    finally:
        daemon.destroy()


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, certs: Certificates) -> Iterator[Machine]:
    """With TLS on its port."""
    yield from _machine(tmp_path_factory.mktemp("machine"), certs, tls=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, certs: Certificates) -> Iterator[Machine]:
    yield from _machine(tmp_path_factory.mktemp("plain"), certs, tls=False)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory, machine: Machine) -> Iterator[sshds.Sshd]:
    """Over there `docker` is a link to `wherry`, and the daemon is the one that is meant."""
    folder = tmp_path_factory.mktemp("ssh")
    there = folder / "there"
    there.mkdir()
    (there / "docker").symlink_to(Path(sys.executable).with_name("wherry"))
    address = f"unix://{machine.daemon.socket}"
    with sshds.running(folder, PATH=f"{there}:/usr/bin:/bin", DOCKER_HOST=address) as running:
        yield running


@pytest.fixture(params=[f"{name}-{way}" for name in ("docker", "wherry") for way in WAYS])
def program(
    request: pytest.FixtureRequest, certs: Certificates, tmp_path: Path
) -> Iterator[Program]:
    name, _, way = request.param.partition("-")
    machine: Machine = request.getfixturevalue("plain" if way == "tcp" else "machine")
    if way == "unix":
        yield find(name, f"unix://{machine.daemon.socket}")
    elif way == "tcp":
        yield find(name, f"tcp://127.0.0.1:{machine.port}")
    elif way == "tls":
        for source, file in (
            (certs.ca, "ca.pem"), (certs.client.cert, "cert.pem"), (certs.client.key, "key.pem"),
        ):  # fmt: skip
            shutil.copy(source, tmp_path / file)
        environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
        yield find(name, f"tcp://127.0.0.1:{machine.port}", **environment)
    else:
        sshd: sshds.Sshd = request.getfixturevalue("sshd")
        path = f"{sshd.folder}:{os.environ['PATH']}"
        yield find(name, f"ssh://{sshd.host}", PATH=path)
    machine.daemon.clear()


RUN = ("run", "--rm", "--network", "none")


def test_the_end_of_the_input_ends_the_run(program: Program) -> None:
    done = program.run(*RUN, "-i", "box", "cat", stdin=b"hi\n", seconds=20)
    assert (done.code, done.out, done.err) == (0, "hi\n", "")


def test_output_goes_on_after_the_input(program: Program) -> None:
    script = "cat >/dev/null; echo out; echo err >&2; exit 3"
    done = program.run(*RUN, "-i", "box", "sh", "-c", script, stdin=b"x", seconds=20)
    assert (done.code, done.out, done.err) == (3, "out\n", "err\n")


def test_nothing_is_lost_in_either_direction(program: Program) -> None:
    data = random.Random(1).randbytes(3 << 20).hex().encode()
    done = program.run(*RUN, "-i", "box", "cat", stdin=data, seconds=60)
    assert hashlib.sha256(done.out.encode()).digest() == hashlib.sha256(data).digest()


def test_logs_are_followed_to_the_end(program: Program) -> None:
    container = program.ok(
        "run", "-d", "--network", "none", "box", "sh", "-c", "echo a; sleep 1; echo b"
    )
    assert program.ok("logs", "-f", container) == "a\nb"


def test_attach(program: Program) -> None:
    script = "read line; echo got $line; read line; echo got $line"
    container = program.ok("run", "-d", "-i", "--network", "none", "box", "sh", "-c", script)
    done = program.run("attach", container, stdin=b"one\ntwo\n", seconds=20)
    assert (done.code, done.out) == (0, "got one\ngot two\n")


def test_a_terminal(program: Program) -> None:
    with program.terminal(*RUN, "-it", "box", "sh") as terminal:
        terminal.type("echo $((6*7))\n")
        terminal.expect("42")
        terminal.type("exit 5\n")
        assert terminal.wait() == 5


def test_archives_there_and_back(program: Program, tmp_path: Path) -> None:
    name = f"big-{program.name}:latest"
    big = tmp_path / "big.tar"
    layers = [archives.pack({"data": random.Random(2).randbytes(8 << 20)})]
    big.write_bytes(archives.docker_archive([name], layers))
    assert name in program.ok("load", "-i", str(big))
    saved = tmp_path / "saved.tar"
    program.ok("save", "-o", str(saved), name)
    assert saved.stat().st_size > 8 << 20
    program.ok("rmi", name)
    assert name in program.ok("load", "-i", str(saved))
    program.ok("rmi", name)


def test_a_build(program: Program, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM box\nCOPY data /data\nRUN wc -c </data >/size\n")
    (context / "data").write_bytes(random.Random(3).randbytes(3 << 20))
    old = Program(
        program.name, program.path, program.address,
        {**program.environment, "DOCKER_BUILDKIT": "0"},
    )  # fmt: skip
    old.ok("build", "-t", "built", str(context))
    assert program.ok(*RUN, "built", "cat", "/size") == str(3 << 20)
    program.ok("rmi", "built")


def test_who_leaves_is_forgotten(program: Program) -> None:
    container = program.ok("run", "-d", "--network", "none", "box", "sleep", "60")
    with program.popen("logs", "-f", container) as following:
        # Whatever it leaves behind is found by its command line.
        poll(lambda: following.poll() is None, "it follows")
        following.send_signal(signal.SIGKILL)
        following.wait(10)
    program.ok("rm", "-f", container)
    if program.address.startswith("ssh"):
        poll(lambda: not _dialling(), "nothing is left of the way over ssh", 20)


def _dialling() -> list[str]:
    """Processes that carry a connection over ssh to the daemons of this test."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"dial-stdio" in command and b"ssh_config" in command:
                found.append(folder.name)
    return found


def test_errors_name_the_way(certs: Certificates, sshd: sshds.Sshd) -> None:
    wherry = find("wherry", f"ssh://{sshd.host}/nothing.sock", PATH=f"{sshd.folder}:/usr/bin:/bin")
    told = wherry.run("ps").err
    assert "ssh ended with code" in told
    assert "Cannot connect to the Wherry daemon at unix:///nothing.sock" in told
    wherry = find("wherry", "ssh://127.0.0.1:1", PATH=f"{sshd.folder}:/usr/bin:/bin")
    assert "ssh ended with code 255: ssh: connect to host 127.0.0.1 port 1" in wherry.run("ps").err


def test_a_socket_over_there_may_be_named(machine: Machine, sshd: sshds.Sshd) -> None:
    address = f"ssh://{sshd.host}{machine.daemon.socket}"
    for name in ("docker", "wherry"):
        program = find(name, address, PATH=f"{sshd.folder}:{os.environ['PATH']}")
        assert program.ok("images", "-q")


def test_contexts_of_the_docker_cli(machine: Machine, certs: Certificates, tmp_path: Path) -> None:
    environment = {"DOCKER_CONFIG": str(tmp_path), "PATH": os.environ["PATH"]}
    docker = find("docker", "", **environment)
    material = f"ca={certs.ca},cert={certs.client.cert},key={certs.client.key}"
    host = f"host=tcp://127.0.0.1:{machine.port}"
    for words in (
        ("create", "there", "--docker", f"{host},{material}"),
        ("create", "unproven", "--docker", host),
        ("use", "there"),
    ):
        done = _bare(docker, "context", *words)
        assert done.returncode == 0, done
    wherry = find("wherry", "", **environment)
    assert _bare(wherry, "images", "-q").stdout
    assert _bare(wherry, "--context", "there", "images", "-q").stdout
    told = _bare(wherry, "--context", "unproven", "images").stderr
    assert b"Client sent an HTTP request to an HTTPS server" in told
    told = _bare(wherry, "--context", "nothing", "images").stderr
    assert b'context "nothing": context not found' in told


def _bare(program: Program, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """Without `-H`."""
    environment = {"HOME": "/nonexistent", **program.environment}
    return subprocess.run([program.path, *words], env=environment, capture_output=True, timeout=60)
