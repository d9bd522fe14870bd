"""Sparse files: where their data lies. GNU tar has four ways to say it, and one is enough for us.

old GNU   type `S`: four segments in the header, 21 in each block that follows it
PAX 0.0   GNU.sparse.offset and GNU.sparse.numbytes, repeated (see pax.update)
PAX 0.1   GNU.sparse.map, one record
PAX 1.0   decimal lines before the data, padded to a block
"""

from collections.abc import Callable, Iterator
from typing import Final

from wherry.layers.tar.entry import Segment
from wherry.layers.tar.fields import BLOCK, MAX_EXTENDED, Malformed, decimal, number
from wherry.layers.tar.pax import SPARSE_MAP, Records

_MAX_NUMBERS: Final = MAX_EXTENDED // 12

_MAJOR: Final = b"GNU.sparse.major"
_MINOR: Final = b"GNU.sparse.minor"
_SIZE: Final = b"GNU.sparse.size"

NextBlock = Callable[[], bytes]


def old_gnu_map(header: bytes, next_block: NextBlock) -> tuple[int, list[Segment]]:
    """(size with holes, segments) of a type `S` header and of the blocks that continue it."""
    numbers = _pairs(header, 386, 4)
    extended = header[482]
    while extended:
        if len(numbers) > _MAX_NUMBERS:
            raise Malformed("its sparse map is too long")
        block = next_block()
        numbers += _pairs(block, 0, 21)
        extended = block[504]
    return number(header[483:495]), _segments(numbers)


def _pairs(block: bytes, start: int, count: int) -> list[int]:
    """The numbers of up to `count` pairs; an empty one ends the list."""
    numbers: list[int] = []
    for at in range(start, start + 24 * count, 24):
        if not block[at]:
            break
        numbers += (number(block[at : at + 12]), number(block[at + 12 : at + 24]))
    return numbers


def pax_name(records: Records) -> bytes | None:
    """A sparse file's own name; in the place for names stands one for extractors without a clue."""
    return records.get(b"GNU.sparse.name") if _is_sparse(records) else None


def pax_map(records: Records, next_block: NextBlock) -> tuple[int, list[Segment]] | None:
    """(size with holes, segments), if the records say that the file is sparse."""
    if not _is_sparse(records):
        return None
    if records.get(_MAJOR, b"0") == b"1":
        size = decimal(records.get(b"GNU.sparse.realsize", b""), "sparse size")
        return size, _map_before_data(next_block)
    size = decimal(records.get(_SIZE, b""), "sparse size")
    listed = records.get(SPARSE_MAP)
    numbers = [decimal(item, "sparse map") for item in listed.split(b",")] if listed else []
    return size, _segments(numbers)


def _is_sparse(records: Records) -> bool:
    if _MAJOR not in records and _MINOR not in records:
        return SPARSE_MAP in records or _SIZE in records
    version = records.get(_MAJOR, b"0") + b"." + records.get(_MINOR, b"0")
    if version not in (b"0.0", b"0.1", b"1.0"):
        raise Malformed(f"its sparse format {version[:40]!r} is not known")
    return version == b"1.0" or SPARSE_MAP in records or _SIZE in records


def _map_before_data(next_block: NextBlock) -> list[Segment]:
    """The map before a file's data: how many segments, then their offsets and lengths by turns."""
    numbers = _lines(next_block)
    count = next(numbers)
    if count * 2 > _MAX_NUMBERS:
        raise Malformed("its sparse map is too long")
    return _segments([next(numbers) for _ in range(count * 2)])


def _lines(next_block: NextBlock) -> Iterator[int]:
    rest = b""
    while True:
        *lines, rest = (rest + next_block()).split(b"\n")
        for line in lines:
            yield decimal(line, "sparse map")
        if len(rest) > BLOCK:
            raise Malformed("its sparse map is not a list of numbers")


def _segments(numbers: list[int]) -> list[Segment]:
    if len(numbers) % 2:
        raise Malformed("its sparse map has an offset without a length")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def judged(segments: list[Segment], size: int, stored: int) -> list[Segment]:
    """The segments that hold data, if they ascend, fit the size, and are what is stored."""
    end = 0
    for offset, length in segments:
        if offset < end or length < 0 or offset + length > size:
            raise Malformed("its sparse map overlaps itself or leaves the file")
        end = offset + length
    if sum(length for _, length in segments) != stored:
        raise Malformed("its sparse map does not match the data that the archive holds")
    return [segment for segment in segments if segment[1]]
