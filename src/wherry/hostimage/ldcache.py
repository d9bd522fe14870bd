"""/etc/ld.so.cache: which file the loader takes for the name of a library.

The form is glibc's since 2.2 (sysdeps/generic/dl-cache.h): a header, entries in the order that the
loader's binary search wants, strings. Of a host's cache an image gets the entries for what is in
it, so that its loader finds the same files.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

PATH: Final = "/etc/ld.so.cache"

_MAGIC: Final = b"glibc-ld.so.cache1.1"
_HEADER: Final = struct.Struct("=20sIIB3sI12s")
_ENTRY: Final = struct.Struct("=iIIIQ")


@dataclass(frozen=True, slots=True)
class _Line:
    flags: int
    name: bytes
    path: bytes
    os_version: int


class LoaderCache:
    """What a cache file says; nothing, if there is none or it is in another form."""

    def __init__(self, data: bytes) -> None:
        self._endian = 0
        self._lines: list[_Line] = []
        # Before glibc 2.32, an older form came before this one.
        start = data.find(_MAGIC)
        if start >= 0:
            try:
                self._read(data[start:])
            except (struct.error, ValueError):
                self._lines.clear()

    @classmethod
    def of_host(cls) -> LoaderCache:
        try:
            with open(PATH, "rb") as file:
                return cls(file.read())
        except OSError:
            return cls(b"")

    def find(self, name: str) -> list[str]:
        """The files of that name, the best first."""
        wanted = name.encode("utf-8", "surrogateescape")
        return [
            line.path.decode("utf-8", "surrogateescape")
            for line in self._lines
            if line.name == wanted
        ]

    def only(self, kept: Callable[[str], bool]) -> bytes:
        """A cache of the entries whose paths are `kept`; empty if there are none."""
        lines = [line for line in self._lines if kept(line.path.decode("utf-8", "surrogateescape"))]
        if not lines:
            return b""
        strings = b""
        entries = b""
        base = _HEADER.size + _ENTRY.size * len(lines)
        for line in lines:
            name, path = base + len(strings), base + len(strings) + len(line.name) + 1
            strings += line.name + b"\0" + line.path + b"\0"
            entries += _ENTRY.pack(line.flags, name, path, line.os_version, 0)
        head = _HEADER.pack(_MAGIC, len(lines), len(strings), self._endian, b"", 0, b"")
        return head + entries + strings

    def _read(self, data: bytes) -> None:
        _, count, _, self._endian, _, _, _ = _HEADER.unpack_from(data)
        for number in range(count):
            at = _HEADER.size + number * _ENTRY.size
            flags, name, path, os_version, capabilities = _ENTRY.unpack_from(data, at)
            # Those for certain processors are left out: an image may go to another machine.
            if not capabilities:
                line = _Line(flags, _string(data, name), _string(data, path), os_version)
                self._lines.append(line)


def _string(data: bytes, at: int) -> bytes:
    return data[at : data.index(b"\0", at)]
