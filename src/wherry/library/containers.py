"""Containers, as a program has them in hand."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self, Unpack

from wherry import errdefs
from wherry.engine.model import AttachOptions, LogOptions, WaitResult
from wherry.errdefs import EngineError, Kind
from wherry.library.attaching import Attachment, give, stay
from wherry.library.finishing import whole
from wherry.library.loglines import Framer, LogLine, closing_early, lines
from wherry.library.options import Options, read_request

if TYPE_CHECKING:
    from wherry.engine.model import ContainerInspect, ContainerSummary, CreateResponse
    from wherry.library import backend
    from wherry.library.anyengine import AnyEngine

Moment = datetime.datetime | float
"""A datetime (without a zone: local time), or seconds since 1970."""


# What removes a container that has ended needs milliseconds.
_REMOVAL_SECONDS: Final = 10.0


class Output(NamedTuple):
    """What a container has written, as its log has it."""

    stdout: bytes
    stderr: bytes


class Container:
    """One container. It may have been removed meanwhile: then its methods raise NotFound.

    As an `async with` it goes at the end of the block, whatever becomes of it until then.
    """

    def __init__(
        self,
        engine: AnyEngine,
        container_id: str,
        warnings: Sequence[str] = (),
        *,
        removes_itself: bool,
    ) -> None:
        self.id = container_id
        self.warnings = tuple(warnings)
        """What the engine had to say when it was made."""
        self.removes_itself = removes_itself
        """Whether it goes when it ends."""
        self._engine = engine
        self._end: asyncio.Task[WaitResult] | None = None

    def __repr__(self) -> str:
        return f"<container {self.id[:12]}>"

    @property
    def _backend(self) -> backend.Containers:
        """Unavailable when the engine has been left."""
        return self._engine.backend.containers

    # --- its life ---------------------------------------------------------------------------------

    async def start(self, *, detach: bool = False, input: bytes | None = None) -> None:  # noqa: A002
        """Return when its program runs. NotModified if it did already.

        It ends with the engine unless it is to `detach`. `input` is all of its standard input, for
        which it must have been made with `stdin=True`; of a detached one it has been taken then.
        """
        self._forget_end()
        given = await self.attach(stdout=False, stderr=False) if input is not None else None
        try:
            if not detach:
                self._engine.keep(self)
                await self._expect_end()
            await self._backend.start(self.id)
            if given and input is not None and (detach or not input):
                # The engine may be left before it has read all.
                await give(given, input)
                input = b""  # noqa: A001
        except BaseException as error:
            if given:
                await given.close()
            if not (isinstance(error, EngineError) and error.kind is Kind.NOT_MODIFIED):
                self._engine.let_go(self)
                self._forget_end()
            raise
        if given and input is not None:
            self._engine.in_background(stay(given, input))

    async def wait(self) -> int:
        """Its exit status, when it has ended; 128 and the signal's number if one has killed it.

        Unavailable if the engine is left before.
        """
        end = self._end
        if end is None:
            waiter = await self._backend.wait(self.id, "not-running")
            end = self._engine.in_background(waiter.result())
        try:
            return (await asyncio.shield(end)).status_code
        except asyncio.CancelledError:
            waiting = asyncio.current_task()
            if end.cancelled() and not (waiting and waiting.cancelling()):
                message = f"container {self.id[:12]}: the engine was left before its end"
                raise errdefs.unavailable(message) from None
            raise
        finally:
            if end is not self._end:
                end.cancel()

    async def stop(self, timeout: int | None = None, signal: str | None = None) -> None:
        """Ask it to end, and after `timeout` seconds kill it. None: what it was made with, or 10;
        -1: never. Nothing happens if it does not run."""
        with _unless(Kind.NOT_MODIFIED):
            await self._backend.stop(self.id, timeout, signal)

    async def kill(self, signal: str = "KILL") -> None:
        """Send it a signal. Conflict if it does not run."""
        await self._backend.kill(self.id, signal)

    async def remove(self, *, force: bool = False) -> None:
        """Remove it with all that it wrote. Conflict if it runs and not `force`."""
        await self._backend.remove(self.id, force, True, False)
        self._engine.let_go(self)

    def detach(self) -> None:
        """Let it go on when the engine is left."""
        self._engine.let_go(self)

    # --- its streams ------------------------------------------------------------------------------

    async def logs(
        self,
        *,
        follow: bool = True,
        stdout: bool = True,
        stderr: bool = True,
        tail: int | None = None,
        since: Moment = 0,
        until: Moment = 0,
        timestamps: bool = False,
    ) -> AsyncIterator[LogLine]:
        """What it has written, line by line, and with `follow` what it writes until it ends.

        `tail` is how many of the last lines to begin with, of all if it is None.
        """
        options = LogOptions(
            stdout=stdout,
            stderr=stderr,
            follow=follow,
            tail=tail,
            since=nanoseconds(since),
            until=nanoseconds(until),
            timestamps=timestamps,
        )
        found = lines(await self._backend.logs(self.id, options), timestamps=timestamps)
        async with contextlib.aclosing(found):
            async for line in found:
                yield line

    async def output(self) -> Output:
        """All that it has written so far, as bytes."""
        options = LogOptions(stdout=True, stderr=True)
        log = await self._backend.logs(self.id, options)
        parts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        framer = None if log.tty else Framer()
        async with closing_early(log.chunks) as chunks:
            async for chunk in chunks:
                for stream, piece in framer.feed(chunk) if framer else [("stdout", chunk)]:
                    parts[stream].append(piece)
        return Output(b"".join(parts["stdout"]), b"".join(parts["stderr"]))

    async def attach(
        self, *, stdin: bool = True, stdout: bool = True, stderr: bool = True
    ) -> Attachment:
        """Its streams from now on; before its start, from the first byte on."""
        options = AttachOptions(stream=True, stdin=stdin, stdout=stdout, stderr=stderr)
        return await self._engine.attach(self.id, options)

    async def rename(self, name: str) -> None:
        """Conflict if another has that name."""
        await self._backend.rename(self.id, name)

    async def resize(self, height: int, width: int) -> None:
        """Set its terminal's size, in rows and columns."""
        await self._backend.resize(self.id, height, width)

    # --- looking ----------------------------------------------------------------------------------

    async def inspect(self, *, size: bool = False) -> ContainerInspect:
        return await self._backend.inspect(self.id, size)

    # --- its end ----------------------------------------------------------------------------------

    async def settle(self, timeout: int | None) -> None:
        """Stop it, and if it goes by itself wait until it has."""
        with _unless(Kind.NOT_FOUND):
            if self.removes_itself and (self._end is None or self._end.cancelled()):
                await self._expect_end()
            await self.stop(timeout)
        if self.removes_itself and self._end is not None:
            await asyncio.wait([self._end], timeout=_REMOVAL_SECONDS)

    async def _expect_end(self) -> None:
        """Wait for the end from before the start, so that not even the shortest life is missed."""
        condition = "removed" if self.removes_itself else "next-exit"
        waiter = await self._backend.wait(self.id, condition)
        self._end = self._engine.in_background(waiter.result())
        self._end.add_done_callback(self._ended)

    def _ended(self, end: asyncio.Task[WaitResult]) -> None:
        if not end.cancelled():
            end.exception()  # for who waits; nobody may
            self._engine.let_go(self)

    def _forget_end(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _unless(Kind.NOT_FOUND):
            await self.remove(force=True)


class Containers:
    """The engine's containers."""

    def __init__(self, engine: AnyEngine) -> None:
        self._engine = engine

    async def create(
        self,
        image: str,
        command: Sequence[str] | str = (),
        *,
        name: str = "",
        remove: bool = False,
        platform: str = "",
        **options: Unpack[Options],
    ) -> Container:
        """Make one, for `Container.start`. See `AnyEngine.run`."""
        request = read_request(image, command, options)
        request.host_config.auto_remove = remove
        containers = self._engine.backend.containers

        async def undo(made: CreateResponse) -> None:
            await containers.remove(made.id, True, True, False)

        made = await whole(containers.create(name or None, request, platform or None), undo)
        return Container(self._engine, made.id, made.warnings, removes_itself=remove)

    async def get(self, ref: str) -> Container:
        """One by its name, its ID or the beginning of that. NotFound if there is none.

        It goes on when the engine is left, whoever has started it.
        """
        found = await self._engine.backend.containers.inspect(ref, False)
        return Container(self._engine, found.id, removes_itself=found.host_config.auto_remove)

    async def list(
        self,
        *,
        all: bool = False,  # noqa: A002 - the API's own word
        filters: Mapping[str, Sequence[str]] | None = None,
        size: bool = False,
    ) -> Sequence[ContainerSummary]:
        """Those that run, or `all`, the newest first; `filters` are those of `docker ps`."""
        wanted = {name: list(values) for name, values in (filters or {}).items()}
        return await self._engine.backend.containers.list(all, 0, size, wanted)


def nanoseconds(moment: Moment) -> int:
    """Since 1970; 0 is no limit."""
    if isinstance(moment, datetime.datetime):
        moment = moment.timestamp()
    return round(moment * 1_000_000_000)


@contextlib.contextmanager
def _unless(kind: Kind) -> Iterator[None]:
    """An error of this kind says that there is nothing to do."""
    try:
        yield
    except EngineError as error:
        if error.kind is not kind:
            raise
