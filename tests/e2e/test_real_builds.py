"""Builds as people do them: packages installed, programs compiled, caches and secrets used.

The base images are made of this host's own programs, so nothing comes from a network.
"""

import hashlib
import importlib.util
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

import builders
import pytest
from daemons import Daemon
from programs import Program, find

pytestmark = pytest.mark.root

NO_NETWORK = ("--network", "none")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEPT = (*builders.BASES, "py:latest")


@pytest.fixture(scope="module")
def shared() -> Iterator[Daemon]:
    if os.geteuid() != 0:
        pytest.skip("needs root and the real kernel")
    with builders.building() as daemon:
        yield daemon


@pytest.fixture
def daemon(shared: Daemon) -> Iterator[Daemon]:
    """What a test has built goes, and nothing else is left of it."""
    before = shared.picture()
    yield shared
    builders.clear(shared, KEPT)
    shared.settled(before)


@pytest.fixture
def docker(daemon: Daemon) -> Program:
    return builders.classic(daemon)


@pytest.fixture
def wherry(daemon: Daemon) -> Program:
    return find("wherry", f"unix://{daemon.socket}")


@pytest.fixture(scope="module")
def python(shared: Daemon) -> str:
    """The path of this Python in the image `py`, which has it and a shell."""
    path = os.path.realpath(sys.executable)
    builders.host_image(shared, "py", path, "sh", "ls")
    return path


def run(program: Program, image: str, *command: str) -> str:
    return program.ok("run", "--rm", *NO_NETWORK, image, *command)


# --- Packages -------------------------------------------------------------------------------------


def wheel(folder: Path, name: str, source: str, requires: str = "") -> None:
    """A wheel of one module, as a build backend would make it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-1.0.dist-info"
    needed = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needed}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(
        f"{path},sha256={urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()[:-1]},"
        f"{len(text)}\n"
        for path, text in files.items()
    )
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)


PIP = """\
FROM py
# Where the host has its Python is no business of this test.
ENV PYTHONPATH=/installer PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY pip /installer/pip
WORKDIR /app
COPY requirements.txt .
RUN --mount=type=cache,target=/root/.cache/pip \\
    --mount=type=bind,source=wheels,target=/wheels \\
    python3 -m pip install --no-index --find-links=/wheels --no-compile \\
    --target=/app/lib -r requirements.txt
ENV PYTHONPATH=/app/lib
CMD ["python3", "-c", "import greet; greet.main()"]
"""


def test_pip_installs_local_wheels(docker: Program, python: str, tmp_path: Path) -> None:
    pip = importlib.util.find_spec("pip")
    if pip is None or pip.origin is None:
        pytest.skip("needs pip beside this Python")
    folder = builders.context(
        tmp_path / "app",
        **{"Dockerfile": PIP.replace("python3", python), "requirements.txt": "greet==1.0\n"},
    )
    shutil.copytree(Path(pip.origin).parent, folder / "pip")
    wheel(folder / "wheels", "words", "HELLO = 'Grüße'\n")
    main = "import words\ndef main():\n    print(words.HELLO, 'from a wheel')\n"
    wheel(folder / "wheels", "greet", main, requires="words")
    built = docker.run("build", *NO_NETWORK, "-t", "app", str(folder))
    assert built.code == 0, built
    assert "Successfully installed greet-1.0 words-1.0" in built.out
    assert run(docker, "app") == "Grüße from a wheel"
    assert "wheels" not in run(docker, "app", "ls", "/")
    # Another source of the same program: only what comes after it is done anew.
    wheel(folder / "wheels", "words", "HELLO = 'Servus'\n")
    built = docker.run("build", *NO_NETWORK, "-t", "app", str(folder))
    assert built.out.count("Using cache") == 4, built
    assert run(docker, "app") == "Servus from a wheel"


DEBIAN = """\
FROM debian AS base
ENV DEBIAN_FRONTEND=noninteractive
COPY tables /usr/share/dpkg
RUN mkdir -p /var/lib && cd /var/lib && \\
    mkdir -p dpkg/info dpkg/updates dpkg/triggers apt/lists/partial \\
        ../cache/apt/archives/partial ../log/apt && : > dpkg/status && \\
    cd /etc && mkdir -p alternatives apt/apt.conf.d apt/preferences.d apt/sources.list.d

FROM base AS packages
COPY hello /hello
RUN chmod 755 /hello/DEBIAN/postinst && dpkg-deb --build /hello /hello_1.0_all.deb

FROM base
RUN --mount=from=packages,target=/packages \\
    apt-get update && apt-get install -y /packages/hello_1.0_all.deb && \\
    dpkg -s hello && rm -rf /var/lib/apt/lists/*
CMD ["sh", "/usr/bin/hello"]
"""
TOOLS = ("sh", "tar", "rm", "mkdir", "chmod", "cat", "diff", "ldconfig", "start-stop-daemon",
         "dpkg", "dpkg-deb", "dpkg-query", "dpkg-split", "apt-get",
         *(f"/usr/lib/apt/methods/{method}" for method in ("copy", "file", "store")))  # fmt: skip


def test_apt_installs_a_package(docker: Program, tmp_path: Path, daemon: Daemon) -> None:
    if missing := [name for name in TOOLS if shutil.which(name, path=PATH) is None]:
        pytest.skip(f"needs Debian's {', '.join(missing)}")
    builders.host_image(daemon, "debian", *TOOLS)
    folder = builders.context(
        tmp_path / "debian",
        Dockerfile=DEBIAN,
        hello__usr__bin__hello="echo hello from $(cat /etc/hello.conf)\n",
        hello__DEBIAN__control="Package: hello\nVersion: 1.0\nArchitecture: all\n"
        "Maintainer: Nobody <nobody@example.org>\nDescription: says hello\n",
        hello__DEBIAN__postinst="#!/bin/sh\necho a package > /etc/hello.conf\n",
    )
    (folder / "tables").mkdir()
    for table in Path("/usr/share/dpkg").glob("*table"):
        shutil.copy(table, folder / "tables")
    built = docker.run("build", *NO_NETWORK, "-t", "hello", str(folder))
    assert built.code == 0, built
    assert "Setting up hello (1.0)" in built.out
    assert "Status: install ok installed" in built.out
    assert run(docker, "hello") == "hello from a package"


# --- Compiling ------------------------------------------------------------------------------------

PROGRAM = """\
#include <stdio.h>
int main(void) { puts("compiled: " GREETING); return 0; }
"""
COMPILE = """\
FROM cc AS build
ARG GREETING=nothing
WORKDIR /src
COPY sysroot /
COPY *.c .
RUN --mount=type=cache,target=/objects <<EOF
set -e
for source in *.c; do
    object=/objects/$GREETING-$source.o
    if [ -e $object ]; then echo cached $source; else echo compiling $source; fi
    [ -e $object ] || gcc -O1 -DGREETING="\\"$GREETING\\"" -c $source -o $object
done
gcc -static -fno-use-linker-plugin /objects/$GREETING-*.o -o /program
EOF

FROM scratch
COPY --from=build /program /
ENTRYPOINT ["/program"]
"""


def toolchain(folder: Path) -> list[str]:
    """Copy what gcc needs to make a static program of C; answers the programs that it consists of.

    Skips where one of them is missing.
    """
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("needs gcc")

    def say(*words: str) -> str:
        return subprocess.run(
            [gcc, *words], capture_output=True, text=True, input=PROGRAM.replace("GREETING", '""')
        ).stdout.strip()

    programs = [say(f"-print-prog-name={name}") for name in ("cc1", "collect2", "as", "ld")]
    wanted = ["crt1.o", "crti.o", "crtn.o", "crtbeginT.o", "crtend.o", "libc.a", "libgcc.a",
              "libgcc_eh.a"]  # fmt: skip
    files = [say(f"-print-file-name={name}") for name in wanted]
    headers = say("-O1", "-E", "-M", "-xc", "-").replace("\\\n", " ").split()[1:]
    for path in (*files, *headers):
        if path.startswith("/"):
            place = folder / os.path.normpath(path).lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        elif path != "-":
            pytest.skip(f"needs gcc with {path}")
    return ["gcc", *programs]


def test_compiled_in_one_stage_and_run_in_another(
    daemon: Daemon, docker: Program, wherry: Program, tmp_path: Path
) -> None:
    folder = builders.context(tmp_path / "c", Dockerfile=COMPILE, **{"main.c": PROGRAM})
    builders.host_image(daemon, "cc", *toolchain(folder / "sysroot"), "sh")
    built = docker.run("build", *NO_NETWORK, "-t", "p", "--build-arg", "GREETING=once", str(folder))
    assert built.code == 0, built
    assert "compiling main.c" in built.out
    assert run(docker, "p") == "compiled: once"
    assert len(daemon.get("/images/p/json").json["RootFS"]["Layers"]) == 1
    # The step is done anew, and finds what it has cached; whatever client asks.
    (folder / "more.c").write_text("int more;\n")
    built = wherry.run("build", *NO_NETWORK, "-t", "p", "--build-arg", "GREETING=once", str(folder))
    assert built.code == 0, built
    assert "cached main.c" in built.err
    assert "compiling more.c" in built.err
    assert run(docker, "p") == "compiled: once"


# --- Caches, secrets, agents ----------------------------------------------------------------------


def test_a_cache_mount_outlives_a_build(docker: Program, wherry: Program) -> None:
    text = (
        "FROM box\n"
        "RUN --mount=type=cache,id=count,target=/c echo {0} >> /c/all && cat /c/all > /seen\n"
        "RUN test ! -e /c/all\n"
    )
    for number, program in enumerate((docker, wherry, docker), 1):
        program.ok("build", "-q", "-t", "counted", "-", stdin=text.format(number).encode())
        assert run(docker, "counted", "wc", "-l", "/seen") == f"{number} /seen"
    assert 'cached mount with id "count"' in wherry.ok("builder", "ls")
    wherry.ok("builder", "prune", "-af")
    docker.ok("build", "-q", "-t", "counted", "-", stdin=text.format(9).encode())
    assert run(docker, "counted", "cat", "/seen") == "9"


def test_secrets_leave_no_trace(wherry: Program, daemon: Daemon, tmp_path: Path) -> None:
    """Neither value is anywhere but in the steps; the Dockerfile knows them in another spelling."""
    in_file, in_variable = "a-sécret-in-a-file", "a-secret-in-a-variable"
    (tmp_path / "token").write_text(in_file)
    text = f"""\
FROM box
RUN --mount=type=secret,id=token --mount=type=secret,id=env,env=TOKEN \\
    test "$(cat /run/secrets/token)" = {in_file.replace("-", "'-'")} && \\
    test "$TOKEN" = {in_variable.replace("-", "'-'")}
USER 1000
RUN --mount=type=secret,id=token,uid=1000,target=/t test $(cat /t | wc -c) = {len(in_file) + 1}
RUN test ! -e /run/secrets/token && test -z "$TOKEN"
"""
    with_token = Program(wherry.name, wherry.path, wherry.address, {"TOKEN": in_variable})
    words = ("--secret", f"id=token,src={tmp_path}/token", "--secret", "id=env,env=TOKEN")
    built = with_token.run("build", *words, "-t", "s", "-", stdin=text.encode())
    assert built.code == 0, built
    history = wherry.ok("history", "--no-trunc", "s")
    said = [built.out, built.err, history, wherry.ok("builder", "ls"), daemon.log.read_text()]
    kept = [
        Path(parent, name).read_bytes()
        for parent, _, names in os.walk(daemon.data)
        for name in names
    ]
    for value in (in_file, in_variable):
        assert not any(value in text for text in said)
        assert not any(value.encode() in data for data in kept)
    required = b"FROM box\nRUN --mount=type=secret,id=x,required true\n"
    missing = wherry.run("build", "-", stdin=required)
    assert missing.code == 1
    assert "secret x: not found" in missing.err


class FakeAgent:
    """Answers every request that it holds one key, called `a test's key`."""

    def __init__(self, path: Path) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self.asked: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client:
                self.asked.append(client.recv(4096))
                text = b"a test's key"
                answer = b"\x0c" + struct.pack(">II", 1, 3) + b"key" + struct.pack(">I", 12) + text
                client.sendall(struct.pack(">I", len(answer)) + answer)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


def test_an_agent_answers_in_a_step(wherry: Program, python: str, tmp_path: Path) -> None:
    agent = FakeAgent(tmp_path / "agent")
    text = f"""\
FROM py
RUN --mount=type=ssh <<EOF
#!{python}
import os, socket
agent = socket.socket(socket.AF_UNIX)
agent.connect(os.environ["SSH_AUTH_SOCK"])
agent.sendall(bytes((0, 0, 0, 1, 11)))  # SSH_AGENTC_REQUEST_IDENTITIES
print(agent.recv(4096))
EOF
RUN test -z "$SSH_AUTH_SOCK"
"""
    try:
        built = wherry.run("build", "--ssh", f"default={tmp_path}/agent", "-", stdin=text.encode())
    finally:
        agent.close()
    assert built.code == 0, built
    assert "a test's key" in built.err
    assert agent.asked == [b"\0\0\0\1\x0b"]
    refused = wherry.run("build", "-", stdin=b"FROM box\nRUN --mount=type=ssh,required true\n")
    assert refused.code == 1
    assert "no agent is forwarded" in refused.err


# --- Stages and output ----------------------------------------------------------------------------


def test_stages_are_built_at_the_same_time(docker: Program, tmp_path: Path) -> None:
    """Each waits for the other: neither would end if they came one after the other."""
    wait = "until [ -e /shared/{1} ]; do sleep 0.02; done"
    stage = (
        "FROM box AS {0}\n"
        "RUN --mount=type=cache,id=meeting,target=/shared touch /shared/{0}; " + wait + "; "
        "echo {0} > /{0}\n"
    )
    text = stage.format("left", "right") + stage.format("right", "left")
    text += "FROM box AS unneeded\nRUN false\n"
    text += "FROM box\nCOPY --from=left /left /\nCOPY --from=right /right /\nRUN cat /left /right\n"
    built = docker.run("build", "-t", "met", "-", stdin=text.encode(), seconds=30)
    assert built.code == 0, built
    steps = [line for line in built.out.splitlines() if line.startswith("Step")]
    assert [line.split(" :")[0] for line in steps] == [f"Step {n}/8" for n in range(1, 9)]
    assert "left\nright\n" in built.out


@pytest.mark.parametrize("name", ["docker", "wherry"])
def test_all_output_is_shown(name: str, docker: Program, wherry: Program) -> None:
    program = {"docker": docker, "wherry": wherry}[name]
    text = "FROM box\nRUN seq -w 100000 | sed 's/$/ — ünï/' && printf 'no end'\n"
    words = ["--progress=plain"] if name == "wherry" else []
    built = program.run("build", *words, "-", stdin=text.encode())
    assert built.code == 0, built.err[-2000:]
    said = built.out + built.err
    for number in (1, 2, 50_000, 99_999, 100_000):
        assert f"{number:06} — ünï\n" in said
    assert said.count(" — ünï\n") == 100_000
    assert "no end" in said
