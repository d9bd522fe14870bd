"""The table of commands: each has its help, and a name that is none gets a hint."""

import pytest

from wherry.cli.command import Command
from wherry.cli.errors import CliError
from wherry.cli.flags import parse
from wherry.cli.program import COMMANDS, GROUPS, find_command, resolve, run_program
from wherry.cli.usage import command_usage


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsysbinary) -> None:
    command = find_command(name)
    assert isinstance(command, Command)
    assert command.usage.startswith(f"wherry {name}")
    assert command.summary == COMMANDS[name][2]
    assert 2 <= len(command.examples) <= 6
    if command.passed_on:
        return  # its help is the other program's
    assert run_program([name, "--help"]) == 0
    shown = capsysbinary.readouterr().out.decode()
    assert shown == command_usage(command) + "\n"
    for flag in command.flags:
        assert flag.hidden or flag.refused or f"--{flag.name}" in shown
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_can_be_said(name: str) -> None:
    import shlex

    command = find_command(name)
    for line, _ in command.examples:
        words = shlex.split(line.rpartition("| ")[2].replace("$(", "").replace(")", ""))
        assert words[0] == "wherry"
        _, target, rest = resolve(words[1:])
        if command.passed_on:
            continue
        example = find_command(target)
        parsed = parse(example.flags, rest, interspersed=False)
        assert len(parsed.arguments) >= example.minimum


def test_groups_lead_to_commands() -> None:
    for group in GROUPS.values():
        assert set(group.values()) <= set(COMMANDS)
    assert resolve(["container", "ls", "-a"]) == ("container ls", "ps", ["-a"])
    assert resolve(["image", "rm", "x"]) == ("image rm", "rmi", ["x"])


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["rnu"], "did you mean 'run'"),
        (["inspct"], "did you mean 'inspect'"),
        (["container", "lst"], "did you mean 'container"),
        (["xyzzy"], "unknown command: wherry xyzzy\n\nSee 'wherry --help'."),
        (["pull", "x"], "'wherry pull' is not supported yet"),
        (["image", "pull"], "'wherry image pull' is not supported yet"),
        (["system", "df"], "'wherry system df' is not supported yet"),
    ],
)
def test_what_is_no_command(words: list[str], hint: str) -> None:
    with pytest.raises(CliError) as caught:
        resolve(words)
    assert hint in caught.value.message


def test_help_of_the_whole(capsysbinary) -> None:
    assert run_program([]) == 0
    shown = capsysbinary.readouterr().out.decode()
    assert run_program(["help"]) == 0
    assert capsysbinary.readouterr().out.decode() == shown
    for name in COMMANDS:
        assert f"\n  {name} " in shown
    assert run_program(["help", "ps"]) == 0
    assert capsysbinary.readouterr().out.startswith(b"Usage:  wherry ps")


def test_help_of_a_group(capsysbinary) -> None:
    for words in (["container"], ["container", "--help"], ["help", "container"]):
        assert run_program(words) == 0
        shown = capsysbinary.readouterr().out.decode()
        assert shown.startswith("Usage:  wherry container COMMAND\n")
        assert "\n  ls          List containers\n" in shown


def test_errors_say_how_to_go_on(capsysbinary) -> None:
    assert run_program(["ps", "--nothing"]) == 125
    assert capsysbinary.readouterr().err == (
        b"wherry: unknown flag: --nothing\n\n"
        b"Usage:  wherry ps [OPTIONS]\n\nSee 'wherry ps --help'.\n"
    )
    assert run_program(["-H", "tcp://there:1", "ps"]) == 1
    assert b"tcp:// is not supported yet" in capsysbinary.readouterr().err
    assert run_program(["-H", "unix:///nowhere/d.sock", "ps"]) == 1
    assert capsysbinary.readouterr().err == (
        b"wherry: Cannot connect to the Wherry daemon at unix:///nowhere/d.sock. "
        b"Is the daemon running?\n"
    )
