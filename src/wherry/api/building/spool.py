"""Bytes on their way from somebody who must not wait to somebody who may be slow."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from typing import Final

from wherry import errdefs

MEMORY: Final = 256 * 1024
PIECE: Final = 64 * 1024
FILE: Final = 16 * 1024 * 1024
OUTPUT_MAX: Final = 64 * 1024 * 1024
"""Bytes of one build's programs that wait; what comes then is left out."""


class Allowance:
    """How much of what programs write waits, in all spools of a build together.

    Holding up the programs instead would hold up the builds that share their steps, and an earlier
    step for which a later one is needed.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self._left_out = 0

    def takes(self, data: bytes) -> bool:
        """Whether there is room for a program's output; what there is none for is counted."""
        if self.waiting <= OUTPUT_MAX:
            return True
        self._left_out += len(data)
        return False

    def notice(self) -> bytes:
        """Says how much was left out, once there is room again; empty if nothing was."""
        left_out, self._left_out = self._left_out, 0
        if not left_out:
            return b""
        return b"\n[%d bytes of output are left out: nobody has read them]\n" % left_out


@dataclass
class _File:
    """One without a name. What was read of it is on the disk until all of it was."""

    fd: int
    written: int = 0
    read: int = 0


class Spool:
    """First in, first out; beyond `MEMORY` bytes in files that have no names, each of some `FILE`
    bytes, so that the disk holds little more than what waits, however much passes.

    A step's output waits here for the steps before it, and for a client that does not read.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._files: deque[_File] = deque()
        self._waiting = 0

    def put(self, data: bytes) -> None:
        """Raises EngineError if it has to go to a disk which is full."""
        self._count(len(data))
        if not self._files and self._held + len(data) <= MEMORY:
            self._pieces.append(data)
            self._held += len(data)
            return
        try:
            if not self._files or self._files[-1].written >= FILE:
                self._files.append(_File(_unnamed()))
            file = self._files[-1]
            rest = memoryview(data)
            while rest:
                written = os.pwrite(file.fd, rest, file.written)
                file.written += written
                rest = rest[written:]
        except OSError as error:
            raise errdefs.from_os_error("holding back the output of a build", error) from error

    def take(self) -> bytes:
        """The oldest bytes, some of them; none if there are none."""
        if self._pieces:
            piece = self._pieces.popleft()
            self._held -= len(piece)
            self._count(-len(piece))
            return piece
        if not self._files:
            return b""
        file = self._files[0]
        piece = os.pread(file.fd, min(PIECE, file.written - file.read), file.read)
        file.read += len(piece)
        self._count(-len(piece))
        if file.read == file.written:
            os.close(self._files.popleft().fd)
        return piece

    def close(self) -> None:
        """Let go of what was not taken."""
        self._count(-self._waiting)
        self._pieces.clear()
        self._held = 0
        while self._files:
            os.close(self._files.popleft().fd)

    def _count(self, size: int) -> None:
        self._waiting += size
        self._allowance.waiting += size


def _unnamed() -> int:
    import tempfile  # seldom needed: most clients read what they are sent

    return os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC)
