"""What a program file says about itself: ELF's header, program headers and dynamic section.

System V ABI, chapters 4 and 5; `elf.h` of the C library for the numbers. Only the parts that are
asked for are read, however large the file is.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wherry import errdefs

MAGIC: Final = b"\x7fELF"

_EXECUTABLE, _SHARED = 2, 3  # e_type
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3  # p_type
_NEEDED, _STRINGS, _RPATH, _RUNPATH = 1, 5, 15, 29  # d_tag
_STRING_MAX: Final = 4096
_DYNAMIC_MAX: Final = 1 << 20

# e_machine, with the class where one number is two architectures; named as images name them.
_MACHINES: Final = {
    3: "386",
    8: "mips",
    20: "ppc",
    21: "ppc64le",
    22: "s390x",
    40: "arm",
    43: "sparc64",
    62: "amd64",
    183: "arm64",
    243: "riscv64",
    258: "loong64",
}
# By uname(2), where images have another word.
_NATIVE: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Elf:
    """What the kernel and the loader have to find.

    `kind` (class, byte order, machine) is equal for files that fit into one process. `runs` is
    false for what is no program and no library, such as an object file.
    """

    kind: tuple[int, int, int]
    runs: bool
    interpreter: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]

    @property
    def architecture(self) -> str:
        """As images name it: `amd64`, `arm64`; `machine 99` for one without a name."""
        machine = self.kind[2]
        return _MACHINES.get(machine, f"machine {machine}")


def native_architecture() -> str:
    """This machine's, as images name it."""
    machine = os.uname().machine
    return _NATIVE.get(machine, machine)


def read_elf(path: str) -> Elf | None:
    """What the file at `path` needs; None if it is not ELF.

    Raises InvalidArgument if it lies, and the kind of the OSError if it cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise errdefs.from_os_error(f"reading {path}", error) from error
    try:
        if os.pread(fd, 4, 0) != MAGIC:
            return None
        return _File(fd).read()
    except OSError as error:
        raise errdefs.from_os_error(f"reading {path}", error) from error
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise errdefs.invalid(f"{path} is a damaged ELF file: {error}") from error
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


class _File:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        head = os.pread(fd, 6, 0)
        self._class, self._data = head[4], head[5]
        self._wide = self._class == 2
        self._order = {1: "<", 2: ">"}.get(self._data, "")
        if not self._order:
            raise ValueError(f"its byte order is {self._data}")
        self._type, self._machine = self._unpack("HH", 16)
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
            (self._class, self._data, self._machine),
            self._type in (_EXECUTABLE, _SHARED),
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
        entry = self._order + ("QQ" if self._wide else "II")
        if segment.size > _DYNAMIC_MAX:
            raise ValueError(f"its dynamic section has {segment.size} bytes")
        data = os.pread(self._fd, segment.size, segment.offset)
        if len(data) < segment.size:
            raise ValueError("its dynamic section is cut off")
        size = struct.calcsize(entry)
        for tag, value in struct.iter_unpack(entry, data[: len(data) // size * size]):
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
        form = self._order + fields
        return struct.unpack(form, os.pread(self._fd, struct.calcsize(form), at))

    def _string(self, at: int) -> str:
        data = os.pread(self._fd, _STRING_MAX, at)
        end = data.find(b"\0")
        if end < 0:
            raise ValueError("a string has no end")
        return data[:end].decode("utf-8", "surrogateescape")


def _paths(texts: list[str]) -> tuple[str, ...]:
    return tuple(path for text in texts for path in text.split(":") if path)
