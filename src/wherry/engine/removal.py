"""Taking a container away.

::

    1. the record says "removing", and gives the name back     the client gets its answer
    2. snapshot, folder                                         in the background
    3. the record goes, and with it what an image left for it that was removed by force

A crash after 1 leaves a record that says so: recovery does the rest.
"""

import asyncio
import shutil

from wherry import errdefs
from wherry.engine.container import Container
from wherry.engine.document import REMOVING, read_document
from wherry.engine.roster import Roster
from wherry.engine.stores import Stores, log
from wherry.faults import fault
from wherry.spec.digest import Digest
from wherry.threads import to_thread

# Seconds until files are deleted: whatever the client does next has the disk for itself.
_LATER = 0.05


class Remover:
    """Removes containers that don't run."""

    def __init__(self, stores: Stores, roster: Roster) -> None:
        self._stores = stores
        self._roster = roster

    async def remove(self, container: Container) -> None:
        """Return when it is gone for every client. The caller holds the lock."""
        before = container.document.life.status
        container.document.life.status = REMOVING
        record = container.document.record()
        fault("container.remove.before-mark")
        try:
            await self._stores.database.write_async(
                lambda tx: tx.put_container(record), durable=False
            )
        except errdefs.EngineError:
            container.document.life.status = before
            raise
        fault("container.remove.after-mark")
        self._roster.discard(container)
        self._stores.events.container(container.document, "destroy")
        container.gone()
        self._stores.in_background(self._finish(container.id))

    async def _finish(self, container_id: str) -> None:
        await asyncio.sleep(_LATER)
        try:
            await to_thread(finish, self._stores, container_id)
        except (errdefs.EngineError, OSError) as error:
            # Its record stays, marked: the next start of the daemon tries again.
            log.warning("container %s: removing what is left: %s", container_id[:12], error)


def finish(stores: Stores, container_id: str) -> None:
    """Remove all that a marked container has. Idempotent; blocks."""
    fault("container.remove.before-snapshot")
    stores.snapshots.remove(container_id)
    fault("container.remove.after-snapshot")
    folder = stores.folder(container_id)
    if folder.exists():
        shutil.rmtree(folder)
    fault("container.remove.after-folder")
    stores.runtime.forget(container_id)
    record = stores.database.read(lambda tx: tx.container(container_id))
    stores.database.write(lambda tx: tx.delete_container(container_id), durable=False)
    fault("container.remove.after-record")
    if record is not None:
        # After a crash before this, the images' own recovery collects.
        stores.images.container_gone(Digest(read_document(record).image))
