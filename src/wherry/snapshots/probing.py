"""Whether this kernel and this file system can do what a driver needs, found out by trying.

Each probe mounts something tiny, detached, so that it is in no mount table.
"""

import contextlib
import io
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from wherry import errdefs
from wherry.content.disk import make_directory
from wherry.layers.erofs import LayerWriter
from wherry.layers.tar import DIRECTORY, Entry, TarWriter
from wherry.linux.mounts import ImagesRoot, OverlayRoot, RootMount
from wherry.spec.digest import Digest

# Before it, mounting an image with blocks below a page's size from a file could stop the machine
# (CVE-2024-56750). So this is looked up, not tried.
_SAFE_FROM_FILES: Final = (6, 12, 2)


def why_no_overlay(directory: Path) -> str | None:
    """Why overlayfs cannot work on the file system of `directory`; None if it can."""
    return _why_not(directory, _try_overlay)


def why_no_images(directory: Path, by_loop: bool) -> str | None:
    """Why EROFS images in `directory` can't be the layers of an overlay; None if they can.

    They are mounted from their files, or `by_loop` devices.
    """
    if not by_loop and kernel_version() < _SAFE_FROM_FILES:
        needed = ".".join(map(str, _SAFE_FROM_FILES))
        return f"Linux {os.uname().release} is older than {needed}"
    return _why_not(directory, lambda scratch: _try_images(scratch, by_loop))


def kernel_version() -> tuple[int, int, int]:
    """Of the running kernel; what its release does not say is 0."""
    numbers = [0, 0, 0]
    for place, part in enumerate(os.uname().release.split("-")[0].split(".")[:3]):
        with contextlib.suppress(ValueError):
            numbers[place] = int(part)
    return numbers[0], numbers[1], numbers[2]


def _why_not(directory: Path, attempt: Callable[[Path], str | None]) -> str | None:
    try:
        make_directory(directory)
        with tempfile.TemporaryDirectory(prefix="probe-", dir=directory) as scratch:
            return attempt(Path(scratch))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return f"{(error.strerror or str(error)).lower()}{where}"
    except errdefs.EngineError as error:
        return error.message


def _try_overlay(scratch: Path) -> str | None:
    for name in ("lower/dir", "upper", "work"):
        (scratch / name).mkdir(parents=True)
    (scratch / "lower/file").touch()
    lower = str(scratch / "lower")
    return _try_root(OverlayRoot((lower,), str(scratch / "upper"), str(scratch / "work")), scratch)


def _try_images(scratch: Path, by_loop: bool) -> str | None:
    for name in ("upper", "work"):
        (scratch / name).mkdir()
    tar = io.BytesIO()
    writer = TarWriter(tar)
    writer.add(Entry(b"dir", DIRECTORY, mode=0o755))
    writer.add(Entry(b"file"))
    writer.finish()
    fd = os.open(scratch / "image", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        layer = LayerWriter(fd)
        layer.copy(io.BytesIO(tar.getvalue()))
        layer.finish(Digest.of(tar.getvalue()))
    finally:
        os.close(fd)
    upper, work = str(scratch / "upper"), str(scratch / "work")
    return _try_root(ImagesRoot(str(scratch), ("image",), upper, work, by_loop), scratch)


def _try_root(root: RootMount, scratch: Path) -> str | None:
    """Remove a file through it and replace a directory: are the signs of that in `upper`?"""
    mount = root.open()
    try:
        os.unlink("file", dir_fd=mount)
        os.rmdir("dir", dir_fd=mount)
        os.mkdir("dir", dir_fd=mount)
    finally:
        os.close(mount)
    if not stat.S_ISCHR((scratch / "upper/file").lstat().st_mode):
        return "a removed file leaves no whiteout device"
    if os.getxattr(scratch / "upper/dir", "trusted.overlay.opaque") != b"y":
        return "a replaced directory is not marked opaque"
    return None
