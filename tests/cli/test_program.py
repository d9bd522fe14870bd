"""The table of commands: each has its help, and a name that is none gets a hint."""

import pytest

from wherry.cli.command import Command
from wherry.cli.errors import CliError
from wherry.cli.flags import parse
from wherry.cli.program import (
    COMMANDS,
    GLOBAL_FLAGS,
    GROUPS,
    HIDDEN,
    aliases,
    find_command,
    resolve,
    run_program,
)
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
    assert shown == command_usage(command, aliases(name)) + "\n"
    for flag in command.flags:
        assert flag.hidden or f"--{flag.name}" in shown
        # Who is refused something is told what to do instead.
        assert flag.hidden or not flag.refused or str(flag.refused).split()[0] in shown
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_can_be_said(name: str) -> None:
    import shlex

    command = find_command(name)
    for line, _ in command.examples:
        last = line.rpartition("| ")[2].replace('"$(', "").replace("$(", "").replace(')"', "")
        words = shlex.split(last.replace(")", "").removeprefix("eval "))
        if words[0] != "wherry":
            continue  # another program's, which ours is for
        _, target, rest = resolve(parse(GLOBAL_FLAGS, words[1:], interspersed=False).arguments)
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
        (["xyzzy"], "unknown command: wherry xyzzy\n\nRun 'wherry --help' for more information"),
        (["pull", "x"], "'wherry pull' is not supported yet"),
        (["image", "pull"], "'wherry image pull' is not supported yet"),
        (["system", "prune"], "'wherry system prune' is not supported yet"),
        (["container", "rnu"], "Run 'wherry container --help' for more information"),
        (["rest"], "did you mean 'restart'"),
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
        assert " " in name or shown.count(f"\n  {name} ") == 1
    for name in GROUPS:
        assert shown.count(f"\n  {name} ") == 1
    assert not any(f"  {name}" in shown for name in HIDDEN)
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
        b"Usage:  wherry ps [OPTIONS]\n\nRun 'wherry ps --help' for more information\n"
    )
    assert run_program(["-H", "npipe://there", "ps"]) == 1
    assert b"npipe://there" in capsysbinary.readouterr().err
    assert run_program(["-H", "unix:///nowhere/d.sock", "ps"]) == 1
    assert capsysbinary.readouterr().err == (
        b"wherry: Cannot connect to the Wherry daemon at unix:///nowhere/d.sock. "
        b"Is the daemon running?\n"
    )
