"""`make diff`: play every scenario on dockerd, and write down what it did."""

import json
import sys
import tempfile
from pathlib import Path

import archives
import differential
import dockerd


def main() -> None:
    with dockerd.running() as engine, tempfile.TemporaryDirectory(prefix="wherry-diff-") as name:
        docker, folder = engine.docker, Path(name)
        differential.fill(folder)
        docker.ok("load", stdin=archives.image("box:latest"))
        recorded = {}
        for scenario, steps in differential.scenarios().items():
            print(scenario, file=sys.stderr)
            outcomes = differential.play(docker, steps, folder)
            differential.tidy(docker)
            recorded[scenario] = [outcome.document() for outcome in outcomes]
        document = {
            "dockerd": engine.version,
            "docker": docker.ok("version", "--format", "{{.Client.Version}}"),
            "scenarios": recorded,
        }
    (differential.GOLDEN / "differential.json").write_text(
        json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    main()
