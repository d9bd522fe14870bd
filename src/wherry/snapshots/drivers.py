"""Which snapshotter a data root has: the one asked for, the one in use, or the best that works."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.linux.mounts import OverlayRoot
from wherry.snapshots.native import NativeSnapshotter
from wherry.snapshots.overlay import OverlaySnapshotter
from wherry.snapshots.protocol import Snapshotter
from wherry.spec.digest import Digest

_DRIVERS: Final = {"overlay": OverlaySnapshotter, "native": NativeSnapshotter}
_DOCKERS_NAMES: Final = {"overlay2": "overlay", "vfs": "native"}


def choose(root: Path, wanted: str | None, open_blob: Callable[[Digest], BinaryIO]) -> Snapshotter:
    """The snapshotter of the data root `root`; its files are in `root`/snapshots/<driver>.

    `wanted` is a driver's name, or Docker's for the same (overlay2, vfs). Without one, a driver
    that has layers here stays: another would not see them. `status()` says why it was chosen.
    `open_blob` gives the uncompressed tar of a layer, for `open_tar` of a driver that keeps none.
    Raises InvalidArgument for an unknown name, Unavailable if the driver does not work here.
    """
    snapshots = root / "snapshots"
    if wanted:
        name, reason = _DOCKERS_NAMES.get(wanted, wanted), "it was asked for"
        if name not in _DRIVERS:
            raise errdefs.invalid(
                f"no such storage driver: {wanted} (there are {', '.join(_DRIVERS)})"
            )
    else:
        in_use = next((name for name in _DRIVERS if _has_layers(snapshots / name)), None)
        name, reason = in_use or "overlay", "the data root has layers of it" if in_use else ""
    if name == "overlay":
        refused = probe_overlay(snapshots)
        if refused and reason:
            raise errdefs.unavailable(
                f"the storage driver overlay ({reason}) does not work in {root}: {refused}"
            )
        if refused:
            name, reason = "native", f"overlay does not work here: {refused}"
    return _DRIVERS[name](snapshots / name, open_blob, reason or "overlayfs works here")


def probe_overlay(directory: Path) -> str | None:
    """Why overlayfs cannot work on the file system of `directory`; None if it can.

    Mounts a tiny overlay, detached, so that it is in no mount table, removes a file through it and
    replaces a directory, and looks whether the signs of that are in the upper directory.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="probe-", dir=directory) as scratch:
            return _try_overlay(Path(scratch))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return f"{(error.strerror or str(error)).lower()}{where}"


def _try_overlay(scratch: Path) -> str | None:
    for name in ("lower/dir", "upper", "work"):
        (scratch / name).mkdir(parents=True)
    (scratch / "lower/file").touch()
    upper = scratch / "upper"
    mount = OverlayRoot((str(scratch / "lower"),), str(upper), str(scratch / "work")).open()
    try:
        os.unlink("file", dir_fd=mount)
        os.rmdir("dir", dir_fd=mount)
        os.mkdir("dir", dir_fd=mount)
    finally:
        os.close(mount)
    if not stat.S_ISCHR((upper / "file").lstat().st_mode):
        return "a removed file leaves no whiteout device"
    if os.getxattr(upper / "dir", "trusted.overlay.opaque") != b"y":
        return "a replaced directory is not marked opaque"
    return None


def _has_layers(driver: Path) -> bool:
    with contextlib.suppress(OSError):
        return bool(os.listdir(driver / "layers"))
    return False
