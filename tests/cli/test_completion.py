"""Completion: what may come next, and that the shells take it."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from programs import Program

from wherry.cli.command import Context
from wherry.cli.completion.candidates import candidates
from wherry.cli.completion.scripts import SCRIPTS
from wherry.cli.completion.values import ARGUMENTS, FILTERS, OPTIONS, OWN_OPTIONS
from wherry.cli.program import COMMANDS, find_command

CONTAINERS = [
    {"Id": "1" * 64, "Names": ["/web"], "Image": "busybox", "Status": "Up 2 hours"},
    {"Id": "2" * 64, "Names": ["/worker.1"], "Image": "busybox", "Status": "Up 1 hour"},
]
IMAGES = [
    {"Id": "sha256:" + "1" * 64, "RepoTags": ["busybox:latest", "busybox:1"]},
    {"Id": "sha256:" + "2" * 64, "RepoTags": ["<none>:<none>"]},
    {"Id": "sha256:" + "3" * 64, "RepoTags": None},
]


def said(words: str, host: str | None = None) -> list[str]:
    """The candidates, without what explains them."""
    found = candidates(Context(host or "unix:///nowhere"), words.split(" "))
    return [one.partition("\t")[0] for one in found]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("p", ["ps"]),
        ("re", ["rename", "restart"]),
        ("container re", ["rename", "restart"]),
        ("image l", ["load", "ls"]),
        ("system ev", ["events"]),
        ("help re", ["rename", "restart"]),
        ("help container ren", ["rename"]),
        ("nothing ", []),
        ("container nothing ", []),
        ("--h", ["--help", "--host"]),
        ("-H unix:///x p", ["ps"]),
        ("-H ", []),
        ("ps --no", ["--no-trunc"]),
        ("container ls --no", ["--no-trunc"]),
        ("run --gp", []),
        ("run --pull m", ["missing"]),
        ("run --pull=m", ["--pull=missing"]),
        ("run --rm -itd --name x --pull n", ["never"]),
        ("run --pull always --pull n", ["never"]),
        ("ps --filter st", ["status="]),
        ("ps -af status=r", ["status=removing", "status=restarting", "status=running"]),
        ("ps --filter=status=d", ["--filter=status=dead"]),
        ("events --filter event=st", ["event=start", "event=stop"]),
        ("images -f dangling=", ["dangling=false", "dangling=true"]),
        ("load -i ", [":files"]),
        ("build ", [":directories"]),
        ("build -f ", [":files"]),
        ("import ", [":files"]),
        ("import x ", []),
        ("run busybox ", [":files"]),
        ("run busybox --r", [":files"]),
        ("run -- ", []),
        ("completion z", ["zsh"]),
        ("inspect -f j", ["json"]),
        ("system migrate-storage e", ["erofs"]),
        ("rm ", []),
    ],
)
def test_what_may_come(words: str, found: list[str]) -> None:
    assert said(words) == found


def test_every_command_is_offered() -> None:
    assert {name for name in COMMANDS if " " not in name} <= set(said(""))


def test_the_tables_speak_of_what_there_is() -> None:
    flags = {name: {flag.name for flag in find_command(name).flags} for name in COMMANDS}
    assert ARGUMENTS.keys() <= COMMANDS.keys()
    assert FILTERS.keys() <= {name for name in COMMANDS if "filter" in flags[name]}
    for option in OPTIONS:
        assert any(option in known for known in flags.values()), option
    for name, option in OWN_OPTIONS:
        assert option in flags[name], (name, option)


@pytest.fixture
def there(canned) -> str:
    canned.answers["GET", "/containers/json"] = (200, CONTAINERS)
    canned.answers["GET", "/images/json"] = (200, IMAGES)
    return f"unix://{canned.path}"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("stop w", ["web", "worker.1"]),
        ("stop web w", ["worker.1"]),
        ("container rm wo", ["worker.1"]),
        ("rename web ", []),
        ("run -it b", ["busybox:1", "busybox:latest"]),
        ("run --volumes-from wo", ["worker.1"]),
        ("ps -f ancestor=busybox:l", ["ancestor=busybox:latest"]),
        ("inspect w", ["web", "worker.1"]),
        ("inspect busy", ["busybox:1", "busybox:latest"]),
    ],
)
def test_what_the_daemon_has(there: str, words: str, found: list[str]) -> None:
    assert said(words, there) == found


def test_only_those_that_make_sense_are_asked_for(canned, there: str) -> None:
    said("stop ", there)
    said("rm ", there)
    said("start ", there)
    queries = [request[2] for request in canned.requests]
    assert queries[0] == {}
    assert queries[1] == {"all": ["1"]}
    assert queries[2] == {"all": ["1"], "filters": ['{"status":["created","exited"]}']}


def test_no_daemon_is_started_for_it(wherry) -> None:
    result = subprocess.run(
        [*wherry.command[:-2], "__complete", "--", "rm", ""],
        capture_output=True,
        env={**wherry.environment, "WHERRY_HOST": "unix:///nowhere"},
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


# --- The shells -----------------------------------------------------------------------------------


@pytest.fixture
def home(wherry, there: str, short_path: Path) -> Path:
    """A folder with `bin/wherry`, which is bound to the canned daemon, and files."""
    (short_path / "bin").mkdir()
    program = short_path / "bin/wherry"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(wherry.command[:-2])} "$@"\n')
    program.chmod(0o755)
    (short_path / "images.tar").touch()
    (short_path / "folder").mkdir()
    return short_path


def environment(home: Path, there: str) -> dict[str, str]:
    return {
        "PATH": f"{home}/bin:{os.environ['PATH']}", "HOME": str(home), "WHERRY_HOST": there,
        "TERM": "xterm", "LANG": "C.UTF-8",
    }  # fmt: skip


LINES = [
    ("wherry stop wo", ["worker.1"]),
    ("wherry run b", ["busybox:1", "busybox:latest"]),
    ("wherry run busybox:l", ["busybox:latest"]),
    ("wherry ps --filter status=ex", ["status=exited"]),
    ("wherry ps --filter stat", ["status="]),
    ("wherry load -i ima", ["images.tar"]),
    ("wherry build fol", ["folder"]),
    ("wherry container rena", ["rename"]),
    ("wherry ps --no-t", ["--no-trunc"]),
]

BASH = """
source <(wherry completion bash)
COMP_LINE=$1
COMP_POINT=${#1}
_wherry 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(("line", "found"), LINES)
def test_bash(home: Path, there: str, line: str, found: list[str]) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    result = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", line],
        capture_output=True,
        text=True,
        cwd=home,
        env=environment(home, there),
    )
    # Bash itself has what stands before the last `=` or `:`.
    word = line.rpartition(" ")[2]
    kept = max(word.rfind("="), word.rfind(":")) + 1
    assert result.stdout.splitlines() == [one[kept:] for one in found], result.stderr


@pytest.mark.parametrize(("line", "found"), LINES)
def test_fish(home: Path, there: str, line: str, found: list[str]) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    script = f"wherry completion fish | source; complete -C '{line}'"
    result = subprocess.run(
        ["fish", "--no-config", "-c", script],
        capture_output=True,
        text=True,
        cwd=home,
        env=environment(home, there),
    )
    got = [one.partition("\t")[0].rstrip("/") for one in result.stdout.splitlines()]
    assert got == found, result.stderr


SHELLS = {
    "bash": (["--norc", "-i"], ""),
    "zsh": (["-f", "-i"], "autoload -U compinit && compinit -u -D; "),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("wherry stop wo\t", "worker.1"),
        ("wherry run busybox:l\t", "busybox:latest"),
        ("wherry ps --filter status=ex\t", "status=exited"),
        ("wherry ps --filter stat\texi\t", "status=exited"),
        ("wherry load -i ima\t", "images.tar"),
        ("wherry container renam\t", "rename"),
    ],
)
def test_at_the_keyboard(home: Path, there: str, shell: str, typed: str, becomes: str) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    options, first = SHELLS[shell]
    with in_terminal(path, options, environment(home, there)) as terminal:
        terminal.type(f"{first}cd ~; PS1='> '; source <(wherry completion {shell})\n")
        terminal.type("echo rea''dy\n")
        terminal.expect(r"ready\r\n")
        # What the line has become is printed by what is put before it (Ctrl-A).
        terminal.type(f"{typed}end\x01printf '<%s>' \n")
        terminal.expect(f"<{becomes}><end>", seconds=15)


def in_terminal(path: str, options: list[str], variables: dict[str, str]):
    """A shell, as a `Program` whose words all follow."""

    class Shell(Program):
        def command(self, *words: str) -> list[str]:
            return [self.path, *words]

    return Shell("shell", path, "", variables).terminal(*options)


def test_each_shell_has_its_script(wherry) -> None:
    for shell in ("bash", "fish", "zsh"):
        assert wherry("completion", shell).stdout.decode() == SCRIPTS[shell]
    failed = wherry("completion", "ksh")
    assert failed.returncode == 1
    assert b"there is bash, fish and zsh" in failed.stderr
