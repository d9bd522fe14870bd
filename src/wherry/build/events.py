"""What a build says while it goes on: typed events, from which every form of progress is made.

A build is made of vertices: each instruction of the stages that are needed is one, and so is work
beside them, such as reading the context. The life of a vertex, as events:

    VertexStarted
    VertexCached?                      nothing had to be done
    VertexOutput*  VertexStatus*
    StepImage?                         the image as it is after this instruction
    VertexDone | VertexFailed | VertexCancelled

Vertices of independent stages go on at the same time, so their events are mixed. The whole:

    BuildStarted  BuildWarning*  vertices...  Built

What a build fails with is raised: `BuildFailedError` if a vertex failed, any other EngineError if
it did not come so far. After `Built` comes nothing.

As JSON (`application/vnd.wherry.build.events+json`, one object to a line) an event has the member
`type`; bytes are base64. `docs/build.md` has the table for clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

import wherry.failure
from wherry.errdefs import EngineError


class Excerpt(Struct, frozen=True, omit_defaults=True):
    """Some lines of a Dockerfile, which begin at number `first`; `line` to `end_line` are meant.

    Numbers begin at 1; `column` too, and is 0 where the whole line is meant.
    """

    file: str
    first: int
    lines: tuple[str, ...]
    line: int
    end_line: int
    column: int = 0


class Failure(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Why a build did not come to its end.

    `message` is the whole sentence. For a RUN that ended with an `exit_code` that is not 0,
    `command` is what was executed, joined with spaces, and `tail` the last lines of its output.
    `hint` says what may help.
    """

    message: str
    command: str = ""
    exit_code: int = 0
    tail: tuple[str, ...] = ()
    instruction: str = ""
    excerpt: Excerpt | None = None
    hint: str = ""


class BuildFailedError(EngineError):
    """A build whose vertex failed; `failure` has the details."""

    def __init__(self, kind: wherry.failure.Kind, failure: Failure) -> None:
        super().__init__(kind, failure.message)
        self.failure = failure

    def __reduce__(self) -> tuple[type[EngineError], tuple[wherry.failure.Kind, str]]:
        return (EngineError, (self.kind, self.message))


class BuildStarted(Struct, frozen=True, tag="build-started"):
    """`steps` is how many instructions the build has, those before the first FROM included."""

    steps: int


class VertexStarted(Struct, frozen=True, tag="vertex-started", omit_defaults=True):
    """`id` is unique in the build.

    `step` counts instructions from 1 in the Dockerfile's order, whatever the order in which they
    are worked on; it is 0 for what is no instruction. `instruction` is as it was written, with
    continued lines joined: `RUN make`. `name` is BuildKit's: `[build 2/5] RUN make`, `[internal]
    load build context`, or "" for an instruction that only changes the image's configuration.
    """

    id: str
    name: str = ""
    step: int = 0
    instruction: str = ""


class VertexCached(Struct, frozen=True, tag="vertex-cached"):
    id: str


class VertexOutput(Struct, frozen=True, tag="vertex-output"):
    """What the step's program wrote, in pieces as they came."""

    id: str
    stream: Literal["stdout", "stderr"]
    data: bytes


class VertexStatus(Struct, frozen=True, tag="vertex-status", omit_defaults=True):
    """How far `what` has come, in bytes; `total` is 0 where nobody knows."""

    id: str
    what: str
    current: int
    total: int = 0


class StepImage(Struct, frozen=True, tag="step-image"):
    """The image after an instruction: `sha256:...`, which can be run."""

    id: str
    image: str


class VertexDone(Struct, frozen=True, tag="vertex-done", omit_defaults=True):
    """`seconds` it took; `layer` is the diffID of what it made, if it made a layer."""

    id: str
    seconds: float = 0.0
    layer: str = ""


class VertexFailed(Struct, frozen=True, tag="vertex-failed"):
    id: str
    failure: Failure
    seconds: float = 0.0


class VertexCancelled(Struct, frozen=True, tag="vertex-cancelled"):
    """Another vertex failed, so this one was given up."""

    id: str
    seconds: float = 0.0


class BuildWarning(Struct, frozen=True, tag="warning", omit_defaults=True):
    """What a build check found (`rule` is its name), or the engine (`rule` is "")."""

    message: str
    rule: str = ""
    description: str = ""
    url: str = ""
    excerpt: Excerpt | None = None


class Fetchable(Struct, frozen=True):
    """A result that the client fetches from `path`; `index` is its place among the outputs asked
    for, `format` whether it is a tar of files or an archive with an image.
    """

    index: int
    format: Literal["files", "image"]
    path: str


class Built(Struct, frozen=True, tag="built", omit_defaults=True, kw_only=True):
    """The end of a build that went well.

    `image` is the ID (`sha256:...`) of what was built, `digest` its manifest's, `tags` the names
    it was given, in their familiar form; all empty after a `check`. The image is made whatever
    outputs were asked for, so that it holds its layers, but has names only where `image` is one of
    them; otherwise the engine removes it when the client has what it wanted.
    `outputs` are filled in by the engine: what there is to fetch, and where.
    `metadata` goes to `--metadata-file` as it is.
    """

    image: str = ""
    digest: str = ""
    tags: tuple[str, ...] = ()
    outputs: tuple[Fetchable, ...] = ()
    metadata: Mapping[str, object] = {}


class Failed(Struct, frozen=True, tag="failed"):
    """The last event of a build that failed, in the stream for clients only."""

    failure: Failure


Event: TypeAlias = (
    BuildStarted
    | BuildWarning
    | VertexStarted
    | VertexCached
    | VertexOutput
    | VertexStatus
    | StepImage
    | VertexDone
    | VertexFailed
    | VertexCancelled
    | Built
    | Failed
)
