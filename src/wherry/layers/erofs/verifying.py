"""Whether a layer file is, to the last byte, what was made of the tar with a diffID."""

import hashlib
import os
from collections.abc import Callable
from typing import Final

from wherry import errdefs
from wherry.layers.erofs.checking import check
from wherry.layers.erofs.format import SUPERBLOCK, SUPERBLOCK_OFFSET
from wherry.layers.erofs.layer import TAR_OFFSET, LayerInfo, seal
from wherry.spec.digest import Digest

_CHUNK: Final = 1 << 20
_HEAD: Final = SUPERBLOCK_OFFSET + SUPERBLOCK.size


def verify(fd: int, diff_id: Digest, seen: Callable[[int], None]) -> LayerInfo:
    """Read all of the layer file; `seen` is told of bytes that were read, piece by piece.

    Raises DataLoss saying what is wrong.
    """
    info = check(fd)
    seen(info.metadata_size)
    if info.diff_id != diff_id:
        raise errdefs.data_loss(f"the layer file is that of another layer, {info.diff_id}")
    try:
        _check_between(fd, info)
        found = tar_digest(fd, info.tar_size, seen)
    except OSError as error:
        raise errdefs.from_os_error("reading a layer", error) from error
    if found != diff_id:
        raise errdefs.data_loss(f"the layer's tar is damaged: it now has the digest {found}")
    return info


def tar_digest(fd: int, size: int, seen: Callable[[int], None] = lambda size: None) -> Digest:
    """What the tar would have for a diffID if it were `size` bytes long. May raise OSError."""
    hasher = hashlib.sha256()
    at, end = TAR_OFFSET, TAR_OFFSET + size
    while at < end and (piece := os.pread(fd, min(end - at, _CHUNK), at)):
        hasher.update(piece)
        at += len(piece)
        seen(len(piece))
    return Digest.from_hex(hasher.hexdigest())


def _check_between(fd: int, info: LayerInfo) -> None:
    """What is neither record nor superblock, tar or metadata is zeros."""
    head = os.pread(fd, TAR_OFFSET, 0)
    expected = seal(info, head[SUPERBLOCK_OFFSET:_HEAD]).ljust(TAR_OFFSET, b"\0")
    end = TAR_OFFSET + info.tar_size
    padding = os.pread(fd, info.metadata_offset - end, end)
    if head != expected or padding.strip(b"\0"):
        raise errdefs.data_loss("the layer file has something where nothing belongs")
