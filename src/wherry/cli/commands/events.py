"""`wherry events`: what happens to containers and images, as it happens."""

from __future__ import annotations

import time

from wherry.cli.command import Command, Context
from wherry.cli.errors import CliError
from wherry.cli.flags import FILTER, Flag, Parsed, filters_of
from wherry.cli.output import out_line
from wherry.cli.timestamps import read_moment
from wherry.client import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.client.documents import Actor, EventMessage

_BAD_FORMAT = 64
_NANOSECONDS = 1_000_000_000


def _run(context: Context, parsed: Parsed) -> int:
    line = _renderer(parsed.text("format"))
    try:
        since, until = read_moment(parsed.text("since")), read_moment(parsed.text("until"))
    except ValueError as error:
        raise CliError(str(error)) from error
    call = calls.events(since, until, filters_of(parsed.texts("filter")))
    for event in context.client.events(call):
        out_line(line(event))
    return 0


def _renderer(form: str) -> Callable[[EventMessage], str]:
    if not form:
        return _plain
    if form in ("json", "{{json .}}"):
        return _json
    from wherry.cli.rendering import Documents

    documents = Documents(form.replace("\\t", "\t").replace("\\n", "\n"))
    nothing: EventMessage = {
        "Type": "", "Action": "", "Actor": {"ID": "", "Attributes": {}}, "time": 0, "timeNano": 0,
    }  # fmt: skip
    try:
        # A mistake is said now, and not when something happens.
        documents.render(_whole(nothing))
    except CliError as error:
        raise CliError(f"Error parsing format: {error.message}", _BAD_FORMAT) from error
    return lambda event: documents.render(_whole(event))


def _whole(event: EventMessage) -> dict[str, object]:
    """The event with those members that it may leave out, which templates may name all the same."""
    known = {"status": "", "id": "", "from": "", "scope": "", "timeNano": 0, **event}
    return {**known, "Actor": _sorted(event["Actor"])}


def _sorted(actor: Actor) -> dict[str, object]:
    attributes = actor["Attributes"]
    return {
        "ID": actor["ID"],
        "Attributes": dict(sorted(attributes.items())) if attributes else attributes,
    }


def _plain(event: EventMessage) -> str:
    actor = event["Actor"]
    text = f"{event['Type']} {event['Action']} {actor['ID']}"
    nanoseconds = event.get("timeNano") or event["time"] * _NANOSECONDS
    if nanoseconds:
        text = f"{_moment(nanoseconds)} {text}"
    attributes = actor["Attributes"] or {}
    if attributes:
        text += f" ({', '.join(f'{name}={attributes[name]}' for name in sorted(attributes))})"
    return text


def _moment(nanoseconds: int) -> str:
    """RFC 3339 with all nine digits, in the zone of whoever reads it."""
    seconds, rest = divmod(nanoseconds, _NANOSECONDS)
    moment = time.localtime(seconds)
    zone = time.strftime("%z", moment)
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{rest:09d}{zone}"


def _json(event: EventMessage) -> str:
    from wherry.client.jsontext import dumps

    return dumps({**event, "Actor": _sorted(event["Actor"])})


EVENTS = Command(
    "wherry events [OPTIONS]",
    "Show what happens, as it happens",
    _run,
    flags=(
        FILTER,
        Flag("format", "", "Format output: 'json', or a template in Go's syntax such as "
             "'{{.Type}} {{.Action}}'", "string"),
        Flag("since", "", "Show what has happened since a time, or since so long ago (10m)",
             "string"),
        Flag("until", "", "End at a time, or with what happened so long ago", "string"),
    ),
    examples=(
        ("wherry events --filter type=container --filter event=die", "each container that ends"),
        ("wherry events --since 10m --until 0s", "the last ten minutes, and no more"),
        ("wherry events --format '{{.Action}} {{.Actor.Attributes.name}}'", "two words of each"),
    ),
)  # fmt: skip
