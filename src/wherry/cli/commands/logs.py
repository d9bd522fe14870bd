"""`wherry logs`: what a container has said, and says."""

from __future__ import annotations

import os

from wherry.cli.command import Command, Context
from wherry.cli.errors import CliError, UsageError
from wherry.cli.flags import Flag, Parsed
from wherry.cli.timestamps import read_moment
from wherry.client import calls
from wherry.client.multiplex import STDERR, SYSTEM_ERROR, Demultiplexer, FrameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def _run(context: Context, parsed: Parsed) -> int:
    try:
        since, until = read_moment(parsed.text("since")), read_moment(parsed.text("until"))
    except ValueError as error:
        raise UsageError(str(error)) from error
    client = context.client
    container = client.inspect(parsed.arguments[0])
    call = calls.container_logs(
        container["Id"],
        follow=parsed.switch("follow"),
        since=since,
        until=until,
        tail=parsed.text("tail"),
        timestamps=parsed.switch("timestamps"),
        details=parsed.switch("details"),
    )
    pieces = client.logs(call)
    if container["Config"]["Tty"]:
        for piece in pieces:
            _write(1, piece)
    else:
        _write_frames(pieces)
    return 0


def _write_frames(pieces: Iterable[bytes]) -> None:
    frames = Demultiplexer()
    for data in pieces:
        try:
            found = frames.feed(data)
        except FrameError as error:
            raise CliError(str(error)) from error
        for stream, text in _joined(found):
            if stream == SYSTEM_ERROR:
                raise CliError(f"error from daemon in stream: {text.decode('utf-8', 'replace')}")
            _write(2 if stream == STDERR else 1, text)


def _joined(pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Neighbours of one stream as one: a write per line would cost more than all the rest."""
    joined: list[tuple[int, list[bytes]]] = []
    for stream, piece in pieces:
        if joined and joined[-1][0] == stream:
            joined[-1][1].append(piece)
        else:
            joined.append((stream, [piece]))
    return [(stream, b"".join(texts)) for stream, texts in joined]


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


LOGS = Command(
    "wherry logs [OPTIONS] CONTAINER",
    "Fetch the logs of a container",
    _run,
    minimum=1,
    maximum=1,
    flags=(
        Flag("details", "", "Show extra details provided to logs"),
        Flag("follow", "f", "Follow log output"),
        Flag("since", "", "Show logs since a time, or since so long ago (42m)", "string"),
        Flag("tail", "n", "Number of lines from the end", "string", default="all"),
        Flag("timestamps", "t", "Show timestamps"),
        Flag("until", "", "Show logs before a time, or before so long ago", "string"),
    ),
    examples=(
        ("wherry logs -f --tail 10 web", "the last lines, and then each as it comes"),
        ("wherry logs --since 5m -t web", "the last five minutes, with the time of each line"),
    ),
)
