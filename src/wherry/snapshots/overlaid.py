"""Active snapshots by overlayfs, whatever their layers are.

active/<key>/upper           what the container writes
active/<key>/work            overlayfs's own
empty/                       the lower directory of a stack of no layers
"""

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.layers.attributes import is_content
from wherry.snapshots.changes import layer_of_upper, open_changes
from wherry.snapshots.directory import DirectorySnapshotter, OpenBlob
from wherry.snapshots.protocol import Usage
from wherry.snapshots.tree import usage_of
from wherry.spec.digest import Digest

MAX_LAYERS: Final = 500  # OVL_MAX_STACK in the kernel's fs/overlayfs/params.h

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True)
class RootAttributes:
    """What a layer says of the root directory."""

    uid: int
    gid: int
    mode: int
    mtime_ns: int
    xattrs: Mapping[str, bytes]


class OverlaidSnapshotter(DirectorySnapshotter):
    """The active snapshots' half of a driver that stacks by overlayfs."""

    def __init__(
        self, root: Path, open_blob: OpenBlob, reason: str = "", max_entries: int | None = None
    ) -> None:
        super().__init__(root, open_blob, reason, max_entries)
        self._empty = self.root / "empty"
        self._empty.mkdir(exist_ok=True)
        self._empty.chmod(0o755)  # whatever the umask

    @abstractmethod
    def _is_opaque(self, diff_id: Digest) -> bool:
        """Whether the layer's root hides all below it."""

    @abstractmethod
    def _root_attributes(self, diff_id: Digest) -> RootAttributes: ...

    def _shown(self, layers: Sequence[Digest]) -> list[Digest]:
        """The layers that count, top first. overlayfs looks for no opaque sign on a layer's root,
        so the stack ends here at the first that has one."""
        shown = []
        for diff_id in reversed(layers):
            shown.append(diff_id)
            if self._is_opaque(diff_id):
                break
        return shown

    def _fill(self, ingest: Path, layers: Sequence[Digest]) -> None:
        shown = self._shown(layers)
        if len(shown) > MAX_LAYERS:
            raise errdefs.invalid(
                f"a stack of {len(shown)} layers: overlayfs takes {MAX_LAYERS}; "
                "build the image again with fewer steps"
            )
        upper = ingest / "upper"
        upper.mkdir()
        (ingest / "work").mkdir(mode=0o700)
        # An overlay's root has the attributes of its upper directory: those of the top layer's.
        top = self._root_attributes(shown[0]) if shown else attributes_of(self._empty)
        os.chown(upper, top.uid, top.gid)
        upper.chmod(top.mode)
        for name, value in top.xattrs.items():
            os.setxattr(upper, name, value)
        os.utime(upper, ns=(top.mtime_ns, top.mtime_ns))

    def diff(self, key: str) -> BinaryIO:
        root = self._open_upper(key)
        return open_changes(root, layer_of_upper(root))

    def key_usage(self, key: str) -> Usage:
        root = self._open_upper(key)
        try:
            return usage_of(root)
        except OSError as error:
            raise errdefs.from_os_error(f"measuring the snapshot {key}", error) from error
        finally:
            os.close(root)

    def _open_upper(self, key: str) -> int:
        self._stack(key)
        try:
            return os.open(self._active / key / "upper", _DIRECTORY)
        except OSError as error:
            raise errdefs.from_os_error(f"reading the snapshot {key}", error) from error


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
