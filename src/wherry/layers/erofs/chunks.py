"""The index of a file with holes: for each chunk of it, the address of its data, or none.

    the file      |dddddddd|dddd....|........|...dddd|       d data, . hole
    its index     |  in    |  over- | HOLE   | over- |
                  | the tar|  flow  |        | flow  |

A chunk that is data throughout, and lies on blocks in the tar, stays there: that is most of what
GNU tar writes. One that is partly a hole, or lies askew, is put together in the overflow.
"""

from array import array
from collections.abc import Iterator
from typing import Final

from wherry import errdefs
from wherry.layers.erofs.format import BLOCK, BLOCK_BITS, HOLE
from wherry.layers.erofs.overflow import Overflow
from wherry.layers.tar import Segment

_MAX_SIZE: Final = 1 << 44  # 16 TiB, ext4's largest file
_SMALLEST: Final = 12
_SMALL_INDEX: Final = 1 << 20
_DATA_PER_INDEX: Final = 64


class ChunkIndex:
    """`form` is what the inode says about it; `late` are (chunk, block in the overflow)."""

    def __init__(
        self, segments: list[Segment], size: int, data_at: int, overflow: Overflow
    ) -> None:
        """`data_at` is where in the layer file the segments lie, one after another."""
        if size > _MAX_SIZE:
            raise errdefs.invalid(f"its size is {size} bytes; a sparse file may have {_MAX_SIZE}")
        self._bits = _chunk_bits(size, sum(length for _, length in segments))
        self._size = size
        self._overflow = overflow
        self._index = array("I", [HOLE]) * -(-size >> self._bits)
        self._late: dict[int, int] = {}
        for offset, length, at in _runs(segments, data_at):
            self._place(offset, offset + length, at)

    @property
    def form(self) -> int:
        return self._bits - BLOCK_BITS

    @property
    def encoded(self) -> bytes:
        return self._index.tobytes()

    @property
    def late(self) -> list[tuple[int, int]]:
        return list(self._late.items())

    def _place(self, begin: int, end: int, at: int) -> None:
        """The data from `begin` to `end` of the file lie `at` in the layer file."""
        bits = self._bits
        first = -(-begin >> bits)
        last = len(self._index) if end == self._size else end >> bits
        if first >= last or (at - begin) % BLOCK:
            self._copy(begin, end, at - begin)
            return
        address = (at - begin + (first << bits)) // BLOCK
        step = 1 << bits - BLOCK_BITS
        run = range(address, address + (last - first) * step, step)
        self._index[first:last] = array("I", run)
        self._copy(begin, first << bits, at - begin)
        self._copy(last << bits, end, at - begin)

    def _copy(self, begin: int, end: int, distance: int) -> None:
        while begin < end:
            chunk = begin >> self._bits
            start = chunk << self._bits
            stop = min(end, start + (1 << self._bits))
            if chunk not in self._late:
                size = min(1 << self._bits, self._size - start)
                self._late[chunk] = self._overflow.reserve(size)
            at = self._late[chunk] * BLOCK + begin - start
            self._overflow.copy(begin + distance, stop - begin, at)
            begin = stop


def _chunk_bits(size: int, stored: int) -> int:
    """The smallest chunks whose index is small beside the data, or small at all."""
    bits = _SMALLEST
    while 4 * (size >> bits) > max(_SMALL_INDEX, stored // _DATA_PER_INDEX):
        bits += 1
    return bits


def _runs(segments: list[Segment], at: int) -> Iterator[tuple[int, int, int]]:
    """(offset, length, place) of the data, segments that touch each other joined."""
    begin = end = 0
    for offset, length in segments:
        if offset != end:
            if begin < end:
                yield begin, end - begin, at - (end - begin)
            begin = offset
        end = offset + length
        at += length
    if begin < end:
        yield begin, end - begin, at - (end - begin)
