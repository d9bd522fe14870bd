"""The driver `overlay`: layers are unpacked once, and the kernel's overlayfs stacks them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from wherry.linux.mounts import OverlayRoot
from wherry.snapshots.browsing.layer import Descriptor, LayerFile
from wherry.snapshots.browsing.unpacked import OverlaySigns, open_root
from wherry.snapshots.extractor.feed import WhiteoutForm
from wherry.snapshots.extractor.report import Report
from wherry.snapshots.overlaid import OverlaidSnapshotter, give_signs
from wherry.snapshots.roots import RootAttributes, attributes_of
from wherry.snapshots.unpacking import UnpackingSnapshotter
from wherry.spec.digest import Digest

_OPAQUE: Final = "trusted.overlay.opaque"


class OverlaySnapshotter(OverlaidSnapshotter, UnpackingSnapshotter):
    """Layers in overlayfs's own form: a removed name is a 0/0 device, an opaque directory has an
    attribute.

        layers/<hex>/fs              a lower directory
    """

    name: ClassVar[str] = "overlay"
    whiteout_form: ClassVar[WhiteoutForm] = "devices"

    def _finish_layer(self, ingest: Path, report: Report) -> None:
        give_signs(ingest / "fs", report)

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

    def _root_of(self, diff_id: Digest, number: int) -> LayerFile:
        tree = os.open(self._tree(diff_id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return open_root(Descriptor(tree), OverlaySigns(), number)

    def _tree(self, diff_id: Digest) -> Path:
        return self._layers / diff_id.hex / "fs"
