"""What a program file says about what it needs: ELF's program headers and dynamic section.

System V ABI, chapters 4 and 5; `elf.h` of the C library for the numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wherry import errdefs

_MAGIC: Final = b"\x7fELF"
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3  # p_type
_NEEDED, _STRINGS, _RPATH, _RUNPATH = 1, 5, 15, 29  # d_tag


@dataclass(frozen=True, slots=True)
class Elf:
    """What the loader has to find. `kind` is equal for files that fit into one process."""

    kind: tuple[int, int, int]
    interpreter: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]


def read_elf(path: Path) -> Elf | None:
    """What the file at `path` needs; None if it is not ELF. Raises InvalidArgument if it lies."""
    try:
        with path.open("rb") as file:
            if file.read(4) != _MAGIC:
                return None
            data = _MAGIC + file.read()
    except OSError as error:
        raise errdefs.from_os_error(f"reading {path}", error) from error
    try:
        return _File(data).read()
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise errdefs.invalid(f"{path} is a damaged ELF file: {error}") from error


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


class _File:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._wide = data[4] == 2
        self._order = {1: "<", 2: ">"}.get(data[5], "")
        if not self._order:
            raise ValueError(f"its byte order is {data[5]}")
        (self._machine,) = self._unpack("H", 18)
        self._segments = list(self._read_segments())

    def read(self) -> Elf:
        tags: dict[int, list[int]] = {}
        interpreter = ""
        for segment in self._segments:
            if segment.kind == _INTERPRETER:
                interpreter = self._string(segment.offset)
            elif segment.kind == _DYNAMIC:
                for tag, value in self._dynamic(segment):
                    tags.setdefault(tag, []).append(value)
        strings = self._offset_of(tags[_STRINGS][0]) if _STRINGS in tags else 0

        def texts(tag: int) -> list[str]:
            return [self._string(strings + value) for value in tags.get(tag, [])]

        return Elf(
            (self._data[4], self._data[5], self._machine),
            interpreter,
            tuple(texts(_NEEDED)),
            _paths(texts(_RPATH)),
            _paths(texts(_RUNPATH)),
        )

    def _read_segments(self) -> Iterator[_Segment]:
        if self._wide:
            (table,) = self._unpack("Q", 32)
            size, count = self._unpack("HH", 54)
        else:
            (table,) = self._unpack("I", 28)
            size, count = self._unpack("HH", 42)
        for at in range(table, table + size * count, max(size, 1)):
            if self._wide:
                kind, _, offset, address, _, length = self._unpack("IIQQQQ", at)
            else:
                kind, offset, address, _, length = self._unpack("IIIII", at)
            yield _Segment(kind, offset, address, length)

    def _dynamic(self, segment: _Segment) -> Iterator[tuple[int, int]]:
        entry = "QQ" if self._wide else "II"
        size = struct.calcsize(f"={entry}")
        for at in range(segment.offset, segment.offset + segment.size, size):
            tag, value = self._unpack(entry, at)
            if tag == 0:
                return
            yield tag, value

    def _offset_of(self, address: int) -> int:
        """Where in the file lies what the loader would put at `address`."""
        for segment in self._segments:
            if segment.kind == _LOAD and 0 <= address - segment.address < segment.size:
                return segment.offset + address - segment.address
        raise ValueError(f"no segment holds the address {address:#x}")

    def _unpack(self, fields: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self._order + fields, self._data, at)

    def _string(self, at: int) -> str:
        return self._data[at : self._data.index(b"\0", at)].decode("utf-8", "surrogateescape")


def _paths(texts: list[str]) -> tuple[str, ...]:
    return tuple(path for text in texts for path in text.split(":") if path)
