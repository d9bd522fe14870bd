"""A builder that only pretends: it says what a script tells it to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from wherry import errdefs
from wherry.build.events import (
    BuildStarted,
    Built,
    Event,
    StepImage,
    VertexDone,
    VertexOutput,
    VertexStarted,
)
from wherry.build.request import BuildRequest
from wherry.build.usage import CacheEntry, Pruned, PruneRequest

Emit = Callable[[Event], None]
Script = Callable[[BuildRequest, Emit], Awaitable[Built]]

IMAGE = "sha256:" + "a1b2" * 16
BASE = "sha256:" + "0c" * 32


def step(emit: Emit, number: int, instruction: str, image: str = IMAGE) -> None:
    """All of a step that goes well and says its name."""
    identity = f"v{number}"
    emit(VertexStarted(identity, f"[{number}] {instruction}", number, instruction))
    emit(VertexOutput(identity, "stdout", f"out {number}\n".encode()))
    emit(StepImage(identity, image))
    emit(VertexDone(identity, 0.25))


async def two_steps(request: BuildRequest, emit: Emit) -> Built:
    emit(BuildStarted(2))
    emit(VertexStarted("v1", "[1/2] FROM busybox", 1, "FROM busybox"))
    emit(StepImage("v1", BASE))
    emit(VertexDone("v1"))
    step(emit, 2, "RUN make")
    return Built(image=IMAGE, tags=tuple(f"{tag}:latest" for tag in request.tags))


class FakeBuilds:
    def __init__(self) -> None:
        self.script: Script = two_steps
        self.requests: list[BuildRequest] = []
        self.context: bytes | None = None
        self.cancelled = asyncio.Event()
        self.ids: list[str] = []
        self.pruned: list[PruneRequest] = []
        self.lent: list[tuple[str, str]] = []

    async def build(
        self, request: BuildRequest, context: AsyncIterator[bytes] | None, emit: Emit
    ) -> Built:
        self.requests.append(request)
        try:
            if context is not None:
                self.context = b"".join([piece async for piece in context])
            return await self.script(request, emit)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def cancel(self, build_id: str) -> None:
        self.ids.append(build_id)

    async def cache(self) -> Sequence[CacheEntry]:
        return [
            CacheEntry(
                id="0a1b2c",
                type="regular",
                description="[build 2/5] RUN make",
                size=51,
                created_at="2026-01-02T03:04:05.000000006Z",
                usage_count=3,
            ),
            CacheEntry(
                id="ffee",
                type="exec.cachemount",
                description="cached mount /root/.cache",
                size=2_000_000,
                created_at="2026-01-02T03:04:05.000000006Z",
                last_used_at="2026-02-02T03:04:05.000000006Z",
                in_use=True,
                shared=True,
            ),
        ]

    async def prune(self, request: PruneRequest) -> Pruned:
        self.pruned.append(request)
        return Pruned(("0a1b2c",), 51)

    async def output(self, output_id: str) -> AsyncIterator[bytes]:
        if output_id != "there":
            raise errdefs.not_found(f"no such output: {output_id}")
        yield b"a "
        yield b"tar"

    async def lend_agent(
        self, session: str, name: str, transport: asyncio.Transport, early: bytes
    ) -> None:
        self.lent.append((session, name))
        transport.write(b"said " + early)
        transport.close()
