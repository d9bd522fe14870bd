"""Environment variables and labels, given one by one and in files."""

from __future__ import annotations

import os

from wherry.cli.errors import CLI_FAILED, CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def environment(files: Sequence[str], given: Sequence[str]) -> list[str]:
    """The files' variables and then the given ones; a name alone takes its value from here.

    Raises CliError for a file that can't be read or a line without a name.
    """
    variables: list[str] = []
    for path in files:
        variables += [known for line in _lines(path) for known in _from_here(line)]
    for variable in given:
        # A name that has no value here is sent alone: it takes the image's variable away.
        variables += _from_here(variable) or [variable]
    return variables


def _from_here(variable: str) -> list[str]:
    if "=" in variable:
        return [variable]
    value = os.environ.get(variable)
    return [] if value is None else [f"{variable}={value}"]


def labels(files: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """The files' labels and then the given ones; a name alone has the empty value."""
    found: dict[str, str] = {}
    for label in [line for path in files for line in _lines(path)] + list(given):
        name, _, value = label.partition("=")
        found[name] = value
    return found


def _lines(path: str) -> list[str]:
    """A file's entries: no empty lines, no comments, no space before a name or in it."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read().removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    except OSError as error:
        raise CliError(f"open {path}: {(error.strerror or '').lower()}", CLI_FAILED) from error
    except UnicodeDecodeError as error:
        raise CliError(f"{path} is not UTF-8 text: {error}", CLI_FAILED) from error
    entries: list[str] = []
    for line in text.split("\n"):
        line = line.removesuffix("\r").lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        name = line.partition("=")[0]
        if not name:
            raise CliError(f"{path}: no variable name on line {line!r}", CLI_FAILED)
        if name != "".join(name.split()):
            raise CliError(f"{path}: variable {name!r} contains whitespaces", CLI_FAILED)
        entries.append(line)
    return entries
