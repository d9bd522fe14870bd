"""Giving a container another name, whether it runs or not."""

from wherry import errdefs
from wherry.engine import names
from wherry.engine.container import Container
from wherry.engine.roster import Roster
from wherry.engine.stores import Stores
from wherry.faults import fault


async def rename(stores: Stores, roster: Roster, container: Container, name: str) -> None:
    """Return when the new name is on the disk. The caller holds the container's lock.

    Raises InvalidArgument for no name, a bad one, or the one that it has; Conflict for another's,
    or if it is going away.
    """
    if not name.removeprefix("/"):
        raise errdefs.invalid("Neither old nor new names may be empty")
    document = container.document
    if name.removeprefix("/") == document.name:
        raise errdefs.invalid("Renaming a container with the same name as its current name")
    if container.removing:
        raise errdefs.conflict(f"container {container.id} is being removed and cannot be renamed")
    try:
        # It has its slash here, as in Docker, whose words for a bad name show it.
        wanted = roster.reserve(names.check_name("/" + name.removeprefix("/")), container.id)
    except errdefs.EngineError as error:
        message = f"Error when allocating new name: {error.message}"
        raise errdefs.EngineError(error.kind, message) from None
    before, document.name = document.name, wanted
    record = document.record()
    fault("container.rename.before-record")
    try:
        await stores.database.write_async(lambda tx: tx.put_container(record))
    except BaseException:
        document.name = before
        roster.release(wanted, container.id)
        raise
    fault("container.rename.after-record")
    roster.release(before, container.id)
    stores.events.container(document, "rename", oldName=f"/{before}")
