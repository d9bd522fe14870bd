"""`make diff`: play every scenario on dockerd, and write down what it did.

    tests/support/record_dockerd.py [SCENARIO...]

With names, only those are played, and what is written of the others stays.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import archives
import differential
import dockerd

RECORDING = differential.GOLDEN / "differential.json"


def main() -> None:
    with dockerd.running() as engine, tempfile.TemporaryDirectory(prefix="wherry-diff-") as name:
        docker = replace(engine.docker, environment=differential.ENVIRONMENT)
        folder = Path(name)
        differential.fill(folder)
        docker.ok("load", stdin=archives.image("box:latest"))
        recorded = kept()
        for scenario, steps in differential.scenarios().items():
            if scenario in recorded:
                continue
            print(scenario, file=sys.stderr)
            outcomes = differential.play(docker, steps, folder)
            differential.tidy(docker, steps)
            recorded[scenario] = [outcome.document() for outcome in outcomes]
        document = {
            "dockerd": engine.version,
            "docker": docker.ok("version", "--format", "{{.Client.Version}}"),
            "scenarios": {name: recorded[name] for name in differential.scenarios()},
        }
    RECORDING.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def kept() -> dict[str, list[dict[str, object]]]:
    """What is not to be played again, by scenario."""
    anew = sys.argv[1:]
    if not anew:
        return {}
    before: dict[str, list[dict[str, object]]] = json.loads(RECORDING.read_text())["scenarios"]
    return {
        name: before[name]
        for name in differential.scenarios()
        if name not in anew and name in before
    }


if __name__ == "__main__":
    main()
