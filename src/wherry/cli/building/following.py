"""A build from the request to its last event, with its progress shown."""

from __future__ import annotations

from wherry.cli.errors import CliError
from wherry.cli.output import encode, err_bytes, err_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Protocol

    from wherry.client.building import BuildEvent, BuildWarning, Built
    from wherry.client.calls import Call
    from wherry.client.engine import EngineClient

    class Progress(Protocol):
        """A form in which progress is shown."""

        def sent(self, size: int) -> None: ...

        def show(self, event: BuildEvent) -> None: ...

        def tick(self) -> None: ...

        def close(self) -> None: ...


_TICK = 100  # milliseconds


class Outcome:
    """A build that went well."""

    def __init__(self, built: Built, warnings: list[BuildWarning]) -> None:
        self.built = built
        self.warnings = warnings


def follow(client: EngineClient, call: Call, body: Iterable[bytes] | None, form: str) -> Outcome:
    """Raises CliError for a build that fails, with what there is to say about it said."""
    progress = _progress(form)
    warnings: list[BuildWarning] = []
    names: dict[str, str] = {}
    failed = ""
    events = client.build(call, None if body is None else _counted(body, progress))
    try:
        while True:
            while not events.wait(_TICK):
                progress.tick()
            event = next(events, None)
            if event is None:
                raise CliError("the daemon has ended in the middle of the build")
            progress.show(event)
            if event["type"] == "vertex-started":
                names[event["id"]] = event.get("name") or event.get("instruction", "")
            elif event["type"] == "vertex-failed":
                failed = names.get(event["id"], "")
            elif event["type"] == "warning":
                warnings.append(event)
            elif event["type"] == "built":
                return Outcome(event, warnings)
            elif event["type"] == "failed":
                from wherry.cli.building.excerpts import failure_lines, failure_sentence

                progress.close()
                for line in failure_lines(event["failure"], failed):
                    err_line(line)
                raise CliError(failure_sentence(event["failure"]))
    finally:
        progress.close()
        events.close()


def _counted(body: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    size = 0
    for piece in body:
        yield piece
        size += len(piece)
        progress.sent(size)


def _progress(form: str) -> Progress:
    from wherry.cli.terminal import is_terminal

    if form == "quiet":
        return _Silent()
    if form in ("json", "rawjson"):
        return _Json()
    if form == "tty" or (form == "auto" and is_terminal(2)):
        from wherry.cli.building.live import Live

        return Live()
    from wherry.cli.building.plain import Plain

    return Plain()


class _Silent:
    """No progress."""

    def sent(self, size: int) -> None:
        pass

    def show(self, event: BuildEvent) -> None:
        pass

    def tick(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Json(_Silent):
    """The events themselves, on standard error, as buildx has its rawjson."""

    def show(self, event: BuildEvent) -> None:
        from wherry.client.jsontext import dumps

        err_bytes(encode(dumps(event) + "\n"))
