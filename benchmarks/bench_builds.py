"""What builds cost: from nothing, from the cache, after a late change, and a COPY of many files.

    benchmarks/bench_builds.py                                       # a table
    benchmarks/bench_builds.py --svg docs/images/builds.svg          # and the picture of it

Two stages of twelve steps in all over 2,000 files, and 20,000 files into one layer, through the
stock `docker` CLI (`build -q`, its classic builder), in wherryd and in dockerd by turns. Needs
root.
"""

from dataclasses import dataclass
from pathlib import Path

from engines import Engine
from run import IMAGE, busybox_archive
from side_by_side import run, seconds_of

STEPS = f"""FROM {IMAGE} AS build
ENV A=1 B=two
WORKDIR /src
COPY files/ /src/
RUN ls -R /src > /list
RUN find /src -type f | sort | xargs cat | md5sum > /sum
RUN mkdir /out && cp -r /src/d0 /src/d1 /list /sum /out/
FROM {IMAGE}
COPY --from=build /out /app
RUN cat /app/sum > /checked
COPY late/ /app/late/
RUN cat /app/late/* | wc -l > /lines
"""
COPY = f"FROM {IMAGE}\nCOPY files /x\n"


@dataclass
class Contexts:
    """The folders that are built, and the archive of their base."""

    base: Path
    steps: Path
    copy: Path
    changes: int = 0


def main() -> None:
    run(__doc__, "builds: twelve steps, and a COPY of 20,000 files", prepare, one_round)


def prepare(work: Path) -> Contexts:
    contexts = Contexts(busybox_archive(work), work / "steps", work / "copy")
    write(contexts.steps / "files", 2000, 2000)
    write(contexts.steps / "late", 20, 500)
    (contexts.steps / "Dockerfile").write_text(STEPS)
    write(contexts.copy / "files", 20_000, 1000)
    (contexts.copy / "Dockerfile").write_text(COPY)
    return contexts


def write(folder: Path, files: int, size: int) -> None:
    """Files of different text, fifty to a folder; some right in it."""
    for number in range(files):
        inside = folder / f"d{number // 50}" if number >= 10 else folder
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"f{number}.txt").write_text(f"{number:09} " * (size // 10))


def one_round(engine: Engine, contexts: Contexts) -> dict[str, float]:
    engine.cli("load", "-q", "-i", str(contexts.base))
    build = ("build", "-q", "-t", "built:1")
    took = {
        "from nothing": seconds_of(engine, *build, "--no-cache", str(contexts.steps)),
        "all cached": seconds_of(engine, *build, str(contexts.steps)),
    }
    contexts.changes += 1
    (contexts.steps / "late" / "f7.txt").write_text(f"changed {contexts.changes}\n")
    took["a late change"] = seconds_of(engine, *build, str(contexts.steps))
    took["COPY, 20,000 files"] = seconds_of(engine, *build, "--no-cache", str(contexts.copy))
    engine.cli("rmi", "-f", "built:1")
    return took


if __name__ == "__main__":
    main()
