"""The mounts of layers that the launcher holds, and lends to containers.

Each mount of an image file has a page cache of its own. So there is one for each layer, whatever
containers use it, and a library in it is in memory once::

    launcher   layer's mount, detached ------------.
    init       /proc/<launcher>/fd/N, as lowerdir+ -+--> overlay: holds the layer by itself

A container's overlay keeps the layer mounted until it ends. The launcher keeps it for the next
one, until it is told that the layer's file goes away.
"""

import os
import resource
from collections.abc import Sequence

from wherry import errdefs
from wherry.linux import mounts

# A kernel structure each, and a descriptor: of these at most half of what the process may have.
# The longest unused are let go beyond this number.
_MOST = 2000


class Lending:
    """Mounts by the path of their image's file, the last used last."""

    def __init__(self) -> None:
        self._mounts: dict[str, int] = {}

    def lend(self, paths: Sequence[str], by_loop: bool) -> bytes:
        """What `lent_paths` needs to find the images' mounts; they stay ours. EngineError."""
        lent = [self._get(path, by_loop) for path in paths]
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = max(len(lent), _MOST if files < 0 else min(_MOST, files // 2))
        for path in list(self._mounts)[: max(0, len(self._mounts) - most)]:
            self.release(path)
        return b" ".join(b"%d" % number for number in (os.getpid(), *lent))

    def _get(self, path: str, by_loop: bool) -> int:
        fd = self._mounts.pop(path, -1)
        if fd < 0:
            try:
                fd = mounts.open_image(path, by_loop)
            except OSError as error:
                raise errdefs.from_os_error(f"mounting the layer {path}", error) from error
        self._mounts[path] = fd
        return fd

    def release(self, path: str) -> None:
        """Let go of one; no error if it is not held."""
        fd = self._mounts.pop(path, -1)
        if fd >= 0:
            os.close(fd)


def lent_paths(lent: bytes) -> list[str]:
    """Where another process finds what it was lent."""
    if not lent:
        return []
    launcher, *descriptors = lent.decode().split()
    return [f"/proc/{launcher}/fd/{fd}" for fd in descriptors]
