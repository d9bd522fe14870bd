"""The driver `overlay`: layers are unpacked once, and the kernel's overlayfs stacks them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, ClassVar, Final

from wherry import errdefs
from wherry.layers.attributes import is_content
from wherry.linux.mounts import OverlayRoot
from wherry.linux.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from wherry.snapshots.changes import layer_of_upper, open_changes
from wherry.snapshots.extractor.feed import WhiteoutForm
from wherry.snapshots.extractor.report import Report, path_of
from wherry.snapshots.protocol import Usage
from wherry.snapshots.tree import usage_of
from wherry.snapshots.unpacking import OpenBlob, UnpackingSnapshotter
from wherry.spec.digest import Digest

MAX_LAYERS: Final = 500  # OVL_MAX_STACK in the kernel's fs/overlayfs/params.h

_OPAQUE: Final = "trusted.overlay.opaque"
_ORIGIN: Final = "trusted.overlay.origin"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class OverlaySnapshotter(UnpackingSnapshotter):
    """Layers in overlayfs's own form: a removed name is a 0/0 device, an opaque directory has an
    attribute.

        layers/<hex>/fs              a lower directory
        active/<key>/upper           what the container writes
        active/<key>/work            overlayfs's own
        empty/                       the lower directory of a stack of no layers
    """

    name: ClassVar[str] = "overlay"
    whiteout_form: ClassVar[WhiteoutForm] = "devices"

    def __init__(
        self, root: Path, open_blob: OpenBlob, reason: str = "", max_entries: int | None = None
    ) -> None:
        super().__init__(root, open_blob, reason, max_entries)
        self._empty = self.root / "empty"
        self._empty.mkdir(exist_ok=True)
        self._empty.chmod(0o755)  # whatever the umask

    def _finish_layer(self, ingest: Path, report: Report) -> None:
        """Set overlayfs's attributes: `trusted` needs a capability that the extractor had not.

        A directory with whiteouts gets an origin (empty: unknown), as after a copy-up. Without it
        the kernel lists removed names, if the directory comes to have nothing below it to be
        merged with.
        """
        holders = {os.path.dirname(path_of(path)) for path in report["whiteouts"]}
        tree = os.open(ingest / "fs", _DIRECTORY)
        try:
            for holder in holders:
                _set_attribute(tree, holder, _ORIGIN, b"")
            for path in report["opaque"]:
                _set_attribute(tree, path_of(path), _OPAQUE, b"y")
        finally:
            os.close(tree)

    def _fill(self, ingest: Path, layers: Sequence[Digest]) -> None:
        lower = self._lower(layers)
        if len(lower) > MAX_LAYERS:
            raise errdefs.invalid(
                f"a stack of {len(lower)} layers: overlayfs takes {MAX_LAYERS}; "
                "build the image again with fewer steps"
            )
        upper = ingest / "upper"
        upper.mkdir()
        (ingest / "work").mkdir(mode=0o700)
        _copy_root(lower[0], upper)

    def _mount_of(self, key: str, layers: Sequence[Digest]) -> OverlayRoot:
        home = self._active / key
        lower = tuple(str(path) for path in self._lower(layers))
        return OverlayRoot(lower, str(home / "upper"), str(home / "work"))

    def _lower(self, layers: Sequence[Digest]) -> list[Path]:
        """The lower directories, top first. overlayfs looks for no opaque sign on a layer's root,
        so the stack ends here at the first that has one."""
        lower = []
        for diff_id in reversed(layers):
            lower.append(self._layers / diff_id.hex / "fs")
            if _is_opaque(lower[-1]):
                break
        return lower or [self._empty]

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


def _set_attribute(tree: int, path: bytes, name: str, value: bytes) -> None:
    """On the directory `path` below `tree`, which a hostile archive has named."""
    beneath = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
    directory = openat2(tree, path or b".", _DIRECTORY, resolve=beneath)
    try:
        os.setxattr(directory, name, value)
    finally:
        os.close(directory)


def _is_opaque(directory: Path) -> bool:
    try:
        return os.getxattr(directory, _OPAQUE) == b"y"
    except OSError:
        return False


def _copy_root(lower: Path, upper: Path) -> None:
    """An overlay's root has the attributes of its upper directory: those of the top layer's."""
    status = lower.stat()
    os.chown(upper, status.st_uid, status.st_gid)
    upper.chmod(status.st_mode & 0o7777)
    for attribute in filter(is_content, os.listxattr(lower)):
        os.setxattr(upper, attribute, os.getxattr(lower, attribute))
    os.utime(upper, ns=(status.st_mtime_ns, status.st_mtime_ns))
