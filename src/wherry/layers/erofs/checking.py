"""Whether a layer file is whole: its record, its metadata, and that they are of one tree."""

import stat

from wherry import errdefs
from wherry.layers.erofs.image import Image
from wherry.layers.erofs.layer import LayerInfo, digest_of, read_info


def check(fd: int) -> LayerInfo:
    """Read all that follows the tar, and the record. Raises DataLoss saying what is wrong.

    The tar itself has a digest of its own: see `tar_extent` and `LayerInfo.diff_id`.
    """
    info = read_info(fd)
    try:
        found = digest_of(fd, info.metadata_offset, info.metadata_size)
    except OSError as error:
        raise errdefs.from_os_error("reading a layer", error) from error
    if found != info.metadata_digest:
        raise errdefs.data_loss("the layer file's metadata are damaged")
    image = Image(fd)
    missing: dict[int, int] = {}  # names of hardlinked files that have not come yet
    inodes = size = 0
    for _, inode in image.walk():
        for _extent in image.extents(inode):
            pass  # that each is inside the file
        if not inode.is_directory and inode.nlink > 1:
            again = inode.nid in missing
            missing[inode.nid] = missing.get(inode.nid, inode.nlink) - 1
            if again:
                continue
        inodes += not (stat.S_ISCHR(inode.mode) and inode.device == (0, 0))
        if stat.S_ISREG(inode.mode):
            size += inode.size
    if any(missing.values()) or (inodes, size) != (info.inodes, info.bytes):
        raise errdefs.data_loss("the layer file's record and its tree do not agree")
    return info
