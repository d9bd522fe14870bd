"""Which snapshotter a data root has: the one recorded there, the one asked for, or the best that
works."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from wherry import errdefs
from wherry.content.disk import make_directory
from wherry.snapshots import probing
from wherry.snapshots.directory import DirectorySnapshotter
from wherry.snapshots.erofs import ErofsSnapshotter
from wherry.snapshots.native import NativeSnapshotter
from wherry.snapshots.overlay import OverlaySnapshotter
from wherry.spec.digest import Digest

# The best first.
NAMES: Final = ("erofs", "overlay", "native")
_DOCKERS_NAMES: Final = {"overlay2": "overlay", "vfs": "native"}
_RECORD: Final = "driver"

OpenBlob = Callable[[Digest], BinaryIO]
Released = Callable[[str], None]


@dataclass(frozen=True)
class _Choice:
    """A driver that works here, or why it does not."""

    make: Callable[..., DirectorySnapshotter]
    refused: str | None = None
    how: str = ""


def choose(
    root: Path, wanted: str | None, open_blob: OpenBlob, released: Released | None = None
) -> DirectorySnapshotter:
    """The snapshotter of the data root `root`; its files are in `root`/snapshots/<driver>.

    `wanted` is a driver's name, or Docker's for the same (overlay2, vfs). Without one, the driver
    that the root has stays. `status()` says why it was chosen. `open_blob` gives the uncompressed
    tar of a layer, for `open_tar` of a driver that keeps none; `released` is told the file of a
    layer that is removed. Raises InvalidArgument for an unknown name, Conflict if the root has
    layers of another driver, Unavailable if the driver does not work here.
    """
    snapshots = root / "snapshots"
    name = _DOCKERS_NAMES.get(wanted, wanted) if wanted else None
    if name is not None and name not in NAMES:
        raise errdefs.invalid(f"no such storage driver: {wanted} (there are {', '.join(NAMES)})")
    recorded = recorded_driver(snapshots)
    if name and recorded and name != recorded:
        raise errdefs.conflict(
            f"the data root {root} has layers of the storage driver {recorded}, which {name} does "
            f"not see; leave out --storage-driver, or use another --data-root"
        )
    fixed = recorded or name
    reason = "the data root has layers of it" if recorded else "it was asked for" if name else ""
    refusals: list[str] = []
    for each in [fixed] if fixed else NAMES:
        choice = _look(each, snapshots)
        if choice.refused is None:
            _record(snapshots, each)
            words = [reason, choice.how, *refusals]
            said = "; ".join(word for word in words if word)
            more = {"released": released} if each == "erofs" else {}
            return choice.make(snapshots / each, open_blob, said, **more)
        if fixed:
            raise errdefs.unavailable(
                f"the storage driver {each} ({reason}) does not work in {root}: {choice.refused}"
            )
        refusals.append(f"{each} does not work here: {choice.refused}")
    raise errdefs.unavailable(f"no storage driver works in {root}: {'; '.join(refusals)}")


def recorded_driver(snapshots: Path) -> str | None:
    """The driver that has layers or snapshots here."""
    with contextlib.suppress(OSError):
        name = (snapshots / _RECORD).read_text().strip()
        if name in NAMES and _is_in_use(snapshots / name):
            return name
    return next((name for name in NAMES if _is_in_use(snapshots / name)), None)


def _record(snapshots: Path, name: str) -> None:
    try:
        make_directory(snapshots)
        new = snapshots / f"{_RECORD}.new"
        new.write_text(f"{name}\n")
        new.rename(snapshots / _RECORD)
    except OSError as error:
        raise errdefs.from_os_error(f"recording the driver in {snapshots}", error) from error


def _look(name: str, snapshots: Path) -> _Choice:
    """Whether the driver works here; tried, not guessed."""
    if name == "native":
        return _Choice(NativeSnapshotter)
    if name == "overlay":
        return _Choice(
            OverlaySnapshotter, probing.why_no_overlay(snapshots), "overlayfs works here"
        )
    from_files = probing.why_no_images(snapshots, by_loop=False)
    if from_files is None:
        return _Choice(ErofsSnapshotter, None, "the kernel mounts images from files")
    by_loop = probing.why_no_images(snapshots, by_loop=True)
    if by_loop is None:
        return _Choice(
            partial(ErofsSnapshotter, by_loop=True),
            None,
            f"images are mounted by loop devices, because not from files: {from_files}",
        )
    return _Choice(ErofsSnapshotter, f"from files: {from_files}; by loop devices: {by_loop}")


def _is_in_use(driver: Path) -> bool:
    for name in ("layers", "active"):
        with contextlib.suppress(OSError):
            if os.listdir(driver / name):
                return True
    return False
