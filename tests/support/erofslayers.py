"""Layer files made of archives, and looked at: by our own reader, and through a mount."""

import contextlib
import io
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trees

from wherry.layers.erofs import Image, LayerInfo, LayerWriter, check
from wherry.linux.mounts import open_filesystem
from wherry.spec.digest import Digest


def write_layer(tar: bytes, path: Path, max_entries: int = 100_000) -> LayerInfo:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        writer = LayerWriter(fd, max_entries)
        writer.copy(io.BytesIO(tar))
        return writer.finish(Digest.of(tar))
    finally:
        os.close(fd)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def checked_picture(path: Path) -> dict[bytes, trees.Picture]:
    """What our reader sees in a layer file, in which nothing is wrong."""
    with opened(path) as fd:
        check(fd)
        return picture(fd)


def picture(fd: int) -> dict[bytes, trees.Picture]:
    image = Image(fd)
    found = dict(image.walk())
    names: dict[int, list[bytes]] = {}
    for name, inode in found.items():
        names.setdefault(inode.nid, []).append(name)
    pictures = {}
    for name, inode in found.items():
        content = b"" if inode.is_directory else image.read(inode)
        if stat.S_ISCHR(inode.mode) or stat.S_ISBLK(inode.mode):
            content = b"%d:%d" % inode.device
        same = sorted(names[inode.nid])
        if not inode.is_directory:
            assert len(same) == inode.nlink
        pictures[name] = trees.Picture(
            stat.filemode(inode.mode)[0],
            stat.S_IMODE(inode.mode),
            (inode.uid, inode.gid),
            inode.mtime_ns,
            content,
            {os.fsdecode(key): value for key, value in inode.xattrs.items()},
            tuple(same) if len(same) > 1 else (),
        )
    return pictures


@contextlib.contextmanager
def mounted(path: Path) -> Iterator[int]:
    """The root directory of a detached mount of the file."""
    try:
        mount = open_filesystem("erofs", str(path))
    except OSError as error:
        pytest.skip(f"the kernel mounts no EROFS image from a file here: {error}")
    try:
        root = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=mount)
    finally:
        os.close(mount)
    try:
        yield root
    finally:
        os.close(root)


def run_fsck(path: Path) -> None:
    """fsck.erofs finds nothing; skips where there is none that knows blocks of 512 bytes."""
    program = shutil.which("fsck.erofs", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        pytest.skip("needs fsck.erofs (erofs-utils)")
    said = subprocess.run([program, "-V"], capture_output=True, text=True).stdout
    version = said.splitlines()[0].split()[-1]
    if tuple(map(int, version.split(".")[:2])) < (1, 7):
        pytest.skip(f"fsck.erofs {version} knows no blocks of 512 bytes")
    done = subprocess.run([program, "--extract", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
