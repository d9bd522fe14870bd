"""What it costs to load an image of many files, to save it, and to remove it.

    benchmarks/bench_archives.py                                     # a table
    benchmarks/bench_archives.py --svg docs/images/archives.svg      # and the picture of it

300 MB in 20,000 files, through the stock `docker` CLI, in wherryd and in dockerd by turns; the
disk is synced before each. Needs root.
"""

import subprocess
from pathlib import Path

from engines import Engine
from run import BIG, big_archive
from side_by_side import run, seconds_of


def main() -> None:
    def prepare(work: Path) -> Path:
        archive = big_archive(work)
        subprocess.run(["cat", str(archive)], stdout=subprocess.DEVNULL, check=True)
        return archive

    run(__doc__, "an image of 300 MB in 20,000 files", prepare, one_round)


def one_round(engine: Engine, archive: Path) -> dict[str, float]:
    saved = engine.work / "saved.tar"
    took = {
        "docker load": seconds_of(engine, "load", "-q", "-i", str(archive)),
        "docker save": seconds_of(engine, "save", "-o", str(saved), BIG),
    }
    saved.unlink()
    took["docker rmi"] = seconds_of(engine, "rmi", BIG)
    return took


if __name__ == "__main__":
    main()
