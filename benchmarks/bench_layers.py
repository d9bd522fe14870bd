"""A layer's tar made into a layer file, beside unpacking it: our extractor's way and `tar -x`.

All have the same archive, from memory, hashed on its way, by turns in one run, so that a busy
machine slows all. The least of several rounds counts. Needs root, and GNU tar.
"""

import argparse
import hashlib
import io
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from wherry.layers.compression import HashingReader
from wherry.layers.erofs import LayerWriter
from wherry.snapshots.extractor.feed import extract
from wherry.spec.digest import Digest

ROUNDS = 5

Way = Callable[[bytes, Path], None]


def archive(entries: int, size: int) -> bytes:
    """Like a distribution's layer: files of `size` bytes on average, some links and directories."""
    chance = random.Random(entries)
    noise = chance.randbytes(2 * size)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for number in range(entries):
            path = f"usr/lib/python3/dist-packages/package{number // 40}/module_{number}.py"
            info = tarfile.TarInfo(path)
            info.mtime = 1_700_000_000 + number
            if number % 40 == 0:
                info.name, info.type, info.mode = path.rpartition("/")[0], tarfile.DIRTYPE, 0o755
            elif number % 25 == 1:
                info.type, info.linkname = tarfile.SYMTYPE, "../elsewhere"
            else:
                info.size = chance.randrange(2 * size)
            tar.addfile(info, io.BytesIO(noise))
    return stream.getvalue()


def layer_file(tar: bytes, target: Path) -> None:
    fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        stream = HashingReader(io.BytesIO(tar))
        writer = LayerWriter(fd)
        writer.copy(stream)
        writer.finish(stream.digest)
    finally:
        os.close(fd)


def extractor(tar: bytes, target: Path) -> None:
    target.mkdir()
    extract(io.BytesIO(tar), Digest.of(tar), target, whiteouts="devices", max_entries=1 << 22)


def gnu_tar(tar: bytes, target: Path) -> None:
    target.mkdir()
    hashlib.sha256(tar).hexdigest()
    subprocess.run(["tar", "-xpC", target], input=tar, check=True)


def plain_copy(tar: bytes, target: Path) -> None:
    """What no way can be faster than: the bytes hashed and written."""
    stream = HashingReader(io.BytesIO(tar))
    with target.open("wb", buffering=0) as out:
        while chunk := stream.read(1 << 18):
            out.write(chunk)


def remove(target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()


def seconds(way: Way, tar: bytes, target: Path) -> tuple[float, float]:
    """How long it took, and how long its removal."""
    os.sync()
    start = time.perf_counter()
    way(tar, target)
    made = time.perf_counter()
    remove(target)
    return made - start, time.perf_counter() - made


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--entries", type=int, default=20_000)
    options.add_argument("--size", type=int, default=3_000, help="of a file, on average")
    options.add_argument("--work", type=Path, help="a folder on the file system to measure on")
    given = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench_layers.py: the extractor needs root")
    tar = archive(given.entries, given.size)
    ways = [layer_file, extractor, gnu_tar, plain_copy]
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir=given.work) as folder:
        rounds = [[seconds(way, tar, Path(folder, "layer")) for way in ways] for _ in range(ROUNDS)]
    print(f"{given.entries} entries, {len(tar) / 1e6:.0f} MB")
    best = [
        [min(sample) for sample in zip(*column, strict=True)]
        for column in zip(*rounds, strict=True)
    ]
    for way, (made, removed) in zip(ways, best, strict=True):
        each = made / given.entries * 1e6
        print(
            f"{way.__name__.replace('_', ' '):12} {made:6.2f} s, {each:6.1f} us an entry,"
            f" {made / best[0][0]:5.1f} times; removed in {removed:.3f} s"
        )


if __name__ == "__main__":
    main()
