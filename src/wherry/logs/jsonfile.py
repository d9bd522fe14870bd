"""The writing end of a container's log, in Docker's `json-file` format.

    {"log":"hello\\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}

One line of JSON for each line that the container wrote. A line longer than 16 KiB becomes several
of these, and all but the last lack the newline in "log", as dockerd has it. Readers of Docker's
files read these, and the other way round.

Files rotate by rename, so that a reader that has one open can read it to its end:

    <path>      the live file, always the newest
    <path>.1    the one before it
    <path>.2    ...up to max_files - 1; what is older goes

This runs in the shim, a forked child that must import nothing: everything here is plain.
"""

import os
import time
from _json import encode_basestring

from wherry import errdefs
from wherry.faults import fault

PARTIAL_SIZE = 16 * 1024
"""A longer line is logged in pieces of this many bytes, as dockerd's are."""

# Stands for a newline while a chunk is quoted as a whole. Any character would do; one that text
# practically never has keeps chunks on the fast way.
_MARK = "\uf8fe"


class Writer:
    """Writes what a container says to its log; two streams, one file.

    Every call reaches the file before it returns, in one write for each chunk, and always whole
    lines of JSON: a reader never sees half of one unless the machine dies. When the disk is full
    lines are dropped, and counted in `dropped_bytes`: a log must not stop its container.
    """

    def __init__(self, path: str | os.PathLike[str], max_size: int, max_files: int) -> None:
        """Open the log for appending; it is made if it isn't there.

        A file that is `max_size` bytes or larger is rotated before the next line is written.
        `max_files` counts the live file too. Raises EngineError if the file can't be opened.
        """
        if max_size < 1 or max_files < 1:
            raise errdefs.invalid("a log needs a size of at least 1 byte and at least 1 file")
        self.path = os.fspath(path)
        self.dropped_bytes = 0
        self._max_size = max_size
        self._max_files = max_files
        self._unfinished = {"stdout": b"", "stderr": b""}
        self._second = -1
        self._second_text = ""
        self._fd = -1
        self._size = 0
        try:
            self._open()
            self._end_torn_line()
        except OSError as error:
            raise errdefs.from_os_error(f"cannot open the log {self.path}", error) from error

    def fileno(self) -> int:
        return self._fd

    def write(self, stream: str, data: bytes) -> None:
        """Log a chunk of what came from `stream` ("stdout" or "stderr"), cut anywhere.

        What follows the chunk's last newline is kept back until its line is complete.
        """
        if held := self._unfinished[stream]:
            data = held + data
        rest = 0
        for start, rest in _segments(data):
            segment = data[start:rest]
            if segment.endswith(b"\n"):
                self._append(self._quote_lines(stream, segment))
            else:
                self._append(self._quote_piece(stream, segment))
        self._unfinished[stream] = data[rest:]

    def flush(self) -> None:
        """Log the unfinished lines too, without a newline: their streams have ended."""
        for stream, held in self._unfinished.items():
            if held:
                self._unfinished[stream] = b""
                self._append(self._quote_piece(stream, held))

    def close(self) -> None:
        if self._fd >= 0:
            self.flush()
            os.close(self._fd)
            self._fd = -1

    def _quote_lines(self, stream: str, data: bytes) -> bytes:
        """The log's lines for whole lines: `data` ends with a newline.

        The chunk is quoted in one go, not line by line: that is what makes 200,000 lines a
        second cheap in Python.
        """
        tail = f'\\n","stream":"{stream}","time":"{self._now()}"}}\n'
        text = data[:-1].decode("utf-8", "replace")
        if _MARK in text:
            lines = (f'{{"log":{encode_basestring(line)[:-1]}{tail}' for line in text.split("\n"))
            return "".join(lines).encode()
        quoted = encode_basestring(text.replace("\n", _MARK))[:-1]
        return ('{"log":' + quoted.replace(_MARK, tail + '{"log":"') + tail).encode()

    def _quote_piece(self, stream: str, data: bytes) -> bytes:
        quoted = encode_basestring(data.decode("utf-8", "replace"))
        return f'{{"log":{quoted},"stream":"{stream}","time":"{self._now()}"}}\n'.encode()

    def _now(self) -> str:
        """RFC 3339 in UTC with nine digits. One time serves a chunk."""
        second, nanosecond = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second_text}.{nanosecond:09d}Z"

    def _append(self, block: bytes) -> None:
        """Add complete lines of JSON, rotating between two of them where the size says so."""
        start = 0
        while start < len(block):
            if self._size >= self._max_size:
                self._rotate()
            room = self._max_size - self._size
            if room <= 0:
                self.dropped_bytes += len(block) - start
                return
            end = block.find(b"\n", start + room - 1) + 1 or len(block)
            self._put(block[start:end])
            start = end

    def _put(self, block: bytes) -> None:
        written = 0
        try:
            while written < len(block):
                written += os.write(self._fd, block[written:] if written else block)
            self._size += written
        except OSError:
            self.dropped_bytes += len(block)
            self._drop_torn(written)

    def _drop_torn(self, written: int) -> None:
        """Take back what a full disk let through of a block that was not written whole."""
        if not written:
            return
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self._size += written

    def _rotate(self) -> None:
        """Rename aside and begin a new file. A failure leaves the live file in use."""
        try:
            fault("logs.rotate.before")
            for number in range(self._max_files - 1, 0, -1):
                older = f"{self.path}.{number}"
                newer = f"{self.path}.{number - 1}" if number > 1 else self.path
                if os.access(newer, os.F_OK):
                    os.rename(newer, older)
            if self._max_files == 1:
                os.unlink(self.path)
            fault("logs.rotate.renamed")
            previous = self._fd
            self._open()
            os.close(previous)
            fault("logs.rotate.after")
        except OSError:
            # Bounded before complete: without the disk's help the live file starts again.
            self._start_again()

    def _start_again(self) -> None:
        try:
            os.ftruncate(self._fd, 0)
        except OSError:
            return
        self._size = 0

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self.path, flags, 0o640)
        self._size = os.fstat(self._fd).st_size

    def _end_torn_line(self) -> None:
        """A line that a crash tore in two must not swallow the next one."""
        if not self._size:
            return
        with open(self.path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            torn = file.read(1) != b"\n"
        if torn:
            self._put(b"\n")


def _segments(data: bytes) -> list[tuple[int, int]]:
    """The parts (start, end) of a chunk that are logged now, in order; what is left waits.

    A part is either whole lines, and then ends with a newline, or a piece of a long one. The
    search hops from window to window, so its cost doesn't depend on the number of lines.
    """
    segments: list[tuple[int, int]] = []
    lines = position = 0
    while len(data) - position >= PARTIAL_SIZE:
        newline = data.rfind(b"\n", position, position + PARTIAL_SIZE)
        if newline >= 0:
            position = newline + 1
            continue
        if lines < position:
            segments.append((lines, position))
        lines = _before_character(data, position + PARTIAL_SIZE)
        segments.append((position, lines))
        position = lines
    end = data.rfind(b"\n", position) + 1 or position
    if lines < end:
        segments.append((lines, end))
    return segments


def _before_character(data: bytes, end: int) -> int:
    """The offset at or just before `end` that does not cut a UTF-8 character in two."""
    for back in range(min(4, end)):
        byte = data[end - 1 - back]
        if byte < 0x80:
            return end
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return end if back + 1 >= length else end - 1 - back
    return end
