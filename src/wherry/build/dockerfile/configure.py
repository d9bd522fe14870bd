"""What instructions do to an image's configuration, as BuildKit has it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from wherry.build.dockerfile import instructions as ast
from wherry.build.dockerfile.errors import located
from wherry.build.dockerfile.ports import ports_of
from wherry.errdefs import EngineError
from wherry.linux.signals import parse_signal
from wherry.spec.image import Empty, RunConfig

DEFAULT_SHELL: Final = ("/bin/sh", "-c")


def configure(
    config: RunConfig, instruction: ast.Instruction, *, cmd_is_set: bool = False
) -> RunConfig:
    """The configuration with an instruction's effect; its words are expanded before.

    `cmd_is_set` says that this stage has had a CMD: an ENTRYPOINT takes away one that it did not
    set itself, for it was meant for another entrypoint. RUN, COPY, ADD and ARG have no effect here;
    MAINTAINER has one on the image's `author`, which is not part of this.
    Raises DockerfileError: a signal or a port that is none.
    """
    if isinstance(instruction, ast.Entrypoint):
        entrypoint = instruction.command.arguments(shell_of(config))
        return replace(config, entrypoint=entrypoint, cmd=config.cmd if cmd_is_set else ())
    effect = _EFFECTS.get(type(instruction))
    if effect is None:
        return config
    try:
        return effect(config, instruction)
    except EngineError as error:
        raise located(error, instruction.location) from error


def shell_of(config: RunConfig) -> tuple[str, ...]:
    """What runs commands in their shell form."""
    return config.shell or DEFAULT_SHELL


def environment(env: Iterable[str]) -> dict[str, str]:
    """`A=1` entries as a dictionary."""
    found: dict[str, str] = {}
    for entry in env:
        name, _, value = entry.partition("=")
        found[name] = value
    return found


def with_variable(env: Sequence[str], name: str, value: str) -> tuple[str, ...]:
    """The entries with one set: in the place where it was, or at the end."""
    entries = list(env)
    for at, entry in enumerate(entries):
        if entry.partition("=")[0] == name:
            entries[at] = f"{name}={value}"
            return tuple(entries)
    return (*entries, f"{name}={value}")


def working_directory(current: str, path: str) -> str:
    """Where `WORKDIR path` leads from another working directory: absolute and clean."""
    # Two slashes at the beginning would be kept, as POSIX allows them a meaning.
    return posixpath.normpath("/" + posixpath.join(current, path).lstrip("/"))


def _cmd(config: RunConfig, instruction: ast.Instruction) -> RunConfig:
    assert isinstance(instruction, ast.Cmd)
    # Docker says so of every CMD that was built, though only Windows ever read it.
    return replace(config, cmd=instruction.command.arguments(shell_of(config)), args_escaped=True)


def _env(config: RunConfig, instruction: ast.Instruction) -> RunConfig:
    assert isinstance(instruction, ast.Env)
    env = config.env
    for name, value in instruction.pairs:
        env = with_variable(env, name, value)
    return replace(config, env=env)


def _label(config: RunConfig, instruction: ast.Instruction) -> RunConfig:
    assert isinstance(instruction, ast.Label)
    return replace(config, labels={**config.labels, **dict(instruction.pairs)})


def _expose(config: RunConfig, instruction: ast.Instruction) -> RunConfig:
    assert isinstance(instruction, ast.Expose)
    ports = {port: Empty() for spec in instruction.ports for port in ports_of(spec)}
    return replace(config, exposed_ports={**config.exposed_ports, **ports})


def _volume(config: RunConfig, instruction: ast.Instruction) -> RunConfig:
    assert isinstance(instruction, ast.Volume)
    volumes = {path: Empty() for path in instruction.paths}
    return replace(config, volumes={**config.volumes, **volumes})


def _user(config: RunConfig, instruction: ast.Instruction) -> RunConfig:
    assert isinstance(instruction, ast.User)
    return replace(config, user=instruction.user)


def _workdir(config: RunConfig, instruction: ast.Instruction) -> RunConfig:
    assert isinstance(instruction, ast.Workdir)
    return replace(config, working_dir=working_directory(config.working_dir, instruction.path))


def _shell(config: RunConfig, instruction: ast.Instruction) -> RunConfig:
    assert isinstance(instruction, ast.Shell)
    return replace(config, shell=instruction.shell)


def _healthcheck(config: RunConfig, instruction: ast.Instruction) -> RunConfig:
    assert isinstance(instruction, ast.Healthcheck)
    return replace(config, healthcheck=instruction.check)


def _stopsignal(config: RunConfig, instruction: ast.Instruction) -> RunConfig:
    assert isinstance(instruction, ast.Stopsignal)
    parse_signal(instruction.signal)
    return replace(config, stop_signal=instruction.signal)


def _onbuild(config: RunConfig, instruction: ast.Instruction) -> RunConfig:
    assert isinstance(instruction, ast.Onbuild)
    return replace(config, on_build=(*config.on_build, instruction.expression))


_EFFECTS: Final[dict[type[ast.Instruction], Callable[[RunConfig, ast.Instruction], RunConfig]]] = {
    ast.Cmd: _cmd,
    ast.Env: _env,
    ast.Expose: _expose,
    ast.Healthcheck: _healthcheck,
    ast.Label: _label,
    ast.Onbuild: _onbuild,
    ast.Shell: _shell,
    ast.Stopsignal: _stopsignal,
    ast.User: _user,
    ast.Volume: _volume,
    ast.Workdir: _workdir,
}
