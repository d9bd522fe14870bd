"""Small ELF files: enough for what reads them, and for what the kernel looks at first."""

import os
import struct
from collections.abc import Sequence

AMD64, ARM64, I386, RISCV = 62, 183, 3, 243
HOST = {"x86_64": AMD64, "aarch64": ARM64}[os.uname().machine]
_BASE = 0x400000


def make_elf(
    interpreter: str = "",
    needed: Sequence[str] = (),
    *,
    rpath: str = "",
    runpath: str = "",
    machine: int = HOST,
    type_: int = 2,
) -> bytes:
    """A 64-bit little-endian file with what is asked for, and no code."""
    names = b"\0"
    dynamic: list[tuple[int, int]] = []
    for tag, text in [*((1, name) for name in needed), (15, rpath), (29, runpath)]:
        if text:
            dynamic.append((tag, len(names)))
            names += text.encode() + b"\0"
    parts = 2 + bool(interpreter)
    at = 64 + 56 * parts
    path = interpreter.encode() + b"\0" if interpreter else b""
    strings_at = at + len(path)
    dynamic_at = strings_at + len(names)
    if dynamic:
        dynamic.append((5, _BASE + strings_at))
    table = b"".join(struct.pack("<QQ", *pair) for pair in [*dynamic, (0, 0)])
    size = dynamic_at + len(table)

    def segment(kind: int, offset: int, length: int) -> bytes:
        address = _BASE + offset
        return struct.pack("<IIQQQQQQ", kind, 5, offset, address, address, length, length, 1)

    segments = segment(3, at, len(path)) if interpreter else b""
    segments += struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 4096)
    segments += segment(2, dynamic_at, len(table))
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack(
        "<HHIQQQIHHHHHH", type_, machine, 1, _BASE, 64, 0, 0, 64, 56, parts, 64, 0, 0
    )
    return head + segments + path + names + table
