"""Reading a tar archive from a stream, once, from its beginning to its end."""

import os
from collections.abc import Iterator
from typing import Final

from wherry import errdefs
from wherry.layers.tar import header, pax, sparse
from wherry.layers.tar.entry import FILE, Entry, Segment
from wherry.layers.tar.fields import BLOCK, END_OF_ARCHIVE, MAX_EXTENDED, Malformed, number, text
from wherry.layers.tar.names import quoted
from wherry.layers.tar.source import Readable, Source

_ZEROS: Final = bytes(1 << 16)
_PIECE: Final = 1 << 20
_MAX_GLOBAL: Final = 1 << 12  # a hundred records are work for each entry; git writes one
_MAX_READ: Final = 1 << 63
_OLD_SPARSE: Final = ord("S")

_PAX: Final = (b"x", b"X")
_PAX_GLOBAL: Final = b"g"
_GNU_LONG: Final = {b"L": b"path", b"K": b"linkpath"}
_EXTENDED: Final = frozenset((b"x", b"X", b"g", b"L", b"K"))


class TarReader:
    """The members of an archive, one after another, and the data of the one at hand.

        reader = TarReader(stream)
        for entry in reader:
            if entry.kind == FILE:
                reader.copy_to(fd)

    GNU, PAX, ustar and older headers are read; see Entry for what becomes of them. `read` and
    `copy_to` serve the entry that came last; what they leave is skipped. The stream need not seek
    (over a `FileSource` what nobody wants is not read). Memory is bounded whatever the archive
    says: some 512 KiB, and 1 MiB of extended headers for an entry.

    The archive ends with two blocks of zeros or, as for GNU tar and Go, where the stream ends
    between two members. By then the stream has been read to its end, so that a digest made on the
    way is that of all its bytes.

    Whatever is wrong with the archive raises InvalidArgument with the entry's name and the place
    of its first header in bytes: headers that lie or are cut off; names that leave the root; types,
    owners and devices that Linux does not have. Nothing is guessed or repaired.
    """

    def __init__(
        self, stream: Readable | Source, *, rooted: bool = False, may_lack_padding: bool = False
    ) -> None:
        """`rooted`: a name may begin with a slash, which is the archive's root, as tar(1) has it
        when it unpacks what was packed with `-P`. `may_lack_padding`: the archive may also end
        right behind the last member's data, as that of `docker build -f -` does."""
        self._source = stream if isinstance(stream, Source) else Source(stream)
        self._rooted = rooted
        self._may_lack_padding = may_lack_padding
        self._global: pax.Records = {}
        self._start = 0  # where in the archive the current entry's first header is
        self._block = b""  # its last header block
        self._name = b""  # its whole name, as soon as that is known
        self._stored = 0  # bytes of its data that are still to come
        self._padding = 0  # bytes after these, up to the next block
        self._segments: list[Segment] | None = None  # of a sparse file, last first, still to come
        self._logical = 0  # how far a sparse file has been read, holes included
        self._size = 0  # where that ends

    @property
    def position(self) -> int:
        """How many bytes of the archive lie behind us."""
        return self._source.position

    def __iter__(self) -> Iterator[Entry]:
        while True:
            try:
                entry = self._next_entry()
            except Malformed as error:
                raise self._refusal(error) from None
            if entry is None:
                return
            yield entry

    def _refusal(self, error: Malformed) -> errdefs.EngineError:
        name = self._name or text(self._block[:100])
        what = f"tar entry {quoted(name)} at" if name else "tar archive, header at"
        return errdefs.invalid(f"{what} byte {self._start}: {error}")

    # --- headers -------------------------------------------------------------------------------

    def _next_entry(self) -> Entry | None:
        """The next entry, None at the archive's end."""
        source = self._source
        if self._may_lack_padding and self._padding:
            source.skip(self._stored)
            self._skip_padding()
        else:
            source.skip(self._stored + self._padding)
        self._stored = self._padding = 0
        self._segments = None
        self._start = source.position
        self._name = self._block = b""
        records: pax.Records | None = None
        budget = MAX_EXTENDED
        while block := self._header_block():
            self._block = block
            fields = header.fields_of(block)
            flag = fields[5]
            if flag not in _EXTENDED:
                return self._entry(block, fields, records)
            size = number(fields[2])
            budget -= BLOCK + size
            if size < 0 or budget < 0:
                raise Malformed(f"its extended headers are over {MAX_EXTENDED} bytes long")
            body = source.exactly(size + -size % BLOCK)[:size]
            if flag == _PAX_GLOBAL:
                self._extend_all(body)
            else:
                records = self._extended(flag, body, records or {})
        if records is not None:
            raise Malformed("the archive ends after this extended header")
        return None

    def _skip_padding(self) -> None:
        """All of it, or none where the stream ends."""
        if 0 < len(self._source.up_to(self._padding)) < self._padding:
            raise Malformed("the archive ends inside it")

    def _header_block(self) -> bytes:
        """The next block; b"" where the archive ends."""
        block = self._source.up_to(BLOCK)
        if block == END_OF_ARCHIVE:
            # Go wants a second one, and so do we: who goes on after one block of zeros, and who
            # stops there, see different layers in the same bytes.
            if self._source.up_to(BLOCK).strip(b"\0"):
                raise Malformed("a block of zeros is followed by something else")
            self._source.drain()
            return b""
        if 0 < len(block) < BLOCK:
            raise Malformed("the archive ends inside a header")
        return block

    def _extended(self, flag: bytes, body: bytes, records: pax.Records) -> pax.Records:
        """What is known about the next entry after one more extended header."""
        if flag in _PAX:
            pax.update(records, body)
        else:
            records.setdefault(_GNU_LONG[flag], body.rstrip(b"\0"))
        return records

    def _extend_all(self, body: bytes) -> None:
        """A global header holds for every entry from here on, so each pays for its length."""
        pax.update(self._global, body)
        if sum(len(key) + len(value) + 32 for key, value in self._global.items()) > _MAX_GLOBAL:
            raise Malformed(f"the global headers are over {_MAX_GLOBAL} bytes long")

    def _entry(self, block: bytes, fields: header.Fields, records: pax.Records | None) -> Entry:
        entry = header.draft(fields)
        self._name = entry.name
        if self._global:
            records = {**self._global, **(records or {})}
        if records:
            pax.override(entry, records)
            entry.name = sparse.pax_name(records) or entry.name
            self._name = entry.name
        header.judge(entry, self._rooted)
        if entry.kind == FILE:
            self._find_data(entry, block, records)
        entry.offset = self._source.position
        return entry

    def _find_data(self, entry: Entry, block: bytes, records: pax.Records | None) -> None:
        """See how much data the archive holds for a file, and where in the file it belongs."""
        stored = entry.size
        found: tuple[int, list[Segment]] | None = None
        if block[156] == _OLD_SPARSE:
            found = sparse.old_gnu_map(block, lambda: self._source.exactly(BLOCK))
        self._stored = stored
        self._padding = -stored % BLOCK
        if records and found is None:
            found = sparse.pax_map(records, self._block_of_data)
        if found is not None:
            entry.size, segments = found
            header.judge_size(entry.size)
            entry.sparse = sparse.judged(segments, entry.size, self._stored)
            self._segments = entry.sparse[::-1]
            self._logical = 0
            self._size = entry.size

    def _block_of_data(self) -> bytes:
        if self._stored < BLOCK:
            raise Malformed("its sparse map is longer than its data")
        self._stored -= BLOCK
        return self._source.exactly(BLOCK)

    # --- data ----------------------------------------------------------------------------------

    def read(self, size: int = -1, /) -> bytes:
        """The next `size` bytes of the file's content, fewer only at its end; holes are zeros.

        Without a size it is all that is left, in memory: look at the entry's size first.
        """
        left = size if size >= 0 else _MAX_READ
        pieces: list[memoryview] = []
        while left > 0 and (piece := self._content(left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def read1(self, size: int, /) -> bytes:
        """At least one byte of the file's content and at most `size`, b"" at its end: what comes
        with the least copying."""
        piece = self._content(size)
        whole = piece.obj
        if isinstance(whole, bytes) and len(piece) == len(whole):
            return whole
        return bytes(piece)

    def _content(self, limit: int) -> memoryview:
        """The next bytes of the content, holes filled in; empty at its end."""
        segments = self._segments
        if segments is None:
            return self._data(limit)
        hole_end = segments[-1][0] if segments else self._size
        if self._logical < hole_end:
            piece = memoryview(_ZEROS)[: min(limit, hole_end - self._logical)]
        elif segments:
            end = sum(segments[-1])
            piece = self._data(min(limit, end - self._logical))
            if self._logical + len(piece) == end:
                segments.pop()
        else:
            return memoryview(b"")
        self._logical += len(piece)
        return piece

    def _data(self, limit: int) -> memoryview:
        """The next bytes of what the archive holds for the entry."""
        if not self._stored:
            return memoryview(b"")
        try:
            piece = self._source.piece(min(limit, self._stored))
        except Malformed as error:
            raise self._refusal(error) from None
        self._stored -= len(piece)
        return piece

    def copy_to(self, fd: int) -> None:
        """Write the content to `fd`, an empty file's; a sparse file's holes stay holes.

        For a file that is not sparse, `fd` may be a pipe, and what was read before is left out.
        """
        try:
            if self._segments is None:
                while piece := self._data(_PIECE):
                    _write(fd, piece)
            else:
                self._copy_segments(fd, self._segments)
        except OSError as error:
            raise errdefs.from_os_error(f"writing {quoted(self._name)}", error) from error

    def _copy_segments(self, fd: int, segments: list[Segment]) -> None:
        os.ftruncate(fd, self._size)
        while segments:
            offset, length = segments.pop()
            os.lseek(fd, offset, os.SEEK_SET)
            while length:
                piece = self._data(length)
                _write(fd, piece)
                length -= len(piece)
        self._logical = self._size


def _write(fd: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(fd, piece) :]


def read_tar(stream: Readable | Source) -> Iterator[tuple[Entry, TarReader]]:
    """Each entry with the reader of its data, which serves it until the next step."""
    reader = TarReader(stream)
    return ((entry, reader) for entry in reader)
