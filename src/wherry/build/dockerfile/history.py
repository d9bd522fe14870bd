"""What an image's history says of an instruction (`created_by`), in BuildKit's form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from wherry.build.dockerfile import instructions as ast
from wherry.build.dockerfile.configure import shell_of
from wherry.build.dockerfile.ports import ports_of
from wherry.spec.image import Healthcheck, RunConfig

_BUILT: Final = " # buildkit"
_SCRIPTS: Final = "/dev/pipes/"
"""Where BuildKit puts a script with `#!`; the history has the place in it."""


def history_of(
    instruction: ast.Instruction,
    config: RunConfig,
    arguments: Sequence[tuple[str, str]] = (),
) -> str | None:
    """The entry for an expanded instruction, or None if it leaves none, as ONBUILD.

    `config` is what `configure` made of it. `arguments` are a RUN's build arguments with the values
    that it sees, in the order of their ARGs; a name that comes twice has its last value.
    """
    if isinstance(instruction, ast.Run):
        return _run(instruction, config, arguments)
    if isinstance(instruction, ast.Cmd):
        return f"CMD {_quoted_list(config.cmd)}"
    if isinstance(instruction, ast.Entrypoint):
        return f"ENTRYPOINT {_quoted_list(config.entrypoint)}"
    if isinstance(instruction, ast.Workdir):
        return f"WORKDIR {config.working_dir}"
    entry = _ENTRIES.get(type(instruction))
    return None if entry is None else entry(instruction)


def _run(instruction: ast.Run, config: RunConfig, arguments: Sequence[tuple[str, str]]) -> str:
    command = instruction.command
    if command.file is not None:
        words = (*shell_of(config), _SCRIPTS + command.file.name)
    else:
        words = command.arguments(shell_of(config))
    seen = dict(arguments)
    declared = [f"{name}={value}" for name, value in seen.items()]
    count = [f"|{len(declared)}"] if declared else []
    return " ".join(["RUN", *count, *declared, *words]) + _BUILT


def _copy(instruction: ast.Instruction) -> str:
    assert isinstance(instruction, ast.Transfer)
    words = [instruction.kind]
    if isinstance(instruction, ast.Copy) and instruction.parents:
        words.append("--parents")
    if instruction.chown:
        words.append(f"--chown={instruction.chown}")
    if instruction.chmod:
        words.append(f"--chmod={instruction.chmod}")
    words += instruction.sources
    words += [f"<<{file.name}" for file in instruction.files]
    return " ".join([*words, instruction.destination]) + _BUILT


def _arg(instruction: ast.Instruction) -> str:
    assert isinstance(instruction, ast.Arg)
    return "ARG " + " ".join(
        one.name if one.value is None else f"{one.name}={one.value}"
        for one in instruction.arguments
    )


def _pairs(instruction: ast.Instruction) -> str:
    assert isinstance(instruction, ast.Env | ast.Label)
    return " ".join([instruction.kind, *(f"{name}={value}" for name, value in instruction.pairs)])


def _expose(instruction: ast.Instruction) -> str:
    assert isinstance(instruction, ast.Expose)
    ports = sorted({port for spec in instruction.ports for port in ports_of(spec)})
    return f"EXPOSE map[{' '.join(f'{port}:{{}}' for port in ports)}]"


def _volume(instruction: ast.Instruction) -> str:
    assert isinstance(instruction, ast.Volume)
    return f"VOLUME [{' '.join(instruction.paths)}]"


def _user(instruction: ast.Instruction) -> str:
    assert isinstance(instruction, ast.User)
    return f"USER {instruction.user}"


def _shell(instruction: ast.Instruction) -> str:
    assert isinstance(instruction, ast.Shell)
    return f"SHELL [{' '.join(instruction.shell)}]"


def _stopsignal(instruction: ast.Instruction) -> str:
    assert isinstance(instruction, ast.Stopsignal)
    return f"STOPSIGNAL {instruction.signal}"


def _maintainer(instruction: ast.Instruction) -> str:
    assert isinstance(instruction, ast.Maintainer)
    return f"MAINTAINER {instruction.maintainer}"


def _healthcheck(instruction: ast.Instruction) -> str:
    assert isinstance(instruction, ast.Healthcheck)
    return f"HEALTHCHECK &{{{_check(instruction.check)}}}"


def _check(check: Healthcheck) -> str:
    times = [check.interval, check.timeout, check.start_period]
    if check.start_interval:
        times.append(check.start_interval)
    words = [_quoted_list(check.test), *(f'"{duration(time)}"' for time in times)]
    # Go quotes a number as the character that it is the code of.
    return " ".join([*words, _quoted_character(check.retries)])


_ENTRIES: Final[dict[type[ast.Instruction], Callable[[ast.Instruction], str]]] = {
    ast.Add: _copy,
    ast.Arg: _arg,
    ast.Copy: _copy,
    ast.Env: _pairs,
    ast.Expose: _expose,
    ast.Healthcheck: _healthcheck,
    ast.Label: _pairs,
    ast.Maintainer: _maintainer,
    ast.Shell: _shell,
    ast.Stopsignal: _stopsignal,
    ast.User: _user,
    ast.Volume: _volume,
}

_ESCAPES: Final = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\",
}  # fmt: skip


def _quoted_list(words: Iterable[str]) -> str:
    """Go's `%q` of a list."""
    return f"[{' '.join(_quoted(word) for word in words)}]"


def _quoted(text: str) -> str:
    inner = "".join('\\"' if char == '"' else _escaped(char) for char in text)
    return f'"{inner}"'


def _quoted_character(code: int) -> str:
    char = chr(code) if code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else "\ufffd"
    return f"'{chr(92)}''" if char == "'" else f"'{_escaped(char)}'"


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_UNITS: Final = ((10**6, "ms"), (10**3, "µs"), (1, "ns"))


def duration(nanoseconds: int) -> str:
    """Go's form: `1h0m3.5s`, `500ms`, `0s`."""
    if 0 < nanoseconds < 10**9:
        size, unit = next((size, unit) for size, unit in _UNITS if nanoseconds >= size)
        return _decimal(nanoseconds, size) + unit
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    seconds = _decimal(rest, 10**9) + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(amount: int, size: int) -> str:
    whole, rest = divmod(amount, size)
    digits = len(str(size)) - 1
    fraction = f"{rest:0{digits}}".rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)
