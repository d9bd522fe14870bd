"""A hundred megabytes that 20 containers of one image map: what they take, and how they are read.

    benchmarks/bench_shared_memory.py             # two tables
    benchmarks/bench_shared_memory.py --markdown  # for a document

The first is of engines: 20 containers run a program of 100 MB, which touches all of itself and
waits. Their shares of it (Pss, proc(5)) add up to what it takes where it is mapped; the growth of
the machine's page cache is that and whatever else was cached on the way. The least of three rounds
counts, as others use the machine.

The second is of mounts, without an engine: the same file in a layer, read from its beginning to its
end when none of it is cached, and then how much of it is, and of the layer file below it.

Needs root, Linux 6.5 for the second table, and x86-64, which the program is of.
"""

import argparse
import contextlib
import ctypes
import io
import os
import platform
import random
import struct
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engines import Engine, dockerd, wherryd
from run import add, print_row, write_archive

from wherry.layers.compression import HashingReader
from wherry.layers.erofs import LayerWriter
from wherry.linux import loop, mounts, syscalls

MB = 1 << 20
SIZE = 100 * MB
IMAGE = "bench/library:latest"
CONTAINERS = 20
ROUNDS = 3
PATIENCE = 60.0

_BASE = 0x400000
_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_CACHESTAT = 451


def program(size: int) -> bytes:
    """An ELF program of `size` bytes, mapped as a library is: it reads a byte of each page, and
    waits for a signal."""
    code = b"".join(
        (
            b"\xbf" + struct.pack("<I", _BASE),  # mov edi, begin
            b"\x8a\x07",  # next: mov al, [rdi]
            b"\x81\xc7" + struct.pack("<I", 4096),  # add edi, 4096
            b"\x81\xff" + struct.pack("<I", _BASE + size),  # cmp edi, end
            b"\x72\xf0",  # jb next
            b"\xb8" + struct.pack("<I", 34) + b"\x0f\x05",  # wait: pause()
            b"\xeb\xf7",  # jmp wait
        )
    )
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    start = _ELF.size + _SEGMENT.size
    header = _ELF.pack(
        ident, 2, 62, 1, _BASE + start, _ELF.size, 0, 0, _ELF.size, _SEGMENT.size, 1, 0, 0, 0
    )
    segment = _SEGMENT.pack(1, 5, 0, _BASE, _BASE, size, size, 4096)
    head = header + segment + code
    return head + random.Random(size).randbytes(size - len(head))


def layer() -> bytes:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        add(archive, "big", program(SIZE), mode=0o755)
        add(archive, "small", program(8192), mode=0o755)
    return tar.getvalue()


# --- engines ------------------------------------------------------------------------------------


def cached() -> float:
    """The machine's page cache, in MB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Cached:"))) / 1024


def forget() -> None:
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("1")


def mapping(pid: int) -> tuple[float, float]:
    """(Rss, Pss) of the program where the process has it mapped, in MB."""
    sizes = {"Rss:": 0, "Pss:": 0}
    ours = False
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            word, *rest = line.split()
            if not word.endswith(":"):
                ours = bool(rest) and rest[-1].endswith("/big")
            elif ours and word in sizes:
                sizes[word] += int(rest[0])
    return sizes["Rss:"] / 1024, sizes["Pss:"] / 1024


def one_round(engine: Engine) -> tuple[float, float, float]:
    """(sum of Rss, sum of Pss, growth of the page cache), in MB."""
    commands = ["/small", *["/big"] * CONTAINERS]
    small, *containers = [create(engine, command) for command in commands]
    try:
        forget()
        # The engine's own programs come back to the cache with a first container.
        engine.client.start(small)
        before = cached()
        for container in containers:
            engine.client.start(container)
        pids = [engine.client.inspect(one)["State"]["Pid"] for one in containers]
        deadline = time.monotonic() + PATIENCE
        while min(mapping(pid)[0] for pid in pids) < SIZE / MB:
            if time.monotonic() > deadline:
                sys.exit(f"{engine.name}: the containers do not come to have the program mapped")
            time.sleep(0.05)
        sizes = [mapping(pid) for pid in pids]
        return sum(rss for rss, _ in sizes), sum(pss for _, pss in sizes), cached() - before
    finally:
        for container in (small, *containers):
            engine.client.remove(container, force=True)


def create(engine: Engine, command: str) -> str:
    settings = {"Image": IMAGE, "Cmd": [command], "HostConfig": {"NetworkMode": "none"}}
    return engine.client.create_container(settings)["Id"]


def table_of_engines(work: Path, tar: bytes, markdown: bool) -> None:
    archive = work / "library.tar"
    write_archive(archive, IMAGE, [tar])
    print_row(["of 20 containers, MB", "mapped", "their shares", "page cache"], markdown)
    if markdown:
        print_row(["---", "---:", "---:", "---:"], markdown)
    kinds: list[Callable[[], contextlib.AbstractContextManager[Engine | None]]] = [
        lambda: wherryd(work),
        lambda: wherryd(work, "--storage-driver=overlay"),
        lambda: dockerd(work),
    ]
    for start in kinds:
        with start() as engine:
            if engine is None:
                continue
            engine.load(archive)
            rounds = [one_round(engine) for _ in range(ROUNDS)]
            name = f"{engine.name} {engine.version}, {engine.client.info()['Driver']}"
        least = [min(column) for column in zip(*rounds, strict=True)]
        print_row([name, *(f"{size:.0f}" for size in least)], markdown)


# --- mounts -------------------------------------------------------------------------------------


def pages_cached(fd: int) -> float:
    """How much of the file is in the page cache (cachestat(2)), in MB."""
    extent, found = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
    if ctypes.CDLL(None, use_errno=True).syscall(_CACHESTAT, fd, extent, found, 0):
        raise OSError(ctypes.get_errno(), "cachestat")
    return int(found[0]) * os.sysconf("SC_PAGE_SIZE") / MB


@contextlib.contextmanager
def mounted(layer_file: Path, how: str) -> Iterator[int]:
    """The root directory of the layer's mount: from the file, so with `directio`, or by loop."""
    file = source = os.open(layer_file, os.O_RDONLY)
    try:
        if how == "loop":
            source = loop.attach(file)
        options = ["ro", f"source=/proc/self/fd/{source}"]
        options += ["directio"] if how == "directio" else []
        root = mounts.open_filesystem("erofs", "", options, syscalls.MOUNT_ATTR_RDONLY)
    finally:
        if source != file:
            os.close(source)
        os.close(file)
    try:
        yield root
    finally:
        os.close(root)


def cold_read(layer_file: Path, how: str) -> tuple[float, float, float]:
    """(MB a second, MB of the file cached after it, MB of the layer file)."""
    below = os.open(layer_file, os.O_RDONLY)
    try:
        os.fsync(below)
        os.posix_fadvise(below, 0, 0, os.POSIX_FADV_DONTNEED)
        if how == "plain file":
            size, seconds = read(below)
            return size / seconds / MB, 0, pages_cached(below)
        with mounted(layer_file, how) as root:
            fd = os.open("big", os.O_RDONLY, dir_fd=root)
            try:
                size, seconds = read(fd)
                return size / seconds / MB, pages_cached(fd), pages_cached(below)
            finally:
                os.close(fd)
    finally:
        os.close(below)


def read(fd: int) -> tuple[int, float]:
    began, size = time.perf_counter(), 0
    while piece := os.read(fd, MB):
        size += len(piece)
    return size, time.perf_counter() - began


def table_of_mounts(work: Path, tar: bytes, markdown: bool) -> None:
    layer_file = work / "layer.erofs"
    fd = os.open(layer_file, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        stream = HashingReader(io.BytesIO(tar))
        writer = LayerWriter(fd)
        writer.copy(stream)
        writer.finish(stream.digest)
    finally:
        os.close(fd)
    titles = ["read once, all of it, cold", "MB/s", "MB of it cached", "MB of the layer file"]
    print_row(titles, markdown)
    if markdown:
        print_row(["---", "---:", "---:", "---:"], markdown)
    ways = ["plain file", "file", "directio", "loop"]
    rounds: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
    for _ in range(2 * ROUNDS):
        for way in ways:
            rounds[way].append(cold_read(layer_file, way))
    for way in ways:
        speed = max(one[0] for one in rounds[way])
        above, below = (min(one[place] for one in rounds[way]) for place in (1, 2))
        print_row([way, f"{speed:.0f}", f"{above:.0f}", f"{below:.0f}"], markdown)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--markdown", action="store_true", help="print tables for a document")
    options.add_argument("--work", type=Path, help="where the engines' folders go")
    given = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench_shared_memory.py: starting engines needs root")
    if platform.machine() != "x86_64":
        sys.exit("bench_shared_memory.py: the program that containers run is of x86-64")
    tar = layer()
    with tempfile.TemporaryDirectory(prefix="wherry-bench-", dir=given.work) as folder:
        table_of_mounts(Path(folder), tar, given.markdown)
        print()
        table_of_engines(Path(folder), tar, given.markdown)


if __name__ == "__main__":
    main()
