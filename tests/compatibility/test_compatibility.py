"""The table of what works and what does not is whole, and true."""

import ast
import functools
import re
import shlex
from collections.abc import Iterator

import compatpage
import daemons
import msgspec
import pytest
from compatpage import Row

from wherry.api.routes import Router
from wherry.build.checks.rules import RULES
from wherry.cli import program
from wherry.cli.create.flags import RUN_FLAGS
from wherry.cli.create.request import read_request
from wherry.cli.errors import CliError, UsageError
from wherry.cli.flags import Flag, parse
from wherry.engine.fields import refuse_unsupported
from wherry.engine.model import CreateRequest
from wherry.errdefs import EngineError

ROWS = compatpage.rows()
LISTS = compatpage.ROOT.parent / "shared/specs/lists"
TESTS = compatpage.ROOT / "tests"


def of(kind: str, section: str = "") -> list[Row]:
    return [row for row in ROWS if row.kind == kind and section in ("", row.section)]


# --- The page and the table -----------------------------------------------------------------------


def test_the_page_is_made_of_the_table() -> None:
    """If not: `make docs`."""
    assert compatpage.PAGE.read_text() == compatpage.page(compatpage.head())


@functools.cache
def functions_of(file: str) -> frozenset[str]:
    path = TESTS / file
    if not path.is_file():
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse(path.read_text()).body
    return frozenset(node.name for node in body if isinstance(node, functions))


def test_every_test_that_is_named_is_there() -> None:
    named = {row.test for row in ROWS if row.verdict == "works"}
    missing = {
        test
        for test in named
        if test.partition("::")[2] not in functions_of(test.partition("::")[0])
    }
    assert not missing


@pytest.mark.skipif(not LISTS.exists(), reason="needs Docker's lists of names in ../shared")
def test_no_name_of_docker_is_missing() -> None:
    endpoints = {
        f"{method} {path}"
        for method, path in re.findall(
            r"^(GET|HEAD|POST|PUT|DELETE|OPTIONS) +(/[^\s,]+)",
            (LISTS / "api-endpoints.txt").read_text(),
            re.MULTILINE,
        )
        # They are its own insides, for who debugs it.
        if not path.startswith("/debug/")
    }
    assert {row.name for row in of("endpoints")} == endpoints
    assert {row.name for row in of("commands")} == commands_listed()
    run = re.findall(r"(?m)^(?:-\w, )?(--[\w-]+)", (LISTS / "run-flags.txt").read_text())
    assert {row.name for row in of("flags", "run")} == set(run)
    text = (LISTS / "cli-commands.txt").read_text()
    everywhere, build = (
        set(re.findall(r"--[\w-]+", text.partition(f"## {title}\n")[2].partition("\n\n")[0]))
        for title in ("global flags", "docker buildx build flags")
    )
    assert {row.name for row in of("flags", "docker")} == everywhere
    assert {row.name for row in of("flags", "build")} == build
    checks = re.findall(r"(?m)^([A-Z]\w+)", (LISTS / "build-checks.txt").read_text())
    assert {row.name for row in of("checks")} == set(checks)


def commands_listed() -> set[str]:
    names: set[str] = set()
    group: str | None = None
    for line in (LISTS / "cli-commands.txt").read_text().splitlines():
        if match := re.match(r"## (?:top-level|docker( \w+)$)", line):
            group = (match[1] or "").strip()
        elif line.startswith("## "):
            group = None
        elif group is not None and "\t" in line:
            names.add(f"{group} {line.split()[0]}".strip())
        elif match := re.match(r"docker ([\w -]*[\w-])", line):
            names.add(match[1])
    return names


# --- Endpoints ------------------------------------------------------------------------------------


# The handlers of what there is not (wherry.api.routes.absent and plugins).
REFUSING = ("refuse", "no_swarm", "not_found")


def test_endpoints_in_the_routes() -> None:
    router = Router()
    wrong = []
    for row in of("endpoints"):
        method, path = row.name.split(" ")
        found = router.find(method, filled(path))
        if found is None or (row.verdict == "works" and found[0].__name__ in REFUSING):
            wrong.append(row.name)
    assert not wrong


def filled(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "NAME", path)


@pytest.fixture(scope="module")
def daemon() -> Iterator[daemons.Daemon]:
    with daemons.running() as running:
        yield running


# An end for what would tell all that comes, and the half of POST /images/create that works.
QUERY = "until=1&fromSrc=-"


@pytest.mark.root
def test_endpoints_on_a_daemon(daemon: daemons.Daemon) -> None:
    wrong = []
    for row in of("endpoints"):
        method, path = row.name.split(" ")
        answer = daemon.request(method, f"{filled(path)}?{QUERY}")
        told = answer.message if answer.status >= 400 and method != "HEAD" else ""
        if row.verdict == "works":
            right = answer.status != 501 and told != "page not found"
        elif method == "HEAD":
            right = answer.status in (404, 501, 503)
        else:
            right = answer.status in (404, 501, 503) and row.words in told
        if not right:
            wrong.append((row.name, answer.status, told))
    assert not wrong


# --- Commands -------------------------------------------------------------------------------------


def test_commands() -> None:
    wrong = []
    for row in of("commands"):
        words = row.name.split(" ")
        try:
            _, target, rest = program.resolve(words)
        except CliError as error:
            named = (
                f"'wherry {row.name}'" in error.message or f"'wherry {words[0]}" in error.message
            )
            right = row.verdict != "works" and named and row.words in error.message
            right |= row.verdict == "works" and row.name in program.GROUPS
        else:
            right = row.verdict == "works" and not rest
            program.find_command(target)
        if not right:
            wrong.append(row.name)
    assert not wrong


# --- Options --------------------------------------------------------------------------------------

FLAGS: dict[str, tuple[Flag, ...]] = {
    "docker": program.GLOBAL_FLAGS,
    "run": RUN_FLAGS,
    "build": tuple(program.find_command("build").flags),
}
# What an option is given that takes not just any word.
VALUES = {
    "--add-host": "a:1.2.3.4",
    "--attach": "stdin",
    "--blkio-weight-device": "/dev/a:100",
    "--build-context": "a=b",
    "--call": "check",
    "--device-cgroup-rule": "c 1:3 rwm",
    "--link": "a:b",
    "--mount": "type=bind,source=/a,target=/b",
    "--output": "-",
    "--progress": "plain",
    "--provenance": "false",
    "--publish": "80:80",
    "--restart": "always",
    "--security-opt": "no-new-privileges",
    "--sbom": "false",
    "--storage-opt": "size=1g",
    "--ulimit": "core=0",
    **dict.fromkeys(("--label", "--log-opt", "--sysctl", "--annotation"), "a=b"),
    **dict.fromkeys(("--device-read-bps", "--device-read-iops"), "/dev/a:1"),
    **dict.fromkeys(("--device-write-bps", "--device-write-iops"), "/dev/a:1"),
    **dict.fromkeys(("--health-interval", "--health-timeout", "--health-start-period"), "5s"),
    "--health-start-interval": "5s",
}


def given(row: Row) -> list[str]:
    """A command line with the option."""
    flag = next((flag for flag in FLAGS[row.section] if f"--{flag.name}" == row.name), None)
    if flag is None or not flag.metavar:
        return [row.name]
    return [f"{row.name}={VALUES.get(row.name, '1')}"]


def test_flags_that_work_are_taken() -> None:
    wrong = []
    for row in of("flags"):
        known = {f"--{flag.name}": flag for flag in FLAGS[row.section]}
        if row.verdict == "works":
            parse(FLAGS[row.section], given(row))
            if row.name != "--help" and known[row.name].later:
                wrong.append(row.name)
    assert not wrong


def test_flags_that_do_not_are_refused_by_name() -> None:
    wrong = []
    for row in of("flags"):
        if row.verdict == "works":
            continue
        told = refusal(row)
        if row.words not in told:
            wrong.append((row.name, told))
    assert not wrong


def refusal(row: Row) -> str:
    """What is said when the option is given: by the command line, or by the engine it asks."""
    line = given(row)
    if row.name.startswith("--health-"):
        # They say how, and only one of them what.
        line.append("--health-cmd=true")
    if row.section == "run" and row.name in ("--network-alias", "--net-alias", "--ip", "--ip6"):
        line += ["--network", "none"]
    try:
        parsed = parse(FLAGS[row.section], [*line, "image"])
    except (CliError, UsageError) as error:
        return error.message if row.name in error.message else f"no name: {error.message}"
    request = read_request(parsed, detached=True)
    try:
        refuse_unsupported(msgspec.convert(request.body, CreateRequest, strict=False))
    except EngineError as error:
        return error.message
    return f"nothing, of {shlex.join(line)}"


# --- Checks ---------------------------------------------------------------------------------------


def test_checks() -> None:
    assert {row.name for row in of("checks") if row.verdict == "works"} == {
        rule.name for rule in RULES
    }
