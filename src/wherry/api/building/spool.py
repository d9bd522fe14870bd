"""Bytes on their way from somebody who must not wait to somebody who may be slow."""

from __future__ import annotations

import os
from collections import deque
from typing import Final

from wherry import errdefs

MEMORY: Final = 256 * 1024
PIECE: Final = 64 * 1024
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


class Spool:
    """First in, first out; beyond `MEMORY` bytes in a file that has no name.

    A step's output waits here for the steps before it, and for a client that does not read.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._fd = -1
        self._written = 0
        self._read = 0
        self._waiting = 0

    def put(self, data: bytes) -> None:
        """Raises EngineError if it has to go to a disk which is full."""
        self._count(len(data))
        if self._fd < 0 and self._held + len(data) <= MEMORY:
            self._pieces.append(data)
            self._held += len(data)
            return
        try:
            if self._fd < 0:
                import tempfile  # seldom needed: most clients read what they are sent

                self._fd = os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC)
            rest = memoryview(data)
            while rest:
                written = os.pwrite(self._fd, rest, self._written)
                self._written += written
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
        if self._fd < 0:
            return b""
        piece = os.pread(self._fd, min(PIECE, self._written - self._read), self._read)
        self._read += len(piece)
        self._count(-len(piece))
        if self._read == self._written:
            self.close()
        return piece

    def close(self) -> None:
        """Let go of what was not taken."""
        self._count(-self._waiting)
        self._pieces.clear()
        self._held = self._written = self._read = 0
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _count(self, size: int) -> None:
        self._waiting += size
        self._allowance.waiting += size
