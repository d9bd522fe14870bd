"""`StepExecutor`: a build's RUN as a program under the engine's isolation and limits."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final

from wherry import errdefs
from wherry.build.protocols import Ended, RunStep, SocketMount
from wherry.build.threads import finish, in_thread
from wherry.engine.building import sockets, traces
from wherry.engine.building.composing import Composed, attach, compose
from wherry.engine.building.relay import Listener, relay
from wherry.engine.stores import STEP_SOCKETS, log
from wherry.shim.runtime import Exit
from wherry.threads import to_thread

if TYPE_CHECKING:
    from pathlib import Path

    from wherry.engine.stores import Stores
    from wherry.shim.runtime import Start, Task

# How long a program that was killed is awaited. Only one that the kernel holds takes any time.
_KILL_SECONDS: Final = 10.0


class StepExecutor:
    """Runs steps, see `build.protocols.Executor`.

    As long as there are no bridges, `default` is the host's network, as `host` is; `none` is an
    empty one of the step's own.
    """

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._sockets = stores.settings.exec_root / STEP_SOCKETS

    async def run(self, step: RunStep, output: Listener) -> Ended:
        """Run the step on the snapshot `step.id`; see `Executor.run`.

        `output` may answer an awaitable: the program's output waits until that is done.
        """
        composed = Composed()
        try:
            async with contextlib.AsyncExitStack() as held:
                bound: dict[SocketMount, Path] = {}
                for mount in step.mounts:
                    if isinstance(mount, SocketMount):
                        way = sockets.forwarded(self._sockets, mount)
                        bound[mount] = await held.enter_async_context(way)
                start = await in_thread(lambda _: compose(self._stores, step, bound, composed))
                return _told(await self._run(start, output), step)
        finally:
            await finish(asyncio.ensure_future(to_thread(self._clean, step, composed)))

    async def _run(self, start: Start, output: Listener) -> Exit:
        """Start the program and see it to its end; it has none if this is cancelled."""
        with attach(start) as ours:
            task = await self._stores.runtime.start(start)
            try:
                await relay(ours, output)
                return await task.wait()
            except BaseException:
                ours.close()  # what is not read any more must not hold up the shim
                await finish(asyncio.ensure_future(_kill(task)))
                raise
            finally:
                task.close()

    def _clean(self, step: RunStep, composed: Composed) -> None:
        """In a thread: nothing is left but the snapshot, and nothing in that of our own doing."""
        stores = self._stores
        try:
            if notes := stores.runtime.mountpoints(step.id):
                traces.remove_mountpoints(notes, stores.snapshots.mounts(step.id))
            for key in composed.keys:
                stores.snapshots.remove(key)
        except errdefs.EngineError as error:
            # The step has done what it should; too much in its layer is no reason to fail it.
            log.warning("build step %s: %s", step.id[:12], error.message)
        stores.runtime.forget(step.id)


async def _kill(task: Task) -> None:
    try:
        async with asyncio.timeout(_KILL_SECONDS):
            with contextlib.suppress(errdefs.EngineError):  # it has just ended
                await task.kill(signal.SIGKILL)
            await task.wait()
    except TimeoutError:
        log.error(
            "build step %s: it was killed and does not end: does a file system that it uses "
            "not answer? The daemon's next start will see to it",
            task.id[:12],
        )


def _told(ended: Exit, step: RunStep) -> Ended:
    reason = ""
    if ended.oom_killed:
        limit = f" of {step.limits.memory} bytes" if step.limits.memory else ""
        reason = f"its memory limit{limit} was reached, and the kernel killed a process"
    elif ended.error:
        reason = ended.error
    elif ended.code > 128 and ended.code - 128 in signal.valid_signals():
        reason = f"signal {signal.Signals(ended.code - 128).name}"
    return Ended(ended.code, ended.oom_killed, reason)
