"""Layers as EROFS images: one file that holds the tar as it came, and can be mounted.

`LayerWriter` makes one, in the pass that reads the tar; `Image` reads one without the kernel, and
`check` and `verify` say whether one is whole. The format is drawn in `format.py` and `layer.py`,
and told in docs/erofs.md.
"""

from wherry.layers.erofs.checking import check
from wherry.layers.erofs.image import Image, Inode
from wherry.layers.erofs.layer import (
    MAX_ENTRIES,
    TAR_OFFSET,
    LayerInfo,
    LayerWriter,
    read_info,
    tar_extent,
)
from wherry.layers.erofs.verifying import tar_digest, verify

__all__ = [
    "MAX_ENTRIES",
    "TAR_OFFSET",
    "Image",
    "Inode",
    "LayerInfo",
    "LayerWriter",
    "check",
    "read_info",
    "tar_digest",
    "tar_extent",
    "verify",
]
