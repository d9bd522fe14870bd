"""Changes of an image's configuration, as `docker import --change` and `docker commit` take them.

They are instructions of the Dockerfile language, of those kinds that need no container.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from wherry import errdefs
from wherry.build.dockerfile import instructions as ast
from wherry.build.dockerfile.configure import configure, environment, shell_of
from wherry.build.dockerfile.errors import DockerfileError
from wherry.build.dockerfile.expanding import expand
from wherry.build.dockerfile.lines import decode, keyword_of, read
from wherry.build.dockerfile.parser import parse_instructions
from wherry.spec.image import RunConfig

_ALLOWED: Final = (
    "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER",
    "VOLUME", "WORKDIR",
)  # fmt: skip


def apply_changes(config: RunConfig, changes: Sequence[str]) -> RunConfig:
    """The configuration with `changes` made to it, one after the other.

    Each is a line of a Dockerfile, or several. Raises InvalidArgument in Docker's words, with the
    line that it is about.
    """
    if not changes:
        return config
    data = "\n".join(changes).encode("utf-8", "surrogateescape")
    args_escaped, cmd_is_set = config.args_escaped, False
    try:
        for line in read(decode(data, "changes")).lines:
            keyword, _ = keyword_of(line.text)
            if keyword.upper() not in _ALLOWED:
                raise errdefs.invalid(f"{keyword.lower()} is not a valid change command")
        instructions, escape = parse_instructions(data, "changes")
        for written in instructions:
            instruction = expand(written, environment(config.env), escape)
            config = configure(config, instruction, cmd_is_set=cmd_is_set)
            config = _without_nothing(config, instruction)
            cmd_is_set = cmd_is_set or (isinstance(instruction, ast.Cmd) and bool(config.cmd))
    except DockerfileError as error:
        raise errdefs.invalid(f"{error.reason} (in the change: {_line(error)})") from error
    return replace(config, args_escaped=args_escaped)


def _without_nothing(config: RunConfig, instruction: ast.Instruction) -> RunConfig:
    """As Docker takes a bare CMD and ENTRYPOINT here; a build gives the shell an empty word."""
    if isinstance(instruction, ast.Cmd) and instruction.command == ast.Command():
        return replace(config, cmd=shell_of(config))
    if isinstance(instruction, ast.Entrypoint) and instruction.command == ast.Command():
        return replace(config, entrypoint=())
    return config


def _line(error: DockerfileError) -> str:
    at = error.location
    return " ".join(line.strip() for line in at.source.lines[at.line - 1 : at.end_line])
