"""After a start: facts on the disk are compared with folders, and with what still runs.

    record   snapshot   shim      means                                  becomes
    ------   --------   ----      -----                                  -------
    yes      yes        alive     it runs                                adopted
    yes      yes        ended     it ended while nobody listened         exited, with its own code
    yes      yes        none      it was stopped, or the power went      exited
    created  lacking    none      the power went before it was on disk   made anew
    yes      no         any       a removal got so far, or disk damage   removed
    marked   any        any       a removal was under way                removed
    no       yes        none      a creation got so far                  removed
    no       any        any       a build's step was running             killed, removed
    no       yes, used  none      its record was lost                    upper directory set aside

Only what has Wherry's stamp is touched: folders below the data root and the exec root, which the
daemon has locked and marked as its own.
"""

import asyncio
import contextlib
import os
import shutil
import time

from wherry import errdefs
from wherry.engine import networking, removal
from wherry.engine.container import Container
from wherry.engine.containers import Containers
from wherry.engine.document import CREATED, REMOVING, RUNNING, Document, read_document, timestamp
from wherry.engine.runtime_spec import build
from wherry.engine.stores import STEP_SOCKETS, Stores, log
from wherry.linux.mounts import BindRoot
from wherry.shim.runtime import Exit, Task
from wherry.threads import to_thread

# What Docker answers for a container whose end nobody saw.
_UNKNOWN_EXIT = 255


async def recover(stores: Stores, containers: Containers) -> None:
    """Bring the containers in memory to the truth, and remove what a crash left half done."""
    await to_thread(stores.snapshots.recover)
    # First of all what nobody knows, build steps above all: before their files are taken from them.
    records = await stores.database.read_async(lambda tx: tx.containers())
    await _end_strangers(stores, {record.id for record in records})
    documents = await to_thread(_clean, stores)
    for document in documents:
        containers.roster.add(Container(document))
    for container_id in await _end_strangers(stores, {document.id for document in documents}):
        await to_thread(removal.finish, stores, container_id)
    await asyncio.gather(*(_adopt(stores, containers, one) for one in containers.roster))


def _clean(stores: Stores) -> list[Document]:
    """Finish removals, undo creations; answers the containers that there are."""
    records = stores.database.read(lambda tx: tx.containers())
    documents = [read_document(record) for record in records]
    keys = set(stores.snapshots.keys())
    kept = []
    for document in documents:
        if document.life.status == REMOVING:
            _finish_removal(stores, document)
        elif document.life.status != CREATED and document.id not in keys:
            log.warning("container %s has no snapshot any more: removed", document.id[:12])
            _finish_removal(stores, document)
        else:
            if document.life.status == CREATED:
                _renew_snapshot(stores, document)
            _mend_etc(stores, document)
            kept.append(document)
    known = {document.id for document in documents}
    for key in sorted(keys - known):
        _drop_unclaimed(stores, key)
    for folder in _folders(stores):
        if folder not in known:
            shutil.rmtree(stores.folder(folder), ignore_errors=True)
    shutil.rmtree(stores.settings.exec_root / STEP_SOCKETS, ignore_errors=True)
    return kept


def _renew_snapshot(stores: Stores, document: Document) -> None:
    """Make anew what a power cut has taken of it.

    A creation does not wait for the disk to have it, since it follows from the record. A start
    does: if this container did run, and it is the news of that which was lost, then all is there.
    """
    try:
        stores.snapshots.renew(document.id, document.diff_ids)
    except errdefs.EngineError as error:
        log.warning("container %s: its snapshot: %s", document.id[:12], error.message)


def _mend_etc(stores: Stores, document: Document) -> None:
    """Write anew what of the /etc files a power cut has taken.

    A creation does not wait for the disk to have them, since they follow from the record.
    """
    if document.etc_of != document.id:
        return
    folder = stores.folder(document.id)
    etc = networking.etc(document.config, document.host_config, document.hostname)
    try:
        folder.mkdir(0o710, exist_ok=True)
        etc.mend(folder)
    except OSError as error:
        log.warning("container %s: its /etc files: %s", document.id[:12], error)


def _finish_removal(stores: Stores, document: Document) -> None:
    if stores.runtime.run_dir(document.id).exists():
        return  # `_end_strangers` ends it first
    removal.finish(stores, document.id)


def _folders(stores: Stores) -> list[str]:
    try:
        return sorted(os.listdir(stores.settings.data_root / "containers"))
    except FileNotFoundError:
        return []


def _drop_unclaimed(stores: Stores, key: str) -> None:
    """A snapshot without a record: rubbish if it was never started, else somebody's data."""
    was_started = (stores.folder(key) / "config.json").exists()
    if was_started and not _is_empty(stores, key):
        _set_aside(stores, key)
    stores.snapshots.remove(key)


def _is_empty(stores: Stores, key: str) -> bool:
    root = stores.snapshots.mounts(key)
    return not isinstance(root, BindRoot) and not os.listdir(root.upper)


def _set_aside(stores: Stores, key: str) -> None:
    """Keep what a container wrote, under a name that nothing else uses."""
    root = stores.snapshots.mounts(key)
    source = root.source if isinstance(root, BindRoot) else root.upper
    place = stores.settings.data_root / "set-aside" / f"{key}-{time.time_ns()}"
    try:
        place.parent.mkdir(mode=0o700, exist_ok=True)
        os.rename(source, place)
        os.mkdir(source, 0o755)
    except OSError as error:
        raise errdefs.from_os_error(f"setting aside the files of {key[:12]}", error) from error
    log.warning("files of an unknown container are kept in %s", place)


async def _end_strangers(stores: Stores, known: set[str]) -> list[str]:
    """Kill what runs and is not known; answers the IDs of these, whose files are still there."""
    try:
        running = os.listdir(stores.settings.exec_root / "containers")
    except FileNotFoundError:
        return []
    strangers = sorted(set(running) - known)
    for container_id in strangers:
        found = await stores.runtime.adopt(container_id)
        if isinstance(found, Task):
            with contextlib.suppress(errdefs.EngineError):  # it has just ended
                await found.kill(9)
            await found.wait()
            found.close()
        await to_thread(_sweep_cgroup, stores, container_id)
    return strangers


def _sweep_cgroup(stores: Stores, container_id: str) -> None:
    """End what a shim left running that died before it could write down whom it had started."""
    path = build.cgroup_path(stores.settings.cgroup_parent, container_id)
    if stores.cgroups.exists(path):
        stores.cgroups.remove_tree(path)


async def _adopt(stores: Stores, containers: Containers, container: Container) -> None:
    """Find out what became of a container, and see it to its end if it still runs."""
    found = await stores.runtime.adopt(container.id)
    life = container.document.life
    if isinstance(found, Task):
        await containers.resume(container, found)
        return
    if found is None:
        await to_thread(_sweep_cgroup, stores, container.id)
        stores.runtime.forget(container.id)
        if life.status != RUNNING:
            return
        found = Exit(_UNKNOWN_EXIT, False, timestamp(time.time_ns()), "")
    await containers.end(container, found)
