"""The file without a name that an archive is kept in, and the ranges of it that are files again."""

from __future__ import annotations

import io
import os
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from wherry import errdefs
from wherry.content.disk import Reserve

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_ZEROS: Final = 1 << 18
_PIECE: Final = 1 << 18

Extent: TypeAlias = tuple[int, int, int]
"""(offset in the file, offset in the spool, length) of data that lies together."""


class Spool:
    """Bytes that are written once, one after another, and then read by anybody from anywhere.

    The file has no name: whatever becomes of the process, it takes no place afterwards. What is
    written leaves the disk its reserve. `folder` is where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self._what = f"keeping a build context in {folder}"
        self._reserve = Reserve(folder)
        self.size = 0
        try:
            # O_TMPFILE, or a name for a moment where the file system does not have it.
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        except OSError as error:
            raise errdefs.from_os_error(self._what, error) from error

    @property
    def fd(self) -> int:
        """Stays the spool's, and open as long as that is."""
        return self._file.fileno()

    def write(self, data: bytes) -> None:
        """Raises ResourceExhausted when the disk is nearly full."""
        self._reserve.spend(len(data))
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise errdefs.from_os_error(self._what, error) from error
        self.size += len(data)

    def read_at(self, offset: int, size: int) -> bytes:
        """At least one byte and at most `size`; there have to be some."""
        try:
            data = os.pread(self._file.fileno(), size, offset)
        except OSError as error:
            raise errdefs.from_os_error(self._what, error) from error
        if not data:
            raise errdefs.data_loss(f"{self._what}: it is shorter than what was written to it")
        return data

    def close(self) -> None:
        self._file.close()


class Content(io.RawIOBase):
    """A file's content: a range of the spool, or several with holes between.

    `read` gives as many bytes as are asked for, fewer only at the end.
    """

    def __init__(self, spool: Spool, extents: Sequence[Extent], size: int) -> None:
        self._spool = spool
        self._extents = extents
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a negative position")
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        left = self._size - self._at
        if size is not None and 0 <= size < left:
            left = size
        if left <= 0:
            return b""
        data = self._piece(left)
        if len(data) == left:
            return data
        pieces = [data]
        while left := left - len(data):
            data = self._piece(left)
            pieces.append(data)
        return b"".join(pieces)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, target: WriteableBuffer, /) -> int:
        view = memoryview(target).cast("B")
        data = self.read(min(len(view), _PIECE))
        view[: len(data)] = data
        return len(data)

    def _piece(self, limit: int) -> bytes:
        """Some of the next bytes, of which there are as many as `limit`."""
        at = self._at
        index = bisect_right(self._extents, at, key=_start) - 1
        if index >= 0:
            start, offset, length = self._extents[index]
            if at < start + length:
                data = self._spool.read_at(offset + at - start, min(limit, start + length - at))
                self._at += len(data)
                return data
        following = self._extents[index + 1 : index + 2]
        end = following[0][0] if following else self._size
        hole = bytes(min(limit, end - at, _ZEROS))
        self._at += len(hole)
        return hole


def _start(extent: Extent) -> int:
    return extent[0]
