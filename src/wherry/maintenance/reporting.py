"""What people and programs are told of a check and of progress."""

import json
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from wherry.maintenance.findings import Findings, Outcome, Problem

_PATIENCE: Final = 1.0  # seconds before anything is said
_PAUSE: Final = 0.1


class ProgressLine:
    """One line on standard error, where that is a terminal and it takes longer than a second."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._next = time.monotonic() + _PATIENCE
        self._shown = False
        self._lock = threading.Lock()
        self._terminal = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        if not self._terminal or time.monotonic() < self._next:
            return
        with self._lock:
            self._next = time.monotonic() + _PAUSE
            self._shown = True
            share = 100 * done // max(total, 1)
            sizes = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB"
            sys.stderr.write(f"\r{self._verb}: {share}% ({sizes})\033[K")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def as_text(root: Path, driver: str, findings: Findings) -> str:
    lines = []
    for problem in findings.problems:
        lines.append(f"{problem.subject} {problem.object}: {problem.what}")
        lines.append(f"    {_way_out(problem)}")
    for image in findings.removed:
        names = ", ".join(image.names) or "it had no name"
        lines.append(f"removed image {image.id}: {names} (load or pull it again)")
    counts = findings.checked
    kept = f" (storage driver {driver})" if driver else ""
    lines.append(
        f"{root}{kept}: {counts['blobs']} blobs, {counts['layers']} layers, {counts['images']} "
        f"images, {counts['containers']} containers; {_verdict(findings)}"
    )
    return "\n".join(lines) + "\n"


def _way_out(problem: Problem) -> str:
    if problem.outcome is Outcome.NOTHING:
        return problem.remedy
    return f"{problem.outcome.value}"


def _verdict(findings: Findings) -> str:
    count = len(findings.problems)
    if not count:
        return "all is well"
    problems = f"{count} problem" + "s" * (count > 1)
    mended = sum(problem.outcome is not Outcome.NOTHING for problem in findings.problems)
    return f"{problems}, {mended} dealt with" if mended else problems


def as_json(root: Path, driver: str, findings: Findings) -> str:
    document = {
        "dataRoot": str(root),
        "driver": driver,
        "checked": findings.checked,
        "ok": findings.nothing_is_lost,
        "problems": [
            {
                "subject": problem.subject,
                "object": problem.object,
                "what": problem.what,
                "remedy": problem.remedy,
                "outcome": problem.outcome.value,
            }
            for problem in findings.problems
        ],
        "removedImages": [
            {"id": image.id, "names": list(image.names)} for image in findings.removed
        ],
    }
    return json.dumps(document, indent=2) + "\n"
