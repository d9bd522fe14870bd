"""The stream that an archive is read from: buffered, counted, and cut into what is asked for."""

import os
from typing import BinaryIO, Final, Protocol

from wherry import errdefs
from wherry.layers.tar.fields import Malformed

_CHUNK: Final = 1 << 18


class Readable(Protocol):
    """All that a stream has to do to be read here; every BinaryIO does.

    `read` gives at least one byte and at most `size`, b"" only at the end.
    """

    def read(self, size: int, /) -> bytes: ...


class Source:
    """Whatever is asked for beyond the stream's end raises Malformed, but for `up_to`."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0  # where in the buffer we are
        self._base = 0  # where in the archive the buffer begins

    @property
    def position(self) -> int:
        """How many bytes of the archive lie behind us."""
        return self._base + self._at

    def up_to(self, size: int) -> bytes:
        """The next `size` bytes, fewer only where the stream ends."""
        at = self._at
        taken = self._buffer[at : at + size]
        if len(taken) < size:
            while len(self._buffer) - self._at < size and (chunk := self._pull()):
                self._base += self._at
                self._buffer = self._buffer[self._at :] + chunk
                self._at = 0
            at = self._at
            taken = self._buffer[at : at + size]
        self._at = at + len(taken)
        return taken

    def exactly(self, size: int) -> bytes:
        taken = self.up_to(size)
        if len(taken) < size:
            raise Malformed("the archive ends inside it")
        return taken

    def piece(self, limit: int) -> memoryview:
        """At least one byte and at most `limit`, as many as can be had without a copy."""
        if self._at == len(self._buffer):
            self._base += self._at
            self._at = 0
            self._buffer = self._pull()
            if not self._buffer:
                raise Malformed("the archive ends inside it")
        piece = memoryview(self._buffer)[self._at : self._at + limit]
        self._at += len(piece)
        return piece

    def skip(self, count: int) -> None:
        at = self._at + count
        if at <= len(self._buffer):
            self._at = at
        else:
            self._skip_unread(at - len(self._buffer))

    def _skip_unread(self, count: int) -> None:
        """Skip what the buffer holds, and `count` bytes of what has not been read yet."""
        while count > 0:
            self._base += len(self._buffer)
            self._buffer = self._pull()
            if not self._buffer:
                self._at = 0
                raise Malformed("the archive ends inside it")
            self._at = min(count, len(self._buffer))
            count -= self._at

    def drain(self) -> None:
        """Read the stream to its end."""
        self._base += len(self._buffer)
        self._buffer = b""
        self._at = 0
        while chunk := self._pull():
            self._base += len(chunk)

    def _pull(self) -> bytes:
        try:
            return self._stream.read(_CHUNK)
        except OSError as error:
            raise errdefs.from_os_error("reading a tar archive", error) from error


class FileSource(Source):
    """A regular file: what nobody wants is not read."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._file = file
        self._left = os.fstat(file.fileno()).st_size - file.tell()

    def _skip_unread(self, count: int) -> None:
        if self._base + len(self._buffer) + count > self._left:
            raise Malformed("the archive ends inside it")
        self._base += len(self._buffer) + count
        self._buffer = b""
        self._at = 0
        self._file.seek(count, os.SEEK_CUR)

    def drain(self) -> None:
        self._buffer = b""
        self._at = 0
        self._base = self._left
        self._file.seek(0, os.SEEK_END)
