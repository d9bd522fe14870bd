"""The root directory of a layer or of a container: its attributes, which no name carries."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wherry.layers.attributes import is_content


@dataclass(frozen=True)
class RootAttributes:
    """What a layer, or a container, says of the root directory."""

    uid: int
    gid: int
    mode: int
    mtime_ns: int
    xattrs: Mapping[str, bytes]

    def give(self, directory: Path) -> None:
        """Let `directory`, which has no xattrs yet, have them. May raise OSError."""
        os.chown(directory, self.uid, self.gid)
        directory.chmod(self.mode)
        for name, value in self.xattrs.items():
            os.setxattr(directory, name, value)
        os.utime(directory, ns=(self.mtime_ns, self.mtime_ns))


def attributes_of(directory: Path) -> RootAttributes:
    """May raise OSError."""
    status = directory.stat()
    return RootAttributes(
        status.st_uid,
        status.st_gid,
        status.st_mode & 0o7777,
        status.st_mtime_ns,
        {
            name: os.getxattr(directory, name)
            for name in filter(is_content, os.listxattr(directory))
        },
    )
