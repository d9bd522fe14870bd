"""What is small and grows large is stopped before it has filled the disk, and leaves nothing."""

import gzip
import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from daemons import poll

from wherry.content.disk import Reserve
from wherry.content.store import ContentStore
from wherry.errdefs import EngineError, Kind
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.metadata import Database
from wherry.snapshots.drivers import choose

MB = 1 << 20


class Zeros(io.RawIOBase):
    """A file of zeros that takes no memory."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        given = min(size, self.left)
        self.left -= given
        return bytes(given)


def layer_of_zeros(size: int) -> bytes:
    """A layer with a file of `size` zeros, compressed to a thousandth."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        bomb = tarfile.TarInfo("bomb")
        bomb.size = size
        tar.addfile(bomb, Zeros(size))
    return packed.getvalue()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.root
@pytest.mark.parametrize("what", ["the layer", "the archive's member"])
def test_a_bomb_stops_before_the_disk_is_full(small_disk: Path, archives, what: str) -> None:
    content = ContentStore(small_disk / "content")
    with Database.open(small_disk / "wherry.db") as database:
        snapshots = choose(small_disk, "native", opener(content, database))
        images = ImageStore(content, snapshots, database)
        bomb = layer_of_zeros(400 * MB)
        assert len(bomb) < 4 * MB
        if what == "the layer":
            image = archives.image(bomb)
            archive = archives.tar(archives.docker24(image))
        else:
            archive = bomb  # an archive whose own compression hides the bomb
        before = os.statvfs(small_disk)
        with pytest.raises(EngineError, match="kept free") as caught:
            images.load(io.BytesIO(archive))
        assert caught.value.kind is Kind.RESOURCE_EXHAUSTED
        assert str(small_disk) in caught.value.message
        assert snapshots.wait_until_clean(10)
        # A file system may take a moment to count what was deleted.
        poll(
            lambda: (before.f_bfree - os.statvfs(small_disk).f_bfree) * before.f_frsize < MB,
            "the space is free again",
        )
        assert content.digests() == []
        assert snapshots.layers() == []
        assert list((small_disk / "content" / "ingest").iterdir()) == []


def disk(free: int, size: int, inodes: int = 10**6) -> SimpleNamespace:
    return SimpleNamespace(
        f_bavail=free // 4096, f_blocks=size // 4096, f_frsize=4096,
        f_files=10**6, f_favail=inodes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("now", "refused"),
    [
        (disk(free=300 * MB, size=10**12), ""),
        (disk(free=200 * MB, size=10**12), "has only 200 MB left .* and 256 MB are kept free"),
        (disk(free=60 * MB, size=1000 * MB), ""),
        (disk(free=40 * MB, size=1000 * MB), "has only 40 MB left of 1000 MB, and 50 MB are kept"),
        (disk(free=10**12, size=10**13, inodes=9_999), "can take only 9999 more files"),
    ],
)
def test_what_is_kept_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: SimpleNamespace, refused: str
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: now)
    reserve = Reserve(tmp_path)
    reserve.spend(1000)  # little is not worth a look
    if not refused:
        reserve.spend(MB)
        return
    with pytest.raises(EngineError, match=refused) as caught:
        reserve.spend(MB)
    assert caught.value.kind is Kind.RESOURCE_EXHAUSTED
