"""Active snapshots by overlayfs, whatever their layers are.

active/<key>/upper           what the container writes
active/<key>/work            overlayfs's own
empty/                       the lower directory of a stack of no layers
"""

import contextlib
import itertools
import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.layers.files import FileTree
from wherry.linux.mounts import MAX_LAYERS, ImagesRoot, OverlayRoot, RootMount
from wherry.linux.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from wherry.snapshots.browsing.layer import Descriptor
from wherry.snapshots.browsing.merged import MergedTree
from wherry.snapshots.browsing.unpacked import OverlaySigns, open_root
from wherry.snapshots.changes import layer_of_upper, open_changes
from wherry.snapshots.directory import Changes, DirectorySnapshotter, OpenBlob, topmost_once
from wherry.snapshots.extractor.report import Report, path_of
from wherry.snapshots.protocol import Usage
from wherry.snapshots.roots import RootAttributes, attributes_of
from wherry.snapshots.tree import usage_of
from wherry.spec.digest import Digest

_OPAQUE: Final = "trusted.overlay.opaque"
_ORIGIN: Final = "trusted.overlay.origin"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


_MOST_LOOKS: Final = 4096


@dataclass(frozen=True)
class _Look:
    """What overlayfs does not say of a layer's root: that it hides all below; its attributes."""

    opaque: bool
    root: RootAttributes


class OverlaidSnapshotter(DirectorySnapshotter):
    """The active snapshots' half of a driver that stacks by overlayfs."""

    def __init__(
        self, root: Path, open_blob: OpenBlob, reason: str = "", max_entries: int | None = None
    ) -> None:
        super().__init__(root, open_blob, reason, max_entries)
        self._empty = self.root / "empty"
        self._looks: dict[Digest, _Look] = {}
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
            if self._look(diff_id).opaque:
                break
        return shown

    def _look(self, diff_id: Digest) -> _Look:
        """What never changes of a layer, read once. Raises NotFound if the layer is gone."""
        self._layer(diff_id)
        look = self._looks.get(diff_id)
        if look is None:
            if len(self._looks) >= _MOST_LOOKS:
                self._looks.clear()
            look = _Look(self._is_opaque(diff_id), self._root_attributes(diff_id))
            self._looks[diff_id] = look
        return look

    def view(self, stack: Sequence[Digest]) -> RootMount | None:
        layers = topmost_once(stack)
        for diff_id in layers:
            self._layer(diff_id)
        return replace(self._mount_of("", layers), upper="", work="")

    @abstractmethod
    def _mount_of(self, key: str, layers: Sequence[Digest]) -> OverlayRoot | ImagesRoot: ...

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
        top = self._look(shown[0]).root if shown else attributes_of(self._empty)
        top.give(upper)

    def _is_filled(self, key: str) -> bool:
        home = self._active / key
        return (home / "upper").is_dir() and (home / "work").is_dir()

    def _may_hold_data(self, key: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return bool(os.listdir(self._active / key / "upper"))
        return False

    def _fill_with(self, ingest: Path, layers: Sequence[Digest], changes: Changes) -> None:
        self._fill(ingest, layers)
        upper = ingest / "upper"
        # Another, without the attributes that files made in it would inherit.
        upper.rmdir()
        upper.mkdir()
        report = self._extract(changes, upper, "devices")
        give_signs(upper, report)
        changes.root.give(upper)

    def _top(self, key: str) -> Path:
        return self._active / key / "upper"

    def browse_active(self, key: str) -> FileTree:
        layers = topmost_once(self._stack(key))
        upper = open_root(Descriptor(self._open_upper(key)), OverlaySigns(), 0)
        return MergedTree(itertools.chain([upper], self._roots(layers)))

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


def give_signs(tree: Path, report: Report) -> None:
    """Set overlayfs's attributes upon an unpacked tree: `trusted` needs a capability that the
    extractor had not. May raise OSError.

    A directory with whiteouts gets an origin (empty: unknown), as after a copy-up. Without it the
    kernel lists removed names, if the directory comes to have nothing below it to be merged with.
    """
    holders = {os.path.dirname(path_of(path)) for path in report["whiteouts"]}
    root = os.open(tree, _DIRECTORY)
    try:
        for holder in holders:
            _set_attribute(root, holder, _ORIGIN, b"")
        for path in report["opaque"]:
            _set_attribute(root, path_of(path), _OPAQUE, b"y")
    finally:
        os.close(root)


def _set_attribute(tree: int, path: bytes, name: str, value: bytes) -> None:
    """On the directory `path` below `tree`, which a hostile archive has named."""
    beneath = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
    directory = openat2(tree, path or b".", _DIRECTORY, resolve=beneath)
    try:
        os.setxattr(directory, name, value)
    finally:
        os.close(directory)
