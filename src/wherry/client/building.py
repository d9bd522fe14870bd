"""What a build says, as its typed events come: documents that their `type` tells apart.

    for event in client.build(build_image([("t", "app")]), pieces):
        if event["type"] == "vertex-output":
            sys.stdout.buffer.write(output_of(event))
        elif event["type"] == "built":
            print(event["image"])

A build is made of vertices: steps of the Dockerfile, and work beside them. Each is started, says
things, and is done, failed or cancelled. The last event of all is `built` or `failed`. The table
is in docs/build.md.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

from wherry.client.calls import Call, json_body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal, NotRequired, TypedDict

    class Excerpt(TypedDict):
        file: str
        first: int
        lines: list[str]
        line: int
        end_line: int
        column: NotRequired[int]

    class Failure(TypedDict):
        message: str
        command: NotRequired[str]
        exit_code: NotRequired[int]
        tail: NotRequired[list[str]]
        instruction: NotRequired[str]
        excerpt: NotRequired[Excerpt]
        hint: NotRequired[str]

    class Fetchable(TypedDict):
        index: int
        format: Literal["files", "image"]
        path: str

    class BuildStarted(TypedDict):
        type: Literal["build-started"]
        steps: int

    class BuildWarning(TypedDict):
        type: Literal["warning"]
        message: str
        rule: NotRequired[str]
        description: NotRequired[str]
        url: NotRequired[str]
        excerpt: NotRequired[Excerpt]

    class VertexStarted(TypedDict):
        type: Literal["vertex-started"]
        id: str
        name: NotRequired[str]
        step: NotRequired[int]
        instruction: NotRequired[str]

    class VertexCached(TypedDict):
        type: Literal["vertex-cached"]
        id: str

    class VertexOutput(TypedDict):
        type: Literal["vertex-output"]
        id: str
        stream: Literal["stdout", "stderr"]
        data: str

    class VertexStatus(TypedDict):
        type: Literal["vertex-status"]
        id: str
        what: str
        current: int
        total: NotRequired[int]

    class StepImage(TypedDict):
        type: Literal["step-image"]
        id: str
        image: str

    class VertexDone(TypedDict):
        type: Literal["vertex-done"]
        id: str
        seconds: NotRequired[float]
        layer: NotRequired[str]

    class VertexFailed(TypedDict):
        type: Literal["vertex-failed"]
        id: str
        failure: Failure
        seconds: float

    class VertexCancelled(TypedDict):
        type: Literal["vertex-cancelled"]
        id: str
        seconds: float

    class Built(TypedDict):
        type: Literal["built"]
        image: NotRequired[str]
        digest: NotRequired[str]
        tags: NotRequired[list[str]]
        outputs: NotRequired[list[Fetchable]]
        metadata: NotRequired[dict[str, object]]

    class Failed(TypedDict):
        type: Literal["failed"]
        failure: Failure

    BuildEvent = (
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

    class CacheEntry(TypedDict):
        ID: str
        Parents: list[str] | None
        Parent: NotRequired[str]
        Type: str
        Description: str
        InUse: bool
        Shared: bool
        Size: int
        CreatedAt: str
        LastUsedAt: str | None
        UsageCount: int

    class Pruned(TypedDict):
        CachesDeleted: list[str] | None
        SpaceReclaimed: int


EVENTS = "application/vnd.wherry.build.events+json"


def build_image(
    query: Sequence[tuple[str, str]] = (),
    extras: Mapping[str, object] | None = None,
    *,
    registry_config: str = "",
    dockerfile: bytes | None = None,
) -> Call:
    """A build whose answer is typed events. The body is the context's tar; with `dockerfile`, which
    needs a `remote` in the query, it is that.

    `query` has the parameters of `POST /build`; `extras` is what the header X-Wherry-Build can say
    besides (docs/build.md): no_cache_filter, secrets, ssh, contexts, outputs, check.
    """
    more = [("Accept", EVENTS)]
    if extras:
        more.append(("X-Wherry-Build", b2a_base64(json_body(extras), newline=False).decode()))
    if registry_config:
        more.append(("X-Registry-Config", registry_config))
    kind = "application/x-tar" if dockerfile is None else "text/x-dockerfile"
    return Call("POST", "/build", query, dockerfile, content_type=kind, more=more)


def output_of(event: VertexOutput) -> bytes:
    """The bytes that a step has written."""
    return a2b_base64(event["data"])


def vertex_of(event: BuildEvent) -> str:
    """The ID of the vertex that an event is about, "" for one about the whole build."""
    identity = event.get("id")
    return identity if isinstance(identity, str) else ""
