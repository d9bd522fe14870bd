"""An sshd of a test's own: its port, its keys, and a client that knows no others."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from daemons import poll


@dataclass(frozen=True)
class Sshd:
    """`folder` holds a program `ssh` that lets itself be let in; put it first in PATH."""

    port: int
    folder: Path
    log: Path

    @property
    def host(self) -> str:
        return f"{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1:{self.port}"


@contextlib.contextmanager
def running(folder: Path, **environment: str) -> Iterator[Sshd]:
    """An sshd whose sessions have this `environment`; a skip where there is no sshd."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    client = shutil.which("ssh")
    if program is None or client is None:
        pytest.skip("sshd and ssh are not installed")
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "id"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True, stdin=subprocess.DEVNULL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = " ".join(f"{name}={value}" for name, value in environment.items())
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/id.pub\nStrictModes no\nPasswordAuthentication no\n"
        f"PermitRootLogin prohibit-password\nMaxStartups 100\nSetEnv {variables}\n"
    )
    public = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    (folder / "ssh_config").write_text(
        f"IdentityFile {folder}/id\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known_hosts\n"
        "StrictHostKeyChecking yes\nBatchMode yes\n"
    )
    (folder / "bin").mkdir()
    wrapper = folder / "bin" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {client} -F {folder}/ssh_config "$@"\n')
    wrapper.chmod(0o755)
    log = folder / "sshd.log"
    with log.open("wb") as out:
        command = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        poll(listens, "sshd listens")
        yield Sshd(port, folder / "bin", log)
    finally:
        process.terminate()
        process.wait(30)
