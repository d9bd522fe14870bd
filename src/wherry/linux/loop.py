"""Loop devices: a file as a block device (loop(4), linux/loop.h)."""

import errno
import fcntl
import os
import struct
from typing import Final

_GET_FREE: Final = 0x4C82
_CONFIGURE: Final = 0x4C0A  # Linux 5.8
_READ_ONLY, _AUTOCLEAR, _DIRECT_IO = 1, 4, 16
# struct loop_config: fd, block_size, then struct loop_info64, then 8 reserved words.
_CONFIG: Final = struct.Struct("=II" + "QQQQQIIII64s64s32s2Q" + "64x")
_TRIES: Final = 100


def attach(file: int, block_size: int = 512) -> int:
    """A descriptor of a read-only device on the open `file`.

    The device goes when its last user does: this descriptor, or a mount. It reads past the page
    cache where the file system can (direct I/O), so that nothing is cached twice. Raises OSError.
    """
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            number = fcntl.ioctl(control, _GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _configure(device, file, block_size):
                    return device
            except OSError:
                os.close(device)
                raise
            os.close(device)
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "others take every free loop device first", "/dev/loop-control")


def _configure(device: int, file: int, block_size: int) -> bool:
    """False if somebody else took the device between the two calls."""
    for flags in (_READ_ONLY | _AUTOCLEAR | _DIRECT_IO, _READ_ONLY | _AUTOCLEAR):
        info = (0, 0, 0, 0, 0, 0, 0, 0, flags, b"", b"", b"", 0, 0)
        try:
            fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(file, block_size, *info))
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            if error.errno != errno.EINVAL or not flags & _DIRECT_IO:
                raise
        else:
            return True
    return False
