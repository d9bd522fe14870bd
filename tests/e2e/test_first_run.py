"""An image becomes a container: the first things that anybody does, by both command lines."""

import re
import signal
import subprocess
import time
from pathlib import Path

import archives
import pytest
from daemons import Daemon, poll
from programs import Program

pytestmark = pytest.mark.root


def none(*words: str) -> tuple[str, ...]:
    """The words of a run without a network."""
    return ("run", "--network", "none", *words)


def test_load_tag_images_rmi(program: Program, daemon: Daemon, tmp_path: Path) -> None:
    before = daemon.picture()
    archive = archives.image("cargo:1", Labels={"by": "a test"})
    file = tmp_path / "cargo.tar"
    file.write_bytes(archive)
    assert program.ok("load", "-i", str(file)) == "Loaded image: cargo:1"
    assert program.ok("load", stdin=archive).endswith("Loaded image: cargo:1")
    program.ok("tag", "cargo:1", "example.com:5000/team/cargo:two")
    listed = program.ok("images", "--format", "{{.Repository}} {{.Tag}} {{.ID}}").splitlines()
    short = archives.image_id(archive).removeprefix("sha256:")[:12]
    assert f"cargo 1 {short}" in listed
    assert f"example.com:5000/team/cargo two {short}" in listed
    found = program.ok("inspect", "-f", '{{.Id}} {{index .Config.Labels "by"}}', "cargo:1")
    assert found == f"{archives.image_id(archive)} a test"
    assert program.ok("rmi", "cargo:1") == "Untagged: cargo:1"
    said = program.ok("rmi", "example.com:5000/team/cargo:two").splitlines()
    assert said[0] == "Untagged: example.com:5000/team/cargo:two"
    assert f"Deleted: {archives.image_id(archive)}" in said
    daemon.settled(before)


def test_run_and_forget(program: Program, daemon: Daemon) -> None:
    done = program.run(*none("--rm", "box", "echo", "hi"))
    assert (done.code, done.out, done.err) == (0, "hi\n", "")
    assert daemon.containers() == []


def test_without_a_network_asked_for_there_is_a_warning(program: Program) -> None:
    done = program.run("run", "--rm", "box", "echo", "hi")
    assert (done.code, done.out) == (0, "hi\n")
    assert "WARNING" in done.err
    assert "none" in done.err


def test_output_and_errors_are_kept_apart(program: Program) -> None:
    done = program.run(*none("--rm", "box", "sh", "-c", "echo out; echo err >&2; exit 3"))
    assert (done.code, done.out, done.err) == (3, "out\n", "err\n")


def test_input_goes_through(program: Program) -> None:
    assert program.ok(*none("--rm", "-i", "box", "cat"), stdin=b"x\n") == "x"
    data = bytes(range(256)) * 4096
    counted = program.ok(*none("--rm", "-i", "box", "md5sum"), stdin=data)
    again = subprocess.run(["md5sum"], input=data, capture_output=True, check=True)
    assert counted == again.stdout.decode().strip()


def test_a_shell_on_a_terminal(program: Program) -> None:
    with program.terminal(*none("--rm", "-it", "box", "sh"), rows=30, columns=100) as person:
        person.expect("# ")
        person.type("stty size; tty\n")
        person.expect(r"30 100\r\n/dev/(console|pts/0)")
        person.resize(41, 132)
        # The news of it takes its own way.
        person.type("until [ \"$(stty size)\" = '41 132' ]; do :; done; echo re'sized'\n")
        person.expect("resized")
        person.type("sleep 1000\n")
        person.expect("sleep 1000\r\n")
        time.sleep(0.05)  # the shell has to hand the terminal over to what it starts
        person.type("\x03")
        person.expect("# ")
        person.type("echo code $?; trap\n")
        person.expect("code 130")
        person.type("exit 42\n")
        assert person.wait() == 42


def test_ctrl_c_ends_what_does_not_catch_it(program: Program) -> None:
    words = ("sh", "-c", "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.05; done")
    with program.terminal(*none("--rm", "-it", "box", *words)) as person:
        person.expect("ready")
        person.type("\x03")
        person.expect("caught")
        assert person.wait() == 7


def test_detached(program: Program) -> None:
    container = program.ok(*none("-d", "--name", "quiet", "box", "sleep", "1000"))
    assert len(container) == 64
    listed = program.ok("ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}} {{.State}}")
    assert listed == f"{container} quiet box running"
    assert program.ok("stop", "-t", "0", "quiet") == "quiet"
    assert program.ok("ps", "-q") == ""
    assert program.ok("ps", "-a", "--format", "{{.Names}} {{.State}}") == "quiet exited"
    assert program.ok("inspect", "-f", "{{.State.ExitCode}}", "quiet") == "137"
    assert program.ok("rm", "quiet") == "quiet"


def test_logs_are_followed_to_the_end(program: Program, tmp_path: Path) -> None:
    (tmp_path / "go").mkdir()
    script = "echo one; until [ -e /go/on ]; do sleep 0.02; done; echo two; echo three >&2"
    program.ok(
        *none("-d", "--name", "talker", "-v", f"{tmp_path}/go:/go:ro", "box", "sh", "-c", script)
    )
    with program.popen("logs", "-f", "talker") as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"one\n"
        (tmp_path / "go/on").touch()
        out, err = follower.communicate(timeout=30)
    assert (follower.returncode, out, err) == (0, b"two\n", b"three\n")
    done = program.run("logs", "--tail", "2", "talker")
    assert (done.out, done.err) == ("two\n", "three\n")


def test_who_attaches_sees_the_screen_drawn_anew(program: Program) -> None:
    script = "trap 'echo drawn' WINCH; while :; do sleep 0.05; done"
    program.ok(*none("-dit", "--name", "screen", "box", "sh", "-c", script))
    for _ in range(2):  # the second time, its terminal has the right size already
        with program.terminal("attach", "screen", rows=30, columns=100) as person:
            person.expect("drawn")
            person.type("\x10\x11")
            person.wait()


def test_attach_and_detach(program: Program) -> None:
    program.ok(*none("-dit", "--name", "sh", "box", "sh"))
    with program.terminal("attach", "sh") as person:
        person.type("echo he'llo'\n")
        person.expect("hello")
        person.type("\x10\x11")  # ctrl-p ctrl-q
        person.wait()
    assert program.ok("inspect", "-f", "{{.State.Running}}", "sh") == "true"
    with program.terminal("attach", "sh") as person:
        person.type("exit 5\n")
        assert person.wait() == 5


def test_attach_without_a_terminal(program: Program) -> None:
    script = "read line; echo got $line; exit 6"
    program.ok(*none("-di", "--name", "reader", "box", "sh", "-c", script))
    done = program.run("attach", "reader", stdin=b"something\n")
    assert (done.code, done.out) == (6, "got something\n")


def test_wait_tells_the_exit_code(program: Program) -> None:
    program.ok(*none("-d", "--name", "first", "box", "sh", "-c", "exit 9"))
    program.ok(*none("-d", "--name", "second", "box", "sleep", "1000"))
    with program.popen("wait", "first", "second") as waiter:
        assert waiter.stdout is not None
        assert waiter.stdout.readline() == b"9\n"
        program.ok("kill", "second")
        out, _ = waiter.communicate(timeout=30)
    assert (waiter.returncode, out) == (0, b"137\n")


def test_create_and_start(program: Program) -> None:
    program.ok(
        "create", "--network", "none", "--name", "later", "box", "sh", "-c", "echo hi; exit 4"
    )
    assert program.ok("ps", "-a", "--format", "{{.Status}}") == "Created"
    done = program.run("start", "-a", "later")
    assert (done.code, done.out) == (4, "hi\n")
    program.ok("create", "--network", "none", "-i", "--name", "cat", "box", "cat")
    done = program.run("start", "-ai", "cat", stdin=b"meow\n")
    assert (done.code, done.out) == (0, "meow\n")
    assert program.ok("start", "later") == "later"
    program.ok("wait", "later")
    assert program.ok("logs", "later") == "hi\nhi"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("no-such-image:1",), 125, "no-such-image:1"),
        (("--memory", "1", "box", "true"), 125, "memory limit"),
        (("box", "/etc/passwd"), 126, "permission denied"),
        (("box", "/etc"), 126, "permission denied|is a directory"),
        (("box", "no-such-program"), 127, "executable file not found in \\$PATH"),
        (("box", "/no/such/program"), 127, "no such file or directory"),
        (("-w", "/etc/passwd/x", "box", "true"), 125, "not a directory|mkdir"),
        (("-u", "nobody-here", "box", "true"), 125, "no matching entries in passwd file"),
    ],
)  # fmt: skip
def test_exit_codes(
    program: Program, daemon: Daemon, words: tuple[str, ...], code: int, said: str
) -> None:
    done = program.run(*none("--rm", *words))
    if program.name == "docker" and done.code == 125 and "is a directory" in done.err:
        pytest.skip("a docker CLI before 23 does not know these words")
    assert done.code == code, done
    assert re.search(said, done.err), done
    assert "Traceback" not in done.err
    assert daemon.containers() == []


def test_a_signal_to_the_client_reaches_the_program(program: Program) -> None:
    script = "trap 'echo bye; exit 12' TERM; echo ready; while :; do sleep 0.05; done"
    with program.popen(*none("--rm", "box", "sh", "-c", script)) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        client.send_signal(signal.SIGTERM)
        out, _ = client.communicate(timeout=30)
    assert (client.returncode, out) == (12, b"bye\n")


def test_kill_by_name_of_signal(program: Program) -> None:
    script = "trap 'exit 11' USR1; echo ready; while :; do sleep 0.05; done"
    program.ok(*none("-d", "--name", "trap", "box", "sh", "-c", script))
    poll(lambda: "ready" in program.ok("logs", "trap"), "the trap is set")
    program.ok("kill", "-s", "USR1", "trap")
    assert program.ok("wait", "trap") == "11"
    done = program.run("kill", "trap")
    assert done.code == 1
    assert "is not running" in done.err


def test_rm_only_by_force_while_it_runs(program: Program) -> None:
    program.ok(*none("-d", "--name", "busy", "box", "sleep", "1000"))
    done = program.run("rm", "busy")
    assert done.code == 1
    assert "container is running" in done.err
    assert program.ok("rm", "-f", "busy") == "busy"
    assert program.ok("ps", "-aq") == ""
    assert "No such container" in program.run("inspect", "--type", "container", "busy").err
