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
from wherry.content.disk import make_directory, sync_directory
from wherry.faults import fault
from wherry.snapshots import probing
from wherry.snapshots.directory import DirectorySnapshotter, write_new
from wherry.snapshots.erofs import ErofsSnapshotter
from wherry.snapshots.native import NativeSnapshotter
from wherry.snapshots.overlay import OverlaySnapshotter
from wherry.spec.digest import Digest

# The best first.
NAMES: Final = ("erofs", "overlay", "native")
_DOCKERS_NAMES: Final = {"overlay2": "overlay", "vfs": "native"}
_DRIVERS: Final[dict[str, type[DirectorySnapshotter]]] = {
    "erofs": ErofsSnapshotter,
    "overlay": OverlaySnapshotter,
    "native": NativeSnapshotter,
}
_RECORD: Final = "driver"
_MOVE: Final = "move"

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
    _refuse_half_moved(root)
    recorded = recorded_driver(snapshots)
    if name and recorded and name != recorded:
        raise errdefs.conflict(
            f"the data root {root} has layers of the storage driver {recorded}, which {name} does "
            f"not see; leave out --storage-driver, or move the data root with `wherry system "
            f"migrate-storage {name} --data-root {root}`"
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
    with contextlib.suppress(OSError, UnicodeDecodeError):
        name = (snapshots / _RECORD).read_text().strip()
        if name in NAMES and is_in_use(snapshots / name):
            return name
    return next((name for name in NAMES if is_in_use(snapshots / name)), None)


def open_unprobed(
    root: Path, name: str, open_blob: OpenBlob, max_entries: int | None = None
) -> DirectorySnapshotter:
    """The driver over what it keeps in the data root, whether or not its mounts work here.

    For who looks at files and makes some, and mounts nothing.
    """
    return _DRIVERS[name](root / "snapshots" / name, open_blob, "", max_entries)


def why_not(root: Path, name: str) -> str | None:
    """Why the driver would not work in the data root; None if it would. It is tried."""
    return _look(name, root / "snapshots").refused


def record_is_good(root: Path, name: str) -> bool:
    """Whether the data root's record names the driver that has its layers."""
    with contextlib.suppress(OSError):
        return (root / "snapshots" / _RECORD).read_bytes() == f"{name}\n".encode()
    return False


def switch(root: Path, name: str) -> None:
    """Record the driver; it outlasts a power cut from then on."""
    snapshots = root / "snapshots"
    fault("snapshots.switch.before-rename")
    _write_durably(snapshots / _RECORD, f"{name}\n")
    fault("snapshots.switch.after-rename")


def _record(snapshots: Path, name: str) -> None:
    try:
        make_directory(snapshots)
        new = snapshots / f"{_RECORD}.new"
        new.write_text(f"{name}\n")
        new.rename(snapshots / _RECORD)
    except OSError as error:
        raise errdefs.from_os_error(f"recording the driver in {snapshots}", error) from error


# --- a move from one driver to another --------------------------------------------------------


@dataclass(frozen=True)
class Move:
    """From the point on where neither driver alone has all, until it is over."""

    source: str
    target: str


def move_under_way(root: Path) -> Move | None:
    """What a migration has begun and not finished. Raises DataLoss if that can't be read."""
    try:
        words = (root / "snapshots" / _MOVE).read_text().split()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise errdefs.data_loss(f"{root}/snapshots/{_MOVE} can't be read: {error}") from error
    if len(words) != 2 or not set(words) <= set(NAMES) or words[0] == words[1]:
        raise errdefs.data_loss(
            f"{root}/snapshots/{_MOVE} is damaged: it should say from which storage driver to "
            f"which the data root is being moved ({', '.join(NAMES)}); write that into it"
        )
    return Move(*words)


def begin_move(root: Path, move: Move) -> None:
    """From here on no daemon opens the data root. Durable."""
    fault("snapshots.move.before-begin")
    _write_durably(root / "snapshots" / _MOVE, f"{move.source} {move.target}\n")
    fault("snapshots.move.after-begin")


def end_move(root: Path) -> None:
    """A daemon may open the data root again. Durable."""
    path = root / "snapshots" / _MOVE
    fault("snapshots.move.before-end")
    try:
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise errdefs.from_os_error(f"removing {path}", error) from error
    fault("snapshots.move.after-end")


def _refuse_half_moved(root: Path) -> None:
    move = move_under_way(root)
    if move is not None:
        raise errdefs.conflict(
            f"moving the data root {root} from the storage driver {move.source} to {move.target} "
            f"was interrupted: `wherry system migrate-storage {move.target} --data-root {root}` "
            f"finishes it"
        )


def _write_durably(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        write_new(new, text, durable=True)
        new.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        raise errdefs.from_os_error(f"writing {path}", error) from error


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


def is_in_use(driver: Path) -> bool:
    """Whether there is a layer or an active snapshot in a driver's directory."""
    for name in ("layers", "active"):
        with contextlib.suppress(OSError):
            if os.listdir(driver / name):
                return True
    return False
