"""What instructions do to an image's configuration."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from wherry import errdefs
from wherry.errdefs import EngineError
from wherry.images.changes.health import flag_values, healthcheck_of
from wherry.images.changes.lines import Instruction, instruction_of, read
from wherry.images.changes.ports import ports_of
from wherry.images.changes.words import expand, json_words, quoted, split
from wherry.linux.signals import parse_signal
from wherry.spec.image import Empty, RunConfig

_SHELL: Final = ("/bin/sh", "-c")
_NO_TRIGGERS: Final = ("FROM", "MAINTAINER")
_ONBUILD: Final = re.compile(r"\s*ONBUILD\s*", re.IGNORECASE)
_BLANKS: Final = re.compile(r"[\t\v\f\r ]+")


def apply_changes(config: RunConfig, changes: Sequence[str]) -> RunConfig:
    """The configuration with `changes` made to it, one after the other.

    Each is a line of a Dockerfile, or several. Raises InvalidArgument in Docker's words, with the
    line that it is about.
    """
    if not changes:
        return config
    text = read("\n".join(changes))
    for instruction in text.instructions:
        if instruction.name not in _EFFECTS:
            raise errdefs.invalid(f"{instruction.name.lower()} is not a valid change command")
    state = _State(config, text.escape)
    for instruction in text.instructions:
        try:
            if instruction.name != "HEALTHCHECK":
                flag_values(instruction.flags, ())
            _EFFECTS[instruction.name](state, instruction)
        except EngineError as error:
            raise errdefs.invalid(f"{error.message} (in the change: {instruction.line})") from error
    return state.config


class _State:
    """A configuration on its way."""

    def __init__(self, config: RunConfig, escape: str) -> None:
        self.config = config
        self._escape = escape
        self._cmd_was_set = False

    # --- one method for each instruction ---------------------------------------------------------

    def cmd(self, instruction: Instruction) -> None:
        self.config = replace(self.config, cmd=self._command(instruction.rest))
        self._cmd_was_set = bool(self.config.cmd)

    def entrypoint(self, instruction: Instruction) -> None:
        entrypoint = self._command(instruction.rest) if instruction.rest else ()
        # An image's command was meant for the entrypoint that it had.
        cmd = self.config.cmd if self._cmd_was_set else ()
        self.config = replace(self.config, entrypoint=entrypoint, cmd=cmd)

    def env(self, instruction: Instruction) -> None:
        values = dict(_pairs(self.config.env))
        values.update(list(self._key_values(instruction)))
        self.config = replace(
            self.config, env=tuple(f"{name}={value}" for name, value in values.items())
        )

    def label(self, instruction: Instruction) -> None:
        labels = {**self.config.labels, **dict(self._key_values(instruction))}
        self.config = replace(self.config, labels=labels)

    def expose(self, instruction: Instruction) -> None:
        # One variable may hold several ports.
        specs = self._expanded(_required(instruction)).split()
        ports = {port: Empty() for spec in specs for port in ports_of(spec)}
        self.config = replace(self.config, exposed_ports={**self.config.exposed_ports, **ports})

    def healthcheck(self, instruction: Instruction) -> None:
        self.config = replace(self.config, healthcheck=healthcheck_of(instruction))

    def onbuild(self, instruction: Instruction) -> None:
        trigger = instruction_of(_required(instruction)).name
        if trigger == "ONBUILD":
            raise errdefs.invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
        if trigger in _NO_TRIGGERS:
            raise errdefs.invalid(f"{trigger} isn't allowed as an ONBUILD trigger")
        written = _ONBUILD.sub("", instruction.line, count=1)
        self.config = replace(self.config, on_build=(*self.config.on_build, written))

    def stopsignal(self, instruction: Instruction) -> None:
        name = self._expanded(_the_only(instruction))
        parse_signal(name)
        self.config = replace(self.config, stop_signal=name)

    def user(self, instruction: Instruction) -> None:
        self.config = replace(self.config, user=self._expanded(_the_only(instruction)))

    def volume(self, instruction: Instruction) -> None:
        words = json_words(instruction.rest)
        if words is None:
            words = _BLANKS.split(_required(instruction))
        if not words:
            raise errdefs.invalid("VOLUME requires at least one argument")
        paths = [self._expanded(word).strip() for word in words]
        if not all(paths):
            raise errdefs.invalid("VOLUME specified can not be an empty string")
        volumes = {**self.config.volumes, **{path: Empty() for path in paths}}
        self.config = replace(self.config, volumes=volumes)

    def workdir(self, instruction: Instruction) -> None:
        path = self._expanded(_the_only(instruction))
        if not path:
            raise errdefs.invalid("cannot normalize nothing")
        if not path.startswith("/"):
            path = posixpath.normpath(posixpath.join("/", self.config.working_dir, path))
        self.config = replace(self.config, working_dir=path)

    # --- their words -----------------------------------------------------------------------------

    def _command(self, text: str) -> tuple[str, ...]:
        """JSON's words as they are; any other text for a shell."""
        words = json_words(text)
        if words is not None:
            return tuple(words)
        shell = self.config.shell or _SHELL
        return (*shell, text) if text else shell

    def _expanded(self, text: str) -> str:
        return expand(text, dict(_pairs(self.config.env)), self._escape)

    def _key_values(self, instruction: Instruction) -> Iterator[tuple[str, str]]:
        """`A=1 B=2`, or in the old form `A the rest`."""
        _required(instruction)
        words = split(instruction.rest, self._escape)
        pairs: list[tuple[str, str]] = []
        if not words or "=" not in words[0]:
            old = _BLANKS.split(instruction.rest, maxsplit=1)
            if len(old) < 2:
                raise errdefs.invalid(f"{instruction.name} must have two arguments")
            pairs.append((old[0], old[1]))
        else:
            for word in words:
                name, equals, value = word.partition("=")
                if not equals:
                    raise errdefs.invalid(
                        f"Syntax error - can't find = in {quoted(word)}. Must be of the form: "
                        "name=value"
                    )
                pairs.append((name, value))
        for name, value in pairs:
            name = self._expanded(name)
            if not name:
                raise errdefs.invalid(f"{instruction.name} names can not be blank")
            yield name, self._expanded(value)


_EFFECTS: Final[dict[str, Callable[[_State, Instruction], None]]] = {
    "CMD": _State.cmd,
    "ENTRYPOINT": _State.entrypoint,
    "ENV": _State.env,
    "EXPOSE": _State.expose,
    "HEALTHCHECK": _State.healthcheck,
    "LABEL": _State.label,
    "ONBUILD": _State.onbuild,
    "STOPSIGNAL": _State.stopsignal,
    "USER": _State.user,
    "VOLUME": _State.volume,
    "WORKDIR": _State.workdir,
}


def _pairs(env: Sequence[str]) -> Iterator[tuple[str, str]]:
    for entry in env:
        name, _, value = entry.partition("=")
        yield name, value


def _required(instruction: Instruction) -> str:
    if not instruction.rest:
        raise errdefs.invalid(f"{instruction.name} requires at least one argument")
    return instruction.rest


def _the_only(instruction: Instruction) -> str:
    if not instruction.rest:
        raise errdefs.invalid(f"{instruction.name} requires exactly one argument")
    return instruction.rest
