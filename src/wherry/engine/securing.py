"""Bringing a new container's snapshot to the disk, which its creation does not wait for.

It begins with the creation's answer, and goes on beside a start: only the program has to wait. A
container that has run once has been through it.
"""

import asyncio

from wherry import errdefs
from wherry.engine.container import Container
from wherry.engine.document import CREATED
from wherry.engine.stores import Stores, log
from wherry.threads import to_thread


def begin(stores: Stores, container: Container) -> "asyncio.Future[None]":
    """Begin with it, in the background. What the future raises was logged."""

    def look(done: "asyncio.Future[None]") -> None:
        error = done.exception()
        if error is None:
            return
        container.secured = None  # the next start tries again
        if not isinstance(error, errdefs.EngineError) or error.kind is not errdefs.Kind.NOT_FOUND:
            log.error("container %s: bringing it to the disk: %s", container.id[:12], error)

    work = to_thread(stores.snapshots.secure, container.id)
    secured = container.secured = stores.in_background(work)
    secured.add_done_callback(look)
    return secured


def needed(stores: Stores, container: Container) -> "asyncio.Future[None] | None":
    """What a start's program has to wait for, or None."""
    if container.document.life.status != CREATED:
        return None
    secured = container.secured or begin(stores, container)
    return None if secured.done() and secured.exception() is None else secured
