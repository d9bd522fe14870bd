"""The header scan of our tar reader beside Python's tarfile: microseconds an entry, and the ratio.

Both scan the same archives in memory, by turns in one run, so that a busy machine slows both. The
least of several rounds counts.
"""

import gc
import io
import tarfile
import time
from collections.abc import Callable

from wherry.layers.tar import TarReader

ENTRIES = 10_000
ROUNDS = 7


def archive(form: int, *, fractions: bool) -> bytes:
    """Like a distribution's layer: small files, some links and directories, paths of 60 bytes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for number in range(ENTRIES):
            path = f"usr/lib/python3/dist-packages/package{number // 40}/module_{number}.py"
            info = tarfile.TarInfo(path)
            info.mtime = 1_700_000_000 + number
            if number % 40 == 0:
                info.type = tarfile.DIRTYPE
            elif number % 25 == 1:
                info.type, info.linkname = tarfile.SYMTYPE, "../elsewhere"
            else:
                info.size = number * 37 % 6000
            if fractions:
                info.pax_headers = {"mtime": f"{info.mtime}.123456789"}
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return stream.getvalue()


def ours(data: bytes) -> int:
    return sum(1 for _ in TarReader(io.BytesIO(data)))


def theirs(data: bytes) -> int:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as tar:
        return sum(1 for _ in tar)


def microseconds(scan: Callable[[bytes], int], data: bytes) -> float:
    gc.collect()
    start = time.perf_counter()
    count = scan(data)
    elapsed = time.perf_counter() - start
    assert count == ENTRIES
    return elapsed / count * 1e6


def main() -> None:
    for label, form, fractions in [
        ("GNU", tarfile.GNU_FORMAT, False),
        ("PAX, each with a time", tarfile.PAX_FORMAT, True),
    ]:
        data = archive(form, fractions=fractions)
        rounds = [(microseconds(ours, data), microseconds(theirs, data)) for _ in range(ROUNDS)]
        mine, peer = (min(column) for column in zip(*rounds, strict=True))
        print(
            f"tar header scan, {label}: {mine:.1f} us an entry,"
            f" tarfile {peer:.1f} us, {peer / mine:.1f} times faster"
        )


if __name__ == "__main__":
    main()
