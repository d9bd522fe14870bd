"""A container's output and errors on one stream, as the Engine API sends them without a terminal.

byte 0      the stream: 0 stdin, 1 stdout, 2 stderr, 3 an error of the daemon itself
bytes 1-3   zero
bytes 4-7   the payload's length, big-endian
then the payload
"""

from __future__ import annotations

STDOUT = 1
STDERR = 2
SYSTEM_ERROR = 3
MAX_FRAME = 1 << 26


class FrameError(Exception):
    """The stream is not made of frames."""


class Demultiplexer:
    """Frames in, (stream, bytes) out; payloads are passed on as they come, not held back."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._stream = 0
        self._remaining = 0

    @property
    def mid_frame(self) -> bool:
        """Whether the bytes so far end inside a frame."""
        return bool(self._header or self._remaining)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The pieces of payload in `data`. Raises FrameError for a header that is none."""
        pieces: list[tuple[int, bytes]] = []
        at = 0
        while at < len(data):
            if not self._remaining:
                wanted = 8 - len(self._header)
                self._header += data[at : at + wanted]
                at += wanted
                if len(self._header) == 8:
                    self._open_frame()
                continue
            piece = data[at : at + self._remaining]
            at += len(piece)
            self._remaining -= len(piece)
            pieces.append((self._stream, piece))
        return pieces

    def _open_frame(self) -> None:
        header = bytes(self._header)
        self._header.clear()
        length = int.from_bytes(header[4:], "big")
        if header[0] > SYSTEM_ERROR or header[1:4] != b"\0\0\0" or length > MAX_FRAME:
            raise FrameError(f"the stream from the daemon is broken: {header!r} starts no frame")
        self._stream = header[0]
        self._remaining = length
