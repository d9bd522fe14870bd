"""What cannot stay where it is in the tar: pieces of files with holes, and long symlinks."""

import os
from typing import Final

from wherry import errdefs
from wherry.layers.erofs.format import ADDRESS_AT, BLOCK, aligned
from wherry.layers.erofs.inodes import InodeTable

_MAX_SIZE: Final = 1 << 30
_MAX_COPIES: Final = 1_000_000
_CHUNK: Final = 1 << 20


class Overflow:
    """Blocks after all metadata, planned while the tar goes by and written at the end.

    A block's number is relative to the first, whose address is not known before: what refers to
    one is noted, and set right by `resolve`.
    """

    def __init__(self) -> None:
        self.size = 0
        self._references: list[tuple[int, int]] = []
        self._copies: list[tuple[int, int, int]] = []
        self._texts: list[tuple[bytes, int]] = []

    def reserve(self, size: int) -> int:
        """The first of the blocks that hold `size` bytes of zeros, until something is put there.

        Raises ResourceExhausted if the layer wants too much: a small archive may describe files
        whose data are scattered without an end.
        """
        block = self.size // BLOCK
        self.size = aligned(self.size + size, BLOCK)
        if self.size > _MAX_SIZE:
            raise errdefs.exhausted(
                f"the data of the layer's sparse files would have to be spread over more than"
                f" {_MAX_SIZE} bytes; make the layer without sparse files"
            )
        return block

    def put_text(self, text: bytes) -> int:
        """The block where `text` begins."""
        block = self.reserve(len(text))
        self._texts.append((text, block * BLOCK))
        return block

    def copy(self, source: int, size: int, at: int) -> None:
        """Plan to copy bytes of the file itself, `at` bytes into the overflow.

        Raises ResourceExhausted for too many: a plan takes more room than the byte that it may be
        about, and two system calls.
        """
        if len(self._copies) >= _MAX_COPIES:
            raise errdefs.exhausted(
                f"the data of the layer's sparse files are in more than {_MAX_COPIES} pieces; make"
                " the layer without sparse files"
            )
        self._copies.append((source, size, at))

    def refer(self, position: int, block: int) -> None:
        """Note that the 32 bits at `position` in the table shall hold the block's address."""
        self._references.append((position, block))

    def refer_inode(self, position: int, block: int) -> None:
        self.refer(position + ADDRESS_AT, block)

    def resolve(self, inodes: InodeTable, start: int) -> None:
        """Set the addresses right; `start` is the address of the first block."""
        for position, block in self._references:
            inodes.put(position, start + block)

    def write(self, fd: int, start: int) -> None:
        """Write all of it, `start` bytes into the file. Zeros stay holes. May raise OSError."""
        os.ftruncate(fd, start + self.size)
        for text, at in self._texts:
            os.pwrite(fd, text, start + at)
        for source, size, at in self._copies:
            while size:
                piece = os.pread(fd, min(size, _CHUNK), source)
                os.pwrite(fd, piece, start + at)
                source, size, at = source + len(piece), size - len(piece), at + len(piece)
