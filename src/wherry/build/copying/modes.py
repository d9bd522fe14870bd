"""`--chmod`: an octal number, or letters as chmod(1) takes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

from wherry import errdefs

Chmod: TypeAlias = Callable[[int, bool], int]
"""The mode that a file gets, of the one that it has and whether it is a directory."""

_SHIFTS: Final = {"u": 6, "g": 3, "o": 0}
_SPECIAL: Final = {"u": 0o4000, "g": 0o2000, "o": 0}
_CLAUSE: Final = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)", re.ASCII)
_ACTION: Final = re.compile(r"([-+=])([ugo]|[rwxXst]*)", re.ASCII)
_BITS: Final = {"r": 4, "w": 2, "x": 1}
_MAX: Final = 0o7777


def parse_chmod(text: str) -> Chmod:
    """Raises InvalidArgument in Docker's words.

    Letters are as in chmod(1), with no umask: `u=rwX,go=rX`, `a+x`, `g=u`, `+t`. `X` is `x` for
    directories, and for files that somebody may execute already.
    """
    if text.isdigit() and text.isascii():
        if not set(text) <= set("01234567") or int(text, 8) > _MAX:
            raise errdefs.invalid(
                f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and"
                " 07777"
            )
        mode = int(text, 8)
        return lambda _old, _directory: mode
    clauses = []
    for clause in text.split(","):
        found = _CLAUSE.fullmatch(clause)
        if found is None:
            raise errdefs.invalid(
                f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and"
                " 07777, or letters such as u=rwX,go=rX"
            )
        who = "ugo" if "a" in found[1] or not found[1] else found[1]
        clauses += [(who, *action.groups()) for action in _ACTION.finditer(found[2])]

    @lru_cache(maxsize=256)
    def change(mode: int, directory: bool) -> int:
        searchable = directory or bool(mode & 0o111)
        for who, operator, letters in clauses:
            mode = _changed(mode, searchable, who, operator, letters)
        return mode

    return change


def _changed(mode: int, searchable: bool, who: str, operator: str, letters: str) -> int:
    bits = _bits(mode, searchable, letters)
    wanted = cleared = 0
    for one in who:
        wanted |= bits << _SHIFTS[one]
        cleared |= 7 << _SHIFTS[one] | _SPECIAL[one]
        if "s" in letters:
            wanted |= _SPECIAL[one]
    if "t" in letters:
        wanted |= 0o1000
    if operator == "-":
        return mode & ~wanted
    if operator == "+":
        return mode | wanted
    if who == "ugo":
        cleared |= 0o1000
    return mode & ~cleared | wanted


def _bits(mode: int, searchable: bool, letters: str) -> int:
    if letters in _SHIFTS:
        return mode >> _SHIFTS[letters] & 7
    bits = sum(_BITS[letter] for letter in set(letters) & set(_BITS))
    return bits | 1 if "X" in letters and searchable else bits
