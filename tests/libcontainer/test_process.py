"""What becomes of a process before execve: its program, its environment, its namespaces."""

import os
from pathlib import Path

import pytest

from wherry.errdefs import EngineError
from wherry.libcontainer import namespaces, process
from wherry.libcontainer.passwd import Identity
from wherry.libcontainer.sync import StartFailure
from wherry.linux import syscalls as sc

NOBODY = Identity(7, 7, (7,), "/home/seven")


def test_the_later_variable_wins_and_home_is_the_users() -> None:
    env = process.environment({"env": ["A=1", "A=2=3", "EMPTY=", "NOTHING", "=odd"]}, NOBODY)
    assert env == {"A": "2=3", "EMPTY": "", "NOTHING": "", "HOME": "/home/seven"}
    assert process.environment({"env": ["HOME=/x"]}, NOBODY)["HOME"] == "/x"


def test_a_program_is_looked_for_along_the_path(tmp_path: Path) -> None:
    for name, mode in (("one/tool", 0o644), ("two/tool", 0o755), ("two/text", 0o644)):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("")
        file.chmod(mode)
    env = {"PATH": f"{tmp_path}/none:{tmp_path}/one:{tmp_path}/two"}
    assert process.find_program("tool", env) == f"{tmp_path}/two/tool"
    with pytest.raises(StartFailure, match=r'exec: "text": permission denied') as caught:
        process.find_program("text", env)
    assert caught.value.exit_code == 126
    with pytest.raises(StartFailure, match="executable file not found") as caught:
        process.find_program("absent", env)
    assert caught.value.exit_code == 127


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [("", 126, "is a directory"), ("none", 127, "no such file"), ("f/x", 127, "not a directory")],
)
def test_a_path_is_taken_as_it_is(tmp_path: Path, name: str, code: int, words: str) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(StartFailure, match=words) as caught:
        process.find_program(f"{tmp_path}/{name}", {})
    assert caught.value.exit_code == code


def test_an_unknown_limit_is_named() -> None:
    with pytest.raises(EngineError, match="RLIMIT_ODD"):
        process.limit([{"type": "RLIMIT_ODD", "soft": 1, "hard": 1}])


def test_namespaces_are_made_or_joined() -> None:
    plan = namespaces.plan(
        [{"type": "mount"}, {"type": "pid"}, {"type": "uts", "path": "/proc/self/ns/uts"}]
    )
    assert plan.created == sc.CLONE_NEWNS | sc.CLONE_NEWPID
    assert plan.creates("pid")
    assert not plan.creates("uts")
    (fd,) = plan.joined.values()
    plan.close()
    with pytest.raises(OSError):
        os.fstat(fd)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ([{"type": "mount"}, {"type": "mount"}], "given twice"),
        ([{"type": "odd"}], "no namespace 'odd'"),
        ([{"type": "pid"}], "mount namespace of its own"),
        ([{"type": "mount"}, {"type": "pid", "path": "/no/such"}], "joining the pid namespace"),
    ],
)
def test_a_bad_plan_is_refused_and_keeps_nothing_open(wanted: list, words: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(EngineError, match=words):
        namespaces.plan(wanted)
    assert len(os.listdir("/proc/self/fd")) == before
