"""`make diff`: have dockerd's BuildKit build every Dockerfile, and write down what it made."""

import json
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

import buildcases
import buildruns
import dockerd
from buildoutcomes import Outcome
from programs import Program


def record(docker: Program, socket: Path, wanted: Collection[str] = ()) -> dict[str, Outcome]:
    """What came of each case that dockerd can know, or of those that are `wanted`."""
    program = buildruns.with_buildkit(docker)
    recorded = {}
    for name, case in buildcases.cases().items():
        if case.unknown or (wanted and name not in wanted):
            continue
        print(name, file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="wherry-diff-") as folder:
            recorded[name] = buildruns.by_program(program, socket, case, Path(folder))
    return recorded


def main() -> None:
    with dockerd.running() as engine:
        socket = engine.folder / "d.sock"
        buildruns.load_images(socket)
        recorded = record(engine.docker, socket)
        document = {
            "dockerd": engine.version,
            "cases": {name: recorded[name].document() for name in sorted(recorded)},
        }
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True)
    buildcases.RECORDING.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
