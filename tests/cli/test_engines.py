"""The command line against real daemons: streams, exit codes and terminals.

By default Wherry's command line against Wherry's daemon; with WHERRY_SOAK=1 both against Docker's
as well, and the stock one against Wherry's, which shows that what is expected is what Docker does.
"""

import fcntl
import gzip
import io
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import tarfile
import termios
import time

import pytest

pytestmark = pytest.mark.root

PAIRS = ["wherry-wherryd"]
DAEMONS = ["wherryd"]
if os.environ.get("WHERRY_SOAK"):
    others = ("wherry-dockerd", "docker-dockerd", "docker-wherryd")
    PAIRS += [pytest.param(pair, marks=pytest.mark.peer) for pair in others]
    DAEMONS.append("dockerd")

RUN = ["run", "--rm", "--network", "none"]
QUIET = ["-e", "TERM=dumb"]


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._master, self._slave = pty.openpty()
        self.resize(30, 100)
        self.before = termios.tcgetattr(self._slave)
        self.output = b""
        self.process = subprocess.Popen(
            command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  no threads here
        )

    def resize(self, height: int, width: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def expect(self, text: bytes, seconds: float = 15) -> None:
        """Read until `text` comes; what came before it is forgotten."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not come: {self.output!r}"
            if select.select([self._master], [], [], left)[0]:
                self.output += os.read(self._master, 65536)
        self.output = self.output.split(text, 1)[1]

    def end(self, seconds: float = 15) -> int:
        """The exit code; the terminal is as it was."""
        try:
            code = self.process.wait(seconds)
            while select.select([self._master], [], [], 0)[0]:
                self.output += os.read(self._master, 65536)
            assert termios.tcgetattr(self._slave) == self.before
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self._master)
            os.close(self._slave)
        return code


@pytest.fixture(params=PAIRS)
def cli(request):
    """One command line, bound to one daemon."""
    program, daemon = request.param.split("-")
    return getattr(request.getfixturevalue(daemon), program)


def terminal(cli, *arguments: str) -> Terminal:
    return Terminal([*cli.command, *arguments], cli.environment)


def test_a_shell_on_a_terminal(cli) -> None:
    shell = terminal(cli, *RUN, *QUIET, "-it", "busybox", "sh")
    shell.expect(b"# ")
    shell.type(b"stty size\r")
    shell.expect(b"30 100\r\n")
    shell.type(b"echo $((40+2)); cat\r")
    shell.expect(b"42\r\n")
    shell.type(b"one\r")
    shell.expect(b"one\r\none\r\n")
    shell.type(b"\x03")
    shell.expect(b"# ")
    shell.type(b"exit 7\r")
    assert shell.end() == 7


def test_the_window_may_change_its_size(cli) -> None:
    script = "while :; do stty size; sleep 0.1; done"
    program = terminal(cli, *RUN, "-it", "busybox", "sh", "-c", script)
    program.expect(b"30 100\r\n")
    program.resize(40, 120)
    program.expect(b"40 120\r\n")
    program.type(b"\x03")
    assert program.end() == 130


def test_keys_that_detach(cli) -> None:
    typing = terminal(
        cli, "run", "-it", *QUIET, "--name", "left", "--network", "none",
        "--detach-keys", "ctrl-a,d", "busybox", "cat",
    )  # fmt: skip
    try:
        typing.type(b"one\r")
        typing.expect(b"one\r\none\r\n")
        typing.type(b"\x01d")
        assert typing.end() == 0
        inspected = cli("inspect", "-f", "{{.State.Running}}", "left")
        assert inspected.stdout == b"true\n"
        again = terminal(cli, "attach", "left")
        again.type(b"two\r")
        again.expect(b"two\r\ntwo\r\n")
        again.type(b"\x04")
        assert again.end() == 0
    finally:
        cli("rm", "-f", "left")


def test_an_unstartable_program_leaves_the_terminal_as_it_was(cli) -> None:
    failed = terminal(cli, *RUN, "-it", "busybox", "nothing-of-this-name")
    assert failed.end() == 127
    assert b"executable file not found" in failed.output


def test_three_signals_force_the_way_out(cli) -> None:
    stuck = terminal(
        cli, *RUN, "-it", "--name", "stuck", "busybox", "sh", "-c", "trap '' TERM INT; echo up; cat"
    )
    try:
        stuck.expect(b"up\r\n")
        for _ in range(3):
            stuck.process.send_signal(signal.SIGTERM)
            # Equal signals that nobody has taken yet are one.
            time.sleep(0.3)
        assert stuck.end() == 1
        assert b"got 3 SIGTERM/SIGINTs, forcefully exiting" in stuck.output
    finally:
        cli("rm", "-f", "stuck")


def test_signals_are_passed_on(cli) -> None:
    script = "trap 'echo got it; exit 9' USR1; echo up; while :; do sleep 0.1; done"
    program = subprocess.Popen(
        [*cli.command, *RUN, "busybox", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=cli.environment,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == b"up\n"
    program.send_signal(signal.SIGUSR1)
    out, err = program.communicate(timeout=15)
    assert (program.returncode, out, err) == (9, b"got it\n", b"")


def test_a_reader_that_leaves(cli) -> None:
    script = "i=0; while [ $i -lt 9999 ]; do echo line $i; i=$((i+1)); done"
    pipeline = subprocess.run(
        ["sh", "-c", '"$@" | head -n 1', "sh", *cli.command, *RUN, "busybox", "sh", "-c", script],
        capture_output=True,
        env=cli.environment,
        timeout=30,
    )
    assert pipeline.stdout == b"line 0\n"
    assert b"Traceback" not in pipeline.stderr


RUNS = [
    (["busybox", "echo", "hi"], 0, b"hi\n", b""),
    (["busybox", "sh", "-c", "echo out; echo err >&2; exit 7"], 7, b"out\n", b"err\n"),
    (["-i", "busybox", "cat"], 0, b"typed\n", b""),
    (["busybox", "cat"], 0, b"", b""),
    (["-a", "stdout", "busybox", "sh", "-c", "echo out; echo err >&2"], 0, b"out\n", b""),
    (["-a", "stdin", "-i", "busybox", "cat"], 0, b"", b""),
    (["-t", "busybox", "sh", "-c", "echo out; echo err >&2"], 0, b"out\r\nerr\r\n", b""),
    (["-u", "1:2", "-w", "/bin", "-e", "A=b", "busybox", "sh", "-c", "pwd; echo $A; id -u; id -g"],
     0, b"/bin\nb\n1\n2\n", b""),
    (["busybox", "sh", "-c", "exec >&- 2>&- <&-; sleep 0.3; exit 5"], 5, b"", b""),
    (["busybox", "nothing"], 127, b"", b"executable file not found in $PATH"),
    (["busybox", "/no/thing"], 127, b"", b"no such file or directory"),
    (["busybox", "/bin"], 126, b"", b'exec: "/bin": '),
    (["--entrypoint", "echo", "busybox", "-n", "x"], 0, b"x", b""),
    (["--read-only", "busybox", "sh", "-c", "echo x > /file"], 1, b"", b"Read-only file system"),
    (["-m", "1", "busybox", "true"], 125, b"", b"inimum memory limit"),
    (["busybox", "seq", "20000"], 0, b"".join(b"%d\n" % n for n in range(1, 20001)), b""),
    (["--init=false", "--sig-proxy=false", "busybox", "echo", "--rm"], 0, b"--rm\n", b""),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "out", "err"), RUNS, ids=[" ".join(r[0]) for r in RUNS])
def test_run(cli, words: list[str], code: int, out: bytes, err: bytes) -> None:
    result = cli(*RUN, *words, stdin=b"typed\n")
    assert (result.returncode, result.stdout) == (code, out), result.stderr
    assert err in result.stderr
    assert bool(result.stderr) == bool(err)


def test_much_through_and_back(cli) -> None:
    data = os.urandom(1 << 20) * 16
    result = cli(*RUN, "-i", "busybox", "cat", stdin=data, timeout=60)
    assert result.stdout == data


def test_a_containers_whole_life(cli) -> None:
    identity = cli("create", "-i", "--network", "none", "--name", "life", "busybox", "cat").stdout
    assert len(identity) == 65
    try:
        attached = cli("start", "-ai", "life", stdin=b"one\n")
        assert (attached.returncode, attached.stdout) == (0, b"one\n")
        assert cli("start", "life").stdout == b"life\n"
        assert cli("stop", "-t", "0", "life").stdout == b"life\n"
        assert cli("wait", "life").stdout == b"137\n"
        assert cli("logs", "life").stdout == b"one\n"
        assert cli("rm", "life").stdout == b"life\n"
        assert cli("inspect", "life").stdout == b"[]\n"
    finally:
        cli("rm", "-f", "life")


def test_logs_are_followed_to_their_end(cli) -> None:
    script = (
        "i=0; while [ $i -lt 5 ]; do echo $i; echo e$i >&2; i=$((i+1)); sleep 0.1; done; exit 3"
    )
    cli("run", "-d", "--network", "none", "--name", "said", "busybox", "sh", "-c", script)
    try:
        followed = cli("logs", "-f", "said")
        assert followed.stdout == b"0\n1\n2\n3\n4\n"
        assert followed.stderr == b"e0\ne1\ne2\ne3\ne4\n"
        last = cli("logs", "-n", "2", "said")
        assert (last.stdout, last.stderr) == (b"4\n", b"e4\n")
        timed = cli("logs", "-t", "--since", "1h", "said").stdout.splitlines()
        assert len(timed) == 5
        assert timed[0].endswith(b"Z 0")
        assert cli("wait", "said").stdout == b"3\n"
        assert cli("logs", "--until", "1h", "said").stdout == b""
    finally:
        cli("rm", "-f", "said")


def test_attach_tells_the_exit_code(cli) -> None:
    cli("run", "-di", "--network", "none", "--name", "there", "busybox", "sh")
    try:
        attached = cli("attach", "there", stdin=b"exit 6\n")
        assert attached.returncode == 6
        assert cli("attach", "there").returncode == 1
    finally:
        cli("rm", "-f", "there")


def test_images_come_and_go(cli) -> None:
    assert cli("tag", "busybox", "other:tag").returncode == 0
    assert cli("images", "-q", "other").stdout == cli("images", "-q", "busybox").stdout
    assert cli("inspect", "-f", "{{len .RepoTags}}", "busybox").stdout == b"2\n"
    assert cli("rmi", "other:tag").stdout == b"Untagged: other:tag\n"
    refused = cli("load", stdin=b"no archive")
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert cli("rmi", "other:tag").returncode == 1


def test_images_are_saved_and_come_back(cli, tmp_path) -> None:
    file = tmp_path / "saved.tar"
    shown = ["inspect", "-f", "{{.Id}} {{.RepoTags}}", "again:1"]
    assert cli("tag", "busybox", "again:1").returncode == 0
    before = cli(*shown).stdout
    assert cli("save", "-o", str(file), "again:1").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["saved.tar"]
    streamed = cli("save", "again:1", "busybox")
    assert streamed.returncode == 0
    assert cli("rmi", "again:1").returncode == 0

    loaded = cli("load", "-i", str(file))
    assert loaded.stdout == b"Loaded image: again:1\n"
    assert cli(*shown).stdout == before
    assert cli("rmi", "again:1").returncode == 0
    loaded = cli("load", stdin=streamed.stdout)
    assert sorted(loaded.stdout.split(b"\n")) == [
        b"",
        b"Loaded image: again:1",
        b"Loaded image: busybox:latest",
    ]
    assert cli(*shown).stdout == before
    assert cli("rmi", "again:1").returncode == 0

    missing = tmp_path / "missing.tar"
    refused = cli("save", "-o", str(missing), "nothing:1")
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert b"No such image: nothing:1" in refused.stderr or b"does not exist" in refused.stderr
    assert not missing.exists()
    on_terminal = terminal(cli, "save", "busybox")
    on_terminal.expect(b"cowardly refusing")
    assert on_terminal.end() == 1


def test_a_root_file_system_becomes_an_image(cli, tmp_path) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.add(shutil.which("busybox"), "bin/busybox")
    changes = ["-c", 'ENTRYPOINT ["busybox"]', "--change", 'CMD ["echo", "out of a tar"]']
    try:
        made = cli("import", *changes, "-m", "by hand", "-", "made:1", stdin=tar.getvalue())
        assert made.returncode == 0, made.stderr
        shown = cli("inspect", "-f", "{{.Id}} {{.Comment}}", "made:1")
        assert shown.stdout == made.stdout.replace(b"\n", b" by hand\n")
        assert cli(*RUN, *QUIET, "made:1").stdout == b"out of a tar\n"

        file = tmp_path / "root.tar.gz"
        file.write_bytes(gzip.compress(tar.getvalue()))
        again = cli("import", str(file), "made:2")
        assert again.returncode == 0, again.stderr
        layers = "{{.RootFS.Layers}}"
        first, second = (cli("inspect", "-f", layers, name) for name in ("made:1", "made:2"))
        assert first.stdout == second.stdout != b""
    finally:
        cli("rmi", "made:1", "made:2")
    assert cli("import", "-c", "RUN ls", "-", stdin=tar.getvalue()).returncode == 1
    assert cli("import", "-", stdin=b"no tar").returncode == 1


@pytest.mark.peer
@pytest.mark.parametrize(
    "words",
    [
        ["ps"],
        ["ps", "-as"],
        ["images"],
        ["info", "-f", "{{.Driver}}"],
        ["version", "-f", "{{.Server.Version}}"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("daemon", DAEMONS)
def test_both_command_lines_show_the_same(request, daemon: str, words: list[str]) -> None:
    if shutil.which("docker") is None:
        pytest.skip("the stock docker CLI is not installed")
    engine = request.getfixturevalue(daemon)
    engine.wherry("run", "-d", "--network", "none", "--name", "shown", "busybox", "sleep", "60")
    try:
        assert _settled(engine.wherry, words) == _settled(engine.docker, words)
    finally:
        engine.wherry("rm", "-f", "shown")


def _settled(cli, words: list[str]) -> list[str]:
    """The output without its times, which pass."""
    words_of_time = {"second", "seconds", "minute", "minutes", "About", "a", "Less", "than"}
    lines = cli(*words).stdout.decode().splitlines()
    return [
        " ".join(w for w in line.split() if w not in words_of_time and not w.isdecimal())
        for line in lines
    ]
