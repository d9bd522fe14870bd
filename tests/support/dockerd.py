"""Docker's own daemon, to learn from: in a folder of its own, without a bridge."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import leaks
from daemons import poll
from programs import Program, find

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Dockerd:
    folder: Path
    docker: Program

    @property
    def version(self) -> str:
        return self.docker.ok("version", "--format", "{{.Server.Version}}")


@contextlib.contextmanager
def running() -> Iterator[Dockerd]:
    """It, and nothing of it afterwards. Raises FileNotFoundError where it is not installed."""
    program = shutil.which("dockerd", path=PATH)
    if program is None:
        raise FileNotFoundError("dockerd is not installed")
    folder = Path(tempfile.mkdtemp(prefix="wherry-dockerd-", dir="/tmp"))
    cgroup = leaks.cgroup_name("dockerd")
    # A flag and the host's own settings file must not say the same.
    settings = folder / "daemon.json"
    settings.write_text("{}")
    address = f"unix://{folder}/d.sock"
    command = [
        program, "--config-file", settings, "--data-root", folder / "data",
        "--exec-root", folder / "exec", "--pidfile", folder / "pid", "-H", address,
        "--bridge", "none", "--iptables=false", "--ip6tables=false", "--cgroup-parent", cgroup,
    ]  # fmt: skip
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={"PATH": PATH}
        )
    docker = find("docker", address)
    try:

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            return docker.run("version").code == 0

        poll(answers, "dockerd answers")
        yield Dockerd(folder, docker)
        if containers := docker.ok("ps", "-aq").split():
            docker.ok("rm", "-f", *containers)
    finally:
        process.terminate()
        process.wait(60)
        # Its containerd ends with it, and takes a moment for it.
        poll(lambda: not leaks.mentioning(str(folder)), "all its processes have ended")
        leaks.clear_cgroups(cgroup)
        for mount in reversed(leaks.mounts(str(folder))):
            subprocess.run(["umount", "-l", mount], check=True)
        shutil.rmtree(folder)
