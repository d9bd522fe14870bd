"""Reading a tar archive from a stream, once, from its beginning to its end."""

from collections.abc import Iterator
from typing import Protocol

from wherry.layers.tar.entry import Entry


class Readable(Protocol):
    """All that a stream has to do to be read here; every BinaryIO does."""

    def read(self, size: int, /) -> bytes: ...


class TarReader:
    """The members of an archive, one after another, and the data of the one at hand.

    for entry in TarReader(stream): reader.read(n) / reader.copy_to(fd) serve the entry last yielded.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[Entry]:
        raise NotImplementedError

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes of the current file's content (holes as zeros), b"" at its end."""
        raise NotImplementedError

    def copy_to(self, fd: int) -> None:
        """Write what is left of the current file's content to `fd`, leaving holes as holes."""
        raise NotImplementedError


def read_tar(stream: Readable) -> Iterator[tuple[Entry, TarReader]]:
    """Each entry with the reader of its data, which is good until the next step."""
    reader = TarReader(stream)
    return ((entry, reader) for entry in reader)
