"""The engine: everything together, without a server.

    engine = await Engine.open(Settings(data_root, exec_root))
    created = await engine.containers.create("web", request, None)
    await engine.containers.start(created.id)
    ...
    await engine.close()                    # what runs goes on

One engine owns a data root; the daemon's lock sees to that. It installs no signal handler, and
configures no logging.
"""

import contextlib

from wherry import errdefs
from wherry.content.store import ContentStore
from wherry.engine import marker, recovery
from wherry.engine.building.workshop import Workshop
from wherry.engine.builds import Builds
from wherry.engine.containers import Containers
from wherry.engine.disk_usage import Accounts
from wherry.engine.forecast import usual_container
from wherry.engine.host import Host
from wherry.engine.images import Images
from wherry.engine.settings import Settings
from wherry.engine.stores import Stores
from wherry.engine.system import System
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.linux import cgroups
from wherry.metadata import Database
from wherry.shim.runtime import Runtime
from wherry.snapshots import drivers
from wherry.threads import to_thread


class Engine:
    """The four backends of the Engine API over one data root."""

    def __init__(self, stores: Stores, engine_id: str) -> None:
        self._stores = stores
        self.containers = Containers(stores)
        self.images = Images(stores, self.containers.uses)
        self._workshop = Workshop(stores, self.containers.uses)
        self.builds = Builds(stores, self._workshop, self.containers.uses)
        accounts = Accounts(stores, self.containers, self.images, self.builds)
        self.system = System(stores, self.containers, accounts, engine_id)

    @classmethod
    async def open(cls, settings: Settings) -> "Engine":
        """Open the data root, which is made if it isn't there, and recover what it holds.

        Containers that run are found again. Raises EngineError if the root can't be used.
        """
        runtime = Runtime(settings.exec_root, settings.cgroup_parent)
        async with contextlib.AsyncExitStack() as undo:
            # The launcher loads its modules while the stores are opened.
            await runtime.open()
            undo.push_async_callback(runtime.close)
            stores = await to_thread(_open_stores, settings, runtime)
            undo.callback(stores.database.close)
            runtime.foresee(usual_container(stores.host, settings))
            engine_id = await stores.database.read_async(lambda tx: tx.data_root_id)
            engine = cls(stores, engine_id)
            undo.push_async_callback(engine.containers.close)
            await recovery.recover(stores, engine.containers)
            await to_thread(stores.images.recover)
            undo.pop_all()
        return engine

    def reconfigure(self, settings: Settings) -> None:
        """Let other labels, another timeout and the like hold from now on.

        The roots, the storage driver and the cgroup have to be what they were at the opening.
        """
        self._stores.settings = settings

    async def close(self) -> None:
        """Finish what is under way and let go. Containers go on running."""
        self.system.end_events()
        await self.containers.close()
        self.builds.close()
        await self._workshop.close()
        await self._stores.settle()
        await self._stores.runtime.close()
        await to_thread(self._stores.database.close)


def _open_stores(settings: Settings, runtime: Runtime) -> Stores:
    root = settings.data_root
    try:
        root.mkdir(0o711, parents=True, exist_ok=True)
        (root / "containers").mkdir(0o710, exist_ok=True)
    except OSError as error:
        raise errdefs.from_os_error(f"opening the data root {root}", error) from error
    marker.make(root)
    database = Database.open(root / "wherry.db")
    try:
        content = ContentStore(root / "content")
        snapshots = drivers.choose(
            root, settings.storage_driver, opener(content, database), runtime.release
        )
        images = ImageStore(content, snapshots, database)
        return Stores(
            settings=settings,
            host=Host.look(),
            database=database,
            snapshots=snapshots,
            images=images,
            runtime=runtime,
            cgroups=cgroups.detect(),
        )
    except BaseException:
        database.close()
        raise
