"""The containers' verbs: what the API's `ContainersBackend` asks for."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from wherry import errdefs
from wherry.engine import container_filters, creation, securing, streams, views
from wherry.engine.container import Container
from wherry.engine.model import (
    AttachedStream,
    AttachOptions,
    ContainerInspect,
    ContainerSummary,
    CreateRequest,
    CreateResponse,
    LogOptions,
    LogStream,
    WaitResult,
)
from wherry.engine.removal import Remover
from wherry.engine.renaming import rename
from wherry.engine.roster import Roster
from wherry.engine.starting import Starter
from wherry.engine.stores import Stores, log
from wherry.images.image import ContainerUse
from wherry.linux.signals import parse_signal
from wherry.shim.runtime import Exit, Task
from wherry.spec.digest import Digest
from wherry.threads import to_thread

DEFAULT_STOP_TIMEOUT = 10
_SIGKILL = 9
# A killed process that is still there after this long hangs in the kernel.
_KILL_PATIENCE = 10.0
# A start takes milliseconds: to stop what has not begun to run after this long is to give it up.
_START_PATIENCE = 2.0


class ExitWaiter:
    """Somebody who waits; see `Waiter` in the model."""

    def __init__(self, future: "asyncio.Future[WaitResult]") -> None:
        self._future = future

    async def result(self) -> WaitResult:
        return await asyncio.shield(self._future)


class Containers:
    """Containers from their creation to their removal. All methods run on the engine's loop."""

    def __init__(self, stores: Stores) -> None:
        self.roster = Roster()
        self._stores = stores
        self._events = stores.events
        self._starter = Starter(stores, self.roster)
        self._remover = Remover(stores, self.roster)
        self._watchers: dict[asyncio.Task[None], Container] = {}
        self._closing = False

    # --- from nothing to running --------------------------------------------------------------

    async def create(
        self, name: str | None, request: CreateRequest, platform: str | None
    ) -> CreateResponse:
        wish = creation.begin(self.roster, name, request, platform)
        try:
            document, warnings = await to_thread(creation.make, self._stores, wish)
        except BaseException:
            self.roster.release(wish.name, wish.id)
            raise
        container = Container(document)
        self.roster.add(container)
        self._events.container(document, "create")
        securing.begin(self._stores, container)
        return CreateResponse(id=document.id, warnings=warnings)

    async def start(self, ref: str) -> None:
        container = self.roster.find(ref)
        try:
            async with container.lock:
                await self._starter.start(container)
                self._events.container(container.document, "start")
                self.watch(container)
        except errdefs.EngineError:
            if self._goes_by_itself(container):
                await self._remove_quietly(container)
            raise

    async def resume(self, container: Container, task: Task) -> None:
        """Take up a container that an earlier engine started."""
        async with container.lock:
            await self._starter.resume(container, task)
            self.watch(container)

    async def end(self, container: Container, ended: Exit) -> None:
        """Record an end that came while no engine was there."""
        async with container.lock:
            await self._starter.record_end(container, ended)
        if self._goes_by_itself(container):
            await self._remove_quietly(container)

    def watch(self, container: Container) -> None:
        """See a running container to its end, whatever becomes of the caller."""
        task = asyncio.create_task(self._see_to_its_end(container, container.running_task()))
        self._watchers[task] = container
        task.add_done_callback(self._watched)

    def _watched(self, watcher: asyncio.Task[None]) -> None:
        container = self._watchers.pop(watcher)
        if watcher.cancelled() and container.running and not self._closing:
            # A loop that is to end cancels all there is; the program may yet stop what it started.
            self.watch(container)

    async def _see_to_its_end(self, container: Container, task: Task) -> None:
        await self._starter.watch(container, task)
        if self._goes_by_itself(container):
            await self._remove_quietly(container)

    @staticmethod
    def _goes_by_itself(container: Container) -> bool:
        return (
            container.document.host_config.auto_remove
            and not container.stays
            and not container.running
            and not container.removing
        )

    async def _remove_quietly(self, container: Container) -> None:
        try:
            async with container.lock:
                if not container.removing and not container.running:
                    await self._remover.remove(container)
        except errdefs.EngineError as error:
            log.warning("container %s: removing it at its end: %s", container.id[:12], error)

    # --- while it runs --------------------------------------------------------------------------

    async def stop(self, ref: str, timeout: int | None, signal: str | None) -> None:
        container = self.roster.find(ref)
        config = container.document.config
        number = parse_signal(signal or config.stop_signal or "SIGTERM")
        if timeout is None:
            timeout = config.stop_timeout if isinstance(config.stop_timeout, int) else None
        if timeout is None:
            timeout = DEFAULT_STOP_TIMEOUT
        if container.starting and await self._outwait_start(container):
            return
        if container.task is None:
            raise errdefs.EngineError(
                errdefs.Kind.NOT_MODIFIED, f"Container {container.id} is already stopped"
            )
        ended = container.ended
        if not (await self._signal(container, number) and await _within(ended, timeout)):
            await self._kill_for_good(container, ended)
        self._events.container(container.document, "stop")

    async def restart(self, ref: str, timeout: int | None, signal: str | None) -> None:
        container = self.roster.find(ref)
        try:
            with container.staying(), _if_there_is_need():
                await self.stop(container.id, timeout, signal)
                async with container.lock:
                    pass  # who watches it has seen the end by now
            with _if_there_is_need():
                await self.start(container.id)
        except errdefs.EngineError as error:
            message = f"Cannot restart container {ref}: {error.message}"
            raise errdefs.EngineError(error.kind, message) from error
        self._events.container(container.document, "restart")

    async def rename(self, ref: str, name: str) -> None:
        container = self.roster.find(ref)
        async with container.lock:
            await rename(self._stores, self.roster, container, name)

    async def _outwait_start(self, container: Container) -> bool:
        """Whether there is nothing to stop, since the start under way did not come to its end."""
        try:
            async with asyncio.timeout(_START_PATIENCE), container.lock:
                return False
        except TimeoutError:
            container.give_up_start()
        async with container.lock:
            return not container.running

    async def kill(self, ref: str, signal: str) -> None:
        number = parse_signal(signal or "KILL")
        try:
            container = self.roster.find(ref)
            if container.task is None:
                raise errdefs.conflict(f"container {container.id} is not running")
        except errdefs.EngineError as error:
            message = f"cannot kill container: {ref}: {error.message}"
            raise errdefs.EngineError(error.kind, message) from None
        ended = container.ended
        if number == _SIGKILL:
            await self._kill_for_good(container, ended)
        else:
            await container.task.kill(number)
            self._tell_signal(container, number)

    async def _kill_for_good(self, container: Container, ended: asyncio.Event) -> None:
        if await self._signal(container, _SIGKILL) and not await _within(ended, _KILL_PATIENCE):
            raise errdefs.internal(
                f"container {container.id} was killed, but its process did not go away within "
                f"{_KILL_PATIENCE:.0f} seconds: it may hang in the kernel"
            )

    async def _signal(self, container: Container, number: int) -> bool:
        """False if it has ended in the meantime."""
        if container.task is None:
            return False
        try:
            await container.task.kill(number)
        except errdefs.EngineError as error:
            if error.kind is not errdefs.Kind.CONFLICT:
                raise
            return True  # the process has ended; the news of it is on its way
        self._tell_signal(container, number)
        return True

    def _tell_signal(self, container: Container, number: int) -> None:
        self._events.container(container.document, "kill", signal=str(number))

    async def resize(self, ref: str, height: int, width: int) -> None:
        container = self.roster.find(ref)
        task = container.running_task()
        if container.document.config.tty:  # of any other there is nothing to resize
            await task.resize(height, width)
        size = {"height": str(height), "width": str(width)}
        self._events.container(container.document, "resize", **size)

    async def attach(self, ref: str, options: AttachOptions) -> AttachedStream:
        container = self.roster.find(ref)
        attached = await streams.attach(self._stores, container, options)
        self._events.container(container.document, "attach")
        return attached

    async def detached(self, ref: str) -> None:
        with contextlib.suppress(errdefs.EngineError):  # it has gone by itself
            self._events.container(self.roster.find(ref).document, "detach")

    async def logs(self, ref: str, options: LogOptions) -> LogStream:
        return streams.logs(self._stores, self.roster.find(ref), options)

    # --- its end ----------------------------------------------------------------------------------

    async def wait(self, ref: str, condition: str) -> ExitWaiter:
        container = self.roster.find(ref)
        match condition or "not-running":
            case "not-running" if not container.running:
                future = asyncio.get_running_loop().create_future()
                future.set_result(container.result())
            case "not-running" | "next-exit":
                future = container.next_exit()
            case "removed":
                future = container.removed()
            case _:
                raise errdefs.invalid(f'invalid condition: "{condition}"')
        return ExitWaiter(future)

    async def remove(self, ref: str, force: bool, volumes: bool, link: bool) -> None:
        # `volumes` asks for anonymous volumes to go too: there are none yet.
        container = self.roster.find(ref)
        if link:
            raise errdefs.not_implemented("remove with link: links are not supported")
        if container.running and not force:
            raise errdefs.conflict(
                f'cannot remove container "/{container.name}": container is running: stop the '
                "container before removing or force remove"
            )
        while True:
            if force:
                container.give_up_start()
            while container.running:
                await self._kill_for_good(container, container.ended)
            async with container.lock:
                if container.removing:
                    return
                if container.task is None:
                    await self._remover.remove(container)
                    return
                if not force:
                    raise errdefs.conflict(
                        f'cannot remove container "/{container.name}": it was started again '
                        "meanwhile"
                    )

    # --- looking ----------------------------------------------------------------------------------

    async def inspect(self, ref: str, size: bool) -> ContainerInspect:
        container = self.roster.find(ref)
        if not size:
            return views.inspect(self._stores, container)
        return await to_thread(views.inspect_with_size, self._stores, container)

    async def list(
        self,
        all: bool,  # noqa: A002 - the API's own word
        limit: int,
        size: bool,
        filters: dict[str, list[str]],
    ) -> Sequence[ContainerSummary]:
        chosen = await container_filters.choose(self._stores, self.roster, all, limit, filters)
        if size:
            return await to_thread(views.summaries_with_size, self._stores, chosen)
        return [views.summary(container) for container in chosen]

    def uses(self) -> Sequence[ContainerUse]:
        """Which images have containers: for their protection."""
        return [
            ContainerUse(container.id, Digest(container.document.image), container.running)
            for container in self.roster
        ]

    async def close(self) -> None:
        """Let go of what runs; it goes on. What has just ended is recorded."""
        self._closing = True
        for watcher, container in self._watchers.items():
            if container.running:
                watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for container in self.roster:
            container.close_waiting()
            if container.task is not None:
                container.task.close()


@contextlib.contextmanager
def _if_there_is_need() -> Iterator[None]:
    """It is no error if there was nothing to do."""
    try:
        yield
    except errdefs.EngineError as error:
        if error.kind is not errdefs.Kind.NOT_MODIFIED:
            raise


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Has it happened in that time? A negative time is for ever."""
    try:
        async with asyncio.timeout(seconds if seconds >= 0 else None):
            await event.wait()
    except TimeoutError:
        return False
    return True
