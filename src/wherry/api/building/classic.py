"""The stream of Docker's first builder, which docker-py and the stock command line read.

    {"stream":"Step 1/2 : FROM busybox"}
    {"stream":"\\n"}
    {"stream":" ---> 0123456789ab\\n"}
    {"stream":"Step 2/2 : RUN make"}
    ...
    {"aux":{"ID":"sha256:..."}}
    {"stream":"Successfully built 0123456789ab\\n"}
    {"stream":"Successfully tagged app:latest\\n"}

Steps are shown in the Dockerfile's order, although stages are worked on at the same time: what a
later step says is held back until its turn comes.
"""

from __future__ import annotations

import codecs
import sys

import msgspec

from wherry.api.building.excerpts import lines_of
from wherry.api.building.spool import Allowance, Spool
from wherry.build.events import (
    BuildFailedError,
    BuildStarted,
    BuildWarning,
    Built,
    Event,
    Failure,
    StepImage,
    VertexCached,
    VertexDone,
    VertexFailed,
    VertexOutput,
    VertexStarted,
)
from wherry.engine.model import ErrorDetail, JSONMessage
from wherry.errdefs import EngineError

# Docker shows what a program writes to its standard error in red.
_RED, _PLAIN = "\x1b[91m", "\x1b[0m"


class _Step:
    """One instruction's part of the stream."""

    def __init__(self, number: int, allowance: Allowance) -> None:
        self.number = number
        self.spool = Spool(allowance)
        self._allowance = allowance
        self.complete = False
        self._decoders = {
            stream: codecs.getincrementaldecoder("utf-8")("replace")
            for stream in ("stdout", "stderr")
        }

    def say(self, text: str) -> None:
        self.spool.put(_line(JSONMessage(stream=text)))

    def pass_on(self, stream: str, data: bytes) -> None:
        """A character whose bytes have not all come yet waits for the rest."""
        if not self._allowance.takes(data):
            return
        if notice := self._allowance.notice():
            self.say(notice.decode())
        text = self._decoders[stream].decode(data)
        if text:
            self.say(f"{_RED}{text}{_PLAIN}" if stream == "stderr" else text)


class Classic:
    """A build's events in, lines of JSON out. With `quiet` only the end is shown, as `-q` has it:
    the image's ID, or all that was said before the error.
    """

    media_type = "application/json"

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._total = 0
        self._steps: dict[int, _Step] = {}
        self._step_of: dict[str, _Step] = {}
        self._warnings: list[BuildWarning] = []
        self._allowance = Allowance()
        self._end = Spool(self._allowance)
        self._turn = 1
        self._last = sys.maxsize
        self._ended = False
        self.begun = False

    def take(self, event: Event) -> None:
        """Note an event."""
        match event:
            case BuildStarted():
                self._total = event.steps
            case BuildWarning():
                self._warnings.append(event)
            case VertexStarted() if 0 < event.step <= self._last:
                self._begin(event)
            case VertexOutput() | VertexCached() | StepImage() | VertexDone():
                self._continue(event)
            case VertexFailed():
                self._end_with(event.id)

    def succeed(self, built: Built) -> None:
        """The build has come to its end."""
        self._ended = True
        notice = self._allowance.notice()
        aux = msgspec.json.encode({"aux": {"ID": built.image}}) + b"\r\n" if built.image else b""
        if self._quiet:
            self._discard()
            self._end.put(aux + _line(JSONMessage(stream=f"{built.image}\n")))
            return
        self._say_last_if(notice)
        for warning in self._warnings:
            self._say_last(_warning(warning))
        if built.image:
            self._end.put(aux)
            self._say_last(f"Successfully built {_short(built.image)}\n")
        for tag in built.tags:
            self._say_last(f"Successfully tagged {tag}\n")

    def fail(self, error: EngineError) -> None:
        """The build has failed."""
        self._ended = True
        self._say_last_if(self._allowance.notice())
        message, code = error.message, 0
        if isinstance(error, BuildFailedError):
            failure = error.failure
            code = failure.exit_code
            message = _message(failure)
            for line in lines_of(failure.excerpt) if failure.excerpt else ():
                self._say_last(f"{line}\n")
            if failure.hint:
                self._say_last(f"{failure.hint}\n")
        detail = ErrorDetail(message=message)
        if code:
            detail.code = code
        self._end.put(_line(JSONMessage(error=message, error_detail=detail)))

    def next(self) -> bytes:
        """What can be sent now, some of it; nothing if nothing can."""
        if self._quiet and not self._ended:
            return b""
        while self._steps:
            number = min(self._steps) if self._ended else self._turn
            step = self._steps.get(number)
            if step is None:
                return b""
            if piece := step.spool.take():
                return piece
            if not step.complete and not self._ended:
                return b""
            del self._steps[number]
            self._turn = number + 1
        return self._end.take() if self._ended else b""

    def close(self) -> None:
        self._discard()
        self._end.close()

    def _begin(self, event: VertexStarted) -> None:
        self.begun = True
        step = self._steps[event.step] = self._step_of[event.id] = _Step(
            event.step, self._allowance
        )
        step.say(f"Step {event.step}/{self._total} : {event.instruction}")
        step.say("\n")

    def _continue(self, event: VertexOutput | VertexCached | StepImage | VertexDone) -> None:
        step = self._step_of.get(event.id)
        if step is None:
            return  # no instruction: Docker's first builder knew nothing like it
        match event:
            case VertexOutput():
                step.pass_on(event.stream, event.data)
            case VertexCached():
                step.say(" ---> Using cache\n")
            case StepImage():
                step.say(f" ---> {_short(event.image)}\n")
            case VertexDone():
                step.complete = True

    def _end_with(self, identity: str) -> None:
        """What failed is to be the last that is seen: steps behind it were given up with it."""
        failed = self._step_of.get(identity)
        if failed is None:
            return
        self._last = failed.number
        for step in [step for step in self._step_of.values() if step.number > self._last]:
            self._steps.pop(step.number, step).spool.close()
        self._step_of.clear()

    def _say_last(self, text: str) -> None:
        self._end.put(_line(JSONMessage(stream=text)))

    def _say_last_if(self, notice: bytes) -> None:
        if notice:
            self._say_last(notice.decode())

    def _discard(self) -> None:
        for step in self._steps.values():
            step.spool.close()
        self._steps.clear()


def _message(failure: Failure) -> str:
    """Docker's own words, which scripts search for."""
    if failure.command and failure.exit_code:
        return f"The command '{failure.command}' returned a non-zero code: {failure.exit_code}"
    return failure.message


def _warning(warning: BuildWarning) -> str:
    rule = f"{warning.rule}: " if warning.rule else ""
    place = f" (line {warning.excerpt.line})" if warning.excerpt else ""
    return f"[Warning] {rule}{warning.message}{place}\n"


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:12]


def _line(message: JSONMessage) -> bytes:
    return msgspec.json.encode(message) + b"\r\n"
