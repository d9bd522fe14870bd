"""An instruction's flags: `--chown=a`, `--link`, `--exclude=a --exclude=b`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wherry.build.dockerfile.errors import RefusalError, suggestion

_BOOLEANS: Final = {"": True, "true": True, "false": False}


class Flags:
    """The values of flags, each of which may be asked for once it has been allowed.

    Raises RefusalError in Docker's words: an unknown flag, one given twice, or without its value.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        texts: Sequence[str] = (),
        lists: Sequence[str] = (),
        switches: Sequence[str] = (),
    ) -> None:
        self._values: dict[str, list[str]] = {}
        self._switches: dict[str, bool] = {}
        known = (*texts, *lists, *switches)
        for word in words:
            name, equals, value = word.removeprefix("--").partition("=")
            if name not in known:
                raise RefusalError(f"unknown flag: --{name}{suggestion(name, known)}", f"--{name}")
            if (name in self._values and name not in lists) or name in self._switches:
                raise RefusalError(f"duplicate flag specified: {name}", f"--{name}")
            if name in switches:
                self._switches[name] = _boolean(name, value, given=bool(equals))
            elif not equals:
                raise RefusalError(f"missing a value on flag: {name}", f"--{name}")
            else:
                self._values.setdefault(name, []).append(value)

    def text(self, name: str) -> str:
        """The value; empty if it was not given."""
        return self._values.get(name, [""])[0]

    def all(self, name: str) -> tuple[str, ...]:
        """The values of a flag that may be given more than once."""
        return tuple(self._values.get(name, ()))

    def switch(self, name: str) -> bool | None:
        """None if it was not given."""
        return self._switches.get(name)


def _boolean(name: str, value: str, *, given: bool) -> bool:
    if given and not value:
        raise RefusalError(f"missing a value on flag: {name}", f"--{name}")
    if value.lower() not in _BOOLEANS:
        raise RefusalError(f"expecting boolean value for flag {name}, not: {value}", f"--{name}")
    return _BOOLEANS[value.lower()]
