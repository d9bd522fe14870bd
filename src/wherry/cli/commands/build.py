"""`wherry build`: an image out of a Dockerfile."""

from __future__ import annotations

from wherry.cli.building.context import read_source
from wherry.cli.building.flags import BUILD_FLAGS
from wherry.cli.building.following import Outcome, follow
from wherry.cli.building.options import MAX_HEADER, read_extras, read_query
from wherry.cli.command import Command, Context
from wherry.cli.errors import CLI_FAILED, FAILED, CliError
from wherry.cli.flags import Parsed
from wherry.cli.output import encode, err_line, out_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.cli.building.outputs import Output
    from wherry.client.building import Built


def _run(context: Context, parsed: Parsed) -> int:
    outputs = _outputs(parsed)
    query = read_query(parsed)
    extras = read_extras(parsed)
    if outputs:
        extras["outputs"] = [output.asked() for output in outputs]
    source = read_source(parsed)
    if source.contexts:
        extras["contexts"] = source.contexts
    if parsed.texts("ssh"):
        from wherry.cli.building.agents import Lending

        lending = Lending(parsed.texts("ssh"))
        extras["ssh"] = lending.asked()
        lending.begin(context.client.address)
    from wherry.client.building import build_image

    call = build_image(query + source.query, extras, dockerfile=source.dockerfile)
    if sum(len(value) for _, value in call.more) > MAX_HEADER:
        raise CliError("secrets and contexts are too much for one request", CLI_FAILED)
    outcome = follow(context.client, call, source.body, _form(parsed))
    if extras.get("check"):
        return _report_checks(outcome)
    _finish(context, parsed, outputs, outcome)
    return 0


def _outputs(parsed: Parsed) -> list[Output]:
    if not parsed.texts("output"):
        return []
    from wherry.cli.building.outputs import read_outputs

    return read_outputs(parsed.texts("output"))


def _form(parsed: Parsed) -> str:
    return "quiet" if parsed.switch("quiet") else parsed.text("progress")


def _finish(context: Context, parsed: Parsed, outputs: Sequence[Output], outcome: Outcome) -> None:
    built = outcome.built
    if outputs:
        from wherry.cli.building.outputs import fetch_outputs

        fetch_outputs(context.client, outputs, built)
    if parsed.text("iidfile"):
        _write(parsed.text("iidfile"), built.get("image", ""))
    if parsed.text("metadata-file"):
        from wherry.cli.jsonindent import indent
        from wherry.client.jsontext import dumps

        _write(parsed.text("metadata-file"), indent(dumps(built.get("metadata", {}))))
    form = _form(parsed)
    kept = not outputs or any(output.kind == "image" for output in outputs)
    if form == "quiet":
        if kept:
            out_line(built.get("image", ""))
        return
    if form not in ("json", "rawjson"):
        _summarize(outcome, kept)


def _summarize(outcome: Outcome, kept: bool) -> None:
    from wherry.cli.building.excerpts import warning_line

    found = [warning for warning in outcome.warnings if warning.get("rule")]
    if found:
        noun = "warning" if len(found) == 1 else "warnings"
        err_line(f"\n {len(found)} {noun} found (--check shows more):")
        for warning in found:
            err_line(warning_line(warning))
    if kept:
        err_line(_result(outcome.built))


def _result(built: Built) -> str:
    short = built.get("image", "").removeprefix("sha256:")[:12]
    return f"\nBuilt {' '.join([short, *built.get('tags', [])])}"


def _report_checks(outcome: Outcome) -> int:
    from wherry.cli.building.excerpts import warning_lines

    found = [warning for warning in outcome.warnings if warning.get("rule")]
    for warning in found:
        out_line("\n".join([*warning_lines(warning), ""]))
    if not found:
        out_line("Check complete, no warnings found.")
        return 0
    out_line(
        "Check complete, 1 warning has been found!"
        if len(found) == 1
        else f"Check complete, {len(found)} warnings have been found!"
    )
    return FAILED


def _write(path: str, text: str) -> None:
    try:
        with open(path, "wb") as file:
            file.write(encode(text))
    except OSError as error:
        raise CliError(f"write {path}: {(error.strerror or '').lower()}") from error


BUILD = Command(
    "wherry build [OPTIONS] PATH | URL | -",
    "Build an image from a Dockerfile",
    _run,
    minimum=1,
    maximum=1,
    flags=BUILD_FLAGS,
    examples=(
        ("wherry build -t app .", "the Dockerfile of this folder"),
        ("wherry build --target test --build-arg VERSION=2 -f ci/Dockerfile .", "one stage of it"),
        ("wherry build --secret id=token,src=token.txt .", "RUN --mount=type=secret,id=token"),
        ("wherry build -o out .", "the files of the last stage, into a folder"),
        ("wherry build --check .", "only look for mistakes"),
        ("wherry build -t tools - < Dockerfile", "a Dockerfile that copies nothing"),
    ),
)
