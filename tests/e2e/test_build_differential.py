"""Dockerfiles built by Wherry beside what dockerd's BuildKit made of them (`make diff` records it).

What is to differ stands with its reason in the case itself (tests/golden/dockerfiles/README.md), or
below where it is the same everywhere.
"""

import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import buildcases
import buildruns
import daemons
import pytest
from buildcases import Case
from buildoutcomes import Outcome, differences
from programs import find

pytestmark = [pytest.mark.root, pytest.mark.peer]

CASES = buildcases.cases()
RECORDING = json.loads(buildcases.RECORDING.read_text())
RECORDED: dict[str, Outcome] = {
    name: Outcome(**outcome) for name, outcome in RECORDING["cases"].items()
}


# --- What is to differ everywhere -----------------------------------------------------------------


def as_is_said_today(line: str) -> str:
    """A line of the history, without what BuildKits tell by other rules since 20.10.

    They tell --chown and --chmod, the value that an ARG got and not the one it is written with,
    and the path of WORKDIR without its dots and double slashes.
    """
    line = re.sub(r"^(\+ (?:COPY|ADD)) (?:--(?:chown|chmod)=\S+ )+", r"\1 ", line)
    line = re.sub(r"^- ARG .*", "- ARG", line)
    line = re.sub(r"^\+ RUN \|\d+ .*? (?=/bin/)", "+ RUN ", line)
    if match := re.match(r"^([+-] WORKDIR) (.*)", line):
        line = f"{match[1]} {posixpath.normpath(match[2])}"
    return line


def comparable(case: Case, outcome: Outcome) -> Outcome:
    config = dict(outcome.config)
    if "WorkingDir" in config:
        config["WorkingDir"] = posixpath.normpath(str(config["WorkingDir"]))
    return replace(
        outcome,
        config=config,
        history=[as_is_said_today(line) for line in outcome.history],
        files={path: line for path, line in outcome.files.items() if path not in case.stubs},
    )


# --- The comparison -------------------------------------------------------------------------------


def complaints(case: Case, seen: Outcome) -> list[str]:
    """What is not as it should be."""
    if case.error or seen.error:
        meant = "internal error" not in seen.error
        if meant and case.error and re.search(case.error, seen.error):
            return []
        return [f"refusal: wanted {case.error!r}, seen {seen.error!r} and {seen.document()}"]
    if case.expected is not None:
        return list(_unexpected(case.expected, seen))
    recorded = comparable(case, RECORDED[case.name])
    return list(differences(recorded, comparable(case, seen)))


def _unexpected(expected: dict[str, str], seen: Outcome) -> Iterator[str]:
    files = {key[1:]: line for key, line in expected.items() if key.startswith("/")}
    config = {key: json.loads(text) for key, text in expected.items() if not key.startswith("/")}
    wanted = Outcome(config=config, files=files)
    yield from differences(
        wanted, Outcome(config={key: seen.config.get(key) for key in config}, files=seen.files)
    )


@pytest.fixture(scope="module")
def socket() -> Iterator[Path]:
    with daemons.running() as daemon:
        buildruns.load_images(daemon.socket)
        yield daemon.socket


def test_the_recording_is_of_these_cases() -> None:
    """If not: `make diff`."""
    assert RECORDED.keys() == {name for name, case in CASES.items() if not case.unknown}
    assert len(RECORDED) >= 150


def test_every_case_says_what_is_wanted() -> None:
    for case in CASES.values():
        if case.differs or case.unknown:
            assert case.error or case.expected is not None, case.name
        else:
            assert case.expected is None, f"{case.name}: why is it not what dockerd does?"


def test_every_stub_is_one() -> None:
    for case in CASES.values():
        for path in case.stubs:
            assert RECORDED[case.name].files[path] == "dir 755 0:0", case.name


def test_every_difference_is_one() -> None:
    """And dockerd refuses what Wherry is to refuse, for the reasons that the cases tell."""
    for name, outcome in RECORDED.items():
        assert bool(complaints(CASES[name], outcome)) == bool(CASES[name].differs), name


@pytest.mark.parametrize("name", CASES)
def test_as_dockerd_builds(socket: Path, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    if case.needs_client:
        wherry = find("wherry", f"unix://{socket}")
        seen = buildruns.by_program(wherry, socket, case, tmp_path)
    else:
        seen = buildruns.by_request(socket, case)
    assert not complaints(case, seen)
