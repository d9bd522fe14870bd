"""A log's files as a reader sees them: the live one, its elders, and places in them."""

import os

from wherry import errdefs

BLOCK = 256 * 1024
LONGEST_LINE = 1024 * 1024
"""A line of the log is at most about 100 KiB: a piece of 16 KiB with every byte escaped. What has
no newline for longer than this is damage (a run of zeros after a power cut), and is skipped."""


class LogFile:
    """One open file of the log, and how far it has been read.

    Reads go by offset, so that a thread that still reads while its reader is cancelled disturbs
    nothing.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        status = os.fstat(fd)
        self.identity = (status.st_dev, status.st_ino)
        self.offset = 0
        self._skipping = False

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def behind(self) -> int:
        """Bytes that have been written and not read."""
        return self.size() - self.offset

    def read_lines(self, end: int | None = None) -> bytes:
        """The next whole lines, about BLOCK bytes of them; nothing if there is no whole line.

        A last line without its newline is left for the next call. Nothing beyond the offset
        `end` is looked at.
        """
        if self.size() < self.offset:
            self.offset = 0  # truncated in place: what is there now is new
        length = BLOCK
        while True:
            room = length if end is None else min(length, end - self.offset)
            block = os.pread(self.fd, room, self.offset) if room > 0 else b""
            cut = block.rfind(b"\n") + 1
            if cut:
                self.offset += cut
                start = block.find(b"\n") + 1 if self._skipping else 0
                self._skipping = False
                if start < cut:
                    return block[start:cut]
            elif len(block) < length:
                return b""
            elif length < LONGEST_LINE:
                length = LONGEST_LINE
            else:
                self.offset += len(block)
                self._skipping = True

    def seek_tail(self, lines: int) -> int:
        """Go to where the last `lines` whole lines begin; returns how many of them are here."""
        counted = 0
        position = self.size()
        while position > 0:
            start = max(0, position - BLOCK)
            block = os.pread(self.fd, position - start, start)
            found = block.count(b"\n")
            if counted + found > lines:
                # The newline before the first wanted line.
                at = len(block)
                for _ in range(lines + 1 - counted):
                    at = block.rfind(b"\n", 0, at)
                self.offset = start + at + 1
                return lines
            counted += found
            position = start
        self.offset = 0
        return counted

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def open_all(path: str) -> list[LogFile]:
    """The log's files, the oldest first. The last is the live one, if there is any.

    Opened from the newest to the oldest: a rotation in between shows one file twice, which is
    noticed, and never hides one. It leaves one number unused for a moment, so one may be missing.
    """
    files: list[LogFile] = []
    number = missing = 0
    while missing < 2:
        file = _open(f"{path}.{number}" if number else path)
        if file is None:
            missing += 1
        elif any(known.identity == file.identity for known in files):
            file.close()
        else:
            files.append(file)
        number += 1
    return files[::-1]


def was_replaced(file: LogFile, path: str) -> bool:
    """Whether a newer file has taken the log's name. A log that is gone was not replaced."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) != file.identity


def open_successors(file: LogFile, path: str) -> list[LogFile]:
    """The files that came after `file`, the oldest first.

    If so many came that `file` is no longer among them, all that are left.
    """
    files = open_all(path)
    for index, candidate in enumerate(files):
        if candidate.identity == file.identity:
            for known in files[: index + 1]:
                known.close()
            return files[index + 1 :]
    return files


def _open(path: str) -> LogFile | None:
    try:
        return LogFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errdefs.from_os_error(f"cannot open the log {path}", error) from error
