"""The driver `overlay`: layers are unpacked once, and the kernel's overlayfs stacks them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from wherry.linux.mounts import OverlayRoot
from wherry.linux.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from wherry.snapshots.extractor.feed import WhiteoutForm
from wherry.snapshots.extractor.report import Report, path_of
from wherry.snapshots.overlaid import OverlaidSnapshotter, RootAttributes, attributes_of
from wherry.snapshots.unpacking import UnpackingSnapshotter
from wherry.spec.digest import Digest

_OPAQUE: Final = "trusted.overlay.opaque"
_ORIGIN: Final = "trusted.overlay.origin"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class OverlaySnapshotter(OverlaidSnapshotter, UnpackingSnapshotter):
    """Layers in overlayfs's own form: a removed name is a 0/0 device, an opaque directory has an
    attribute.

        layers/<hex>/fs              a lower directory
    """

    name: ClassVar[str] = "overlay"
    whiteout_form: ClassVar[WhiteoutForm] = "devices"

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

    def _mount_of(self, key: str, layers: Sequence[Digest]) -> OverlayRoot:
        home = self._active / key
        lower = tuple(str(self._tree(diff_id)) for diff_id in self._shown(layers))
        return OverlayRoot(lower or (str(self._empty),), str(home / "upper"), str(home / "work"))

    def _is_opaque(self, diff_id: Digest) -> bool:
        try:
            return os.getxattr(self._tree(diff_id), _OPAQUE) == b"y"
        except OSError:
            return False

    def _root_attributes(self, diff_id: Digest) -> RootAttributes:
        return attributes_of(self._tree(diff_id))

    def _tree(self, diff_id: Digest) -> Path:
        return self._layers / diff_id.hex / "fs"


def _set_attribute(tree: int, path: bytes, name: str, value: bytes) -> None:
    """On the directory `path` below `tree`, which a hostile archive has named."""
    beneath = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
    directory = openat2(tree, path or b".", _DIRECTORY, resolve=beneath)
    try:
        os.setxattr(directory, name, value)
    finally:
        os.close(directory)
