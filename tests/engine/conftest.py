"""An engine whose runtime, snapshots and images are stand-ins: nothing needs root."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from wherry import errdefs
from wherry.engine.containers import Containers
from wherry.engine.host import Host
from wherry.engine.recovery import recover
from wherry.engine.settings import Settings
from wherry.engine.stores import Stores
from wherry.images.image import Image
from wherry.linux.mounts import OverlayRoot
from wherry.metadata import Database
from wherry.shim.runtime import Exit, Start
from wherry.snapshots.protocol import Usage
from wherry.spec.digest import Digest
from wherry.spec.image import Descriptor, ImageConfig, RootFS, RunConfig

FINISHED_AT = "2026-01-02T03:04:06.000000000Z"


class FakeTask:
    """A process that ends when a test says so, or of a signal it does not ignore."""

    def __init__(self, container_id: str) -> None:
        self.id = container_id
        self.pid = 4321
        self.started_at = "2026-01-02T03:04:05.000000000Z"
        self.signals: list[int] = []
        self.sizes: list[tuple[int, int]] = []
        self.attached: list[object] = []
        self.ignores: set[int] = set()
        self.closed = False
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    def finish(self, code: int = 0, oom_killed: bool = False) -> None:
        if not self._exit.done():
            self._exit.set_result(Exit(code, oom_killed, FINISHED_AT))

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exit)

    async def kill(self, signal: int) -> None:
        if self._exit.done():
            raise errdefs.conflict("it has ended")
        self.signals.append(signal)
        if signal not in self.ignores:
            self.finish(128 + signal)

    async def resize(self, height: int, width: int) -> None:
        self.sizes.append((height, width))

    async def attach(self, attach: object) -> None:
        self.attached.append(attach)

    async def gone(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeRuntime:
    exec_root: Path
    tasks: dict[str, FakeTask] = field(default_factory=dict)
    starts: list[Start] = field(default_factory=list)
    adoptable: dict[str, object] = field(default_factory=dict)
    failure: errdefs.EngineError | None = None
    hangs: bool = False

    def run_dir(self, container_id: str) -> Path:
        return self.exec_root / "containers" / container_id

    async def start(self, start: Start) -> FakeTask:
        self.starts.append(start)
        if self.failure is not None:
            raise self.failure
        if self.hangs:
            await asyncio.Event().wait()
        self.run_dir(start.id).mkdir(parents=True)
        task = FakeTask(start.id)
        self.tasks[start.id] = task
        return task

    async def adopt(self, container_id: str) -> object:
        return self.adoptable.get(container_id)

    def forget(self, container_id: str) -> None:
        shutil.rmtree(self.run_dir(container_id), ignore_errors=True)


class FakeSnapshots:
    """Directories below `root`; a stack is only remembered."""

    name = "overlay"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.failure: errdefs.EngineError | None = None
        self.secured: list[str] = []

    def prepare(self, key: str, stack: Sequence[Digest]) -> OverlayRoot:
        if self.failure is not None:
            raise self.failure
        (self.root / key / "upper").mkdir(parents=True)
        return self.mounts(key)

    def secure(self, key: str) -> None:
        self.secured.append(key)

    def renew(self, key: str, stack: Sequence[Digest]) -> None:
        (self.root / key / "upper").mkdir(parents=True, exist_ok=True)

    def mounts(self, key: str) -> OverlayRoot:
        if key not in self.keys():
            raise errdefs.not_found(f"no snapshot {key}")
        return OverlayRoot(("/lower",), str(self.root / key / "upper"), str(self.root / key))

    def keys(self) -> list[str]:
        return sorted(os.listdir(self.root)) if self.root.exists() else []

    def remove(self, key: str) -> None:
        shutil.rmtree(self.root / key, ignore_errors=True)

    def key_usage(self, key: str) -> Usage:
        return Usage(5, 1)

    def usage(self, diff_id: Digest) -> Usage:
        return Usage(100, 10)

    def status(self) -> list[tuple[str, str]]:
        return []

    def recover(self) -> None:
        pass


class FakeCgroups:
    def exists(self, path: str) -> bool:
        return False


class FakeImages:
    def __init__(self) -> None:
        self.left: list[Digest] = []
        self.run_config = RunConfig(cmd=("sh",), env=("PATH=/bin",))

    def image(self) -> Image:
        layer = Digest.of(b"layer")
        config = ImageConfig(
            RootFS("layers", (layer,)), architecture="amd64", os="linux", config=self.run_config
        )
        target = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"m"), 1)
        image_id = Digest.of(b"config")
        return Image(image_id, (), target, target.digest, config, (layer,), 100, 0)

    def resolve(self, text: str) -> Image:
        if text != "busybox":
            raise errdefs.not_found(f"No such image: {text}:latest")
        return self.image()

    def container_gone(self, image_id: Digest) -> None:
        self.left.append(image_id)


class House:
    """What a test of the engine's verbs works with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runtime = FakeRuntime(root / "exec")
        self.snapshots = FakeSnapshots(root / "snapshots")
        self.images = FakeImages()
        self.database = Database.open(root / "wherry.db")
        self.stores = Stores(
            settings=Settings(root / "data", root / "exec"),
            host=Host(),
            database=self.database,
            snapshots=self.snapshots,
            images=self.images,
            runtime=self.runtime,
            cgroups=FakeCgroups(),
        )
        self.containers = Containers(self.stores)

    def task(self, container_id: str) -> FakeTask:
        return self.runtime.tasks[container_id]

    async def close(self) -> None:
        await self.containers.close()
        await self.stores.settle()
        self.database.close()

    async def reopen(self) -> "House":
        """What a daemon finds that comes after this one's end."""
        await self.close()
        after = House(self.root)
        after.runtime.adoptable = self.runtime.adoptable
        await recover(after.stores, after.containers)
        return after


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    (tmp_path / "data" / "containers").mkdir(parents=True)
    house = House(tmp_path)
    yield house
    await house.close()
