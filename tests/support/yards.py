"""A builder over real stores, in whose steps a function of the test's takes a program's place."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import layertars

from wherry.build.builder import Builder
from wherry.build.cache import Cache
from wherry.build.dockerfile import apply_changes
from wherry.build.events import Built, Event, VertexCached, VertexStarted
from wherry.build.job import Surroundings
from wherry.build.protocols import Base, CacheRequest, Ended, Output, RunStep
from wherry.build.request import BuildRequest
from wherry.build.solver import Solver
from wherry.content.store import ContentStore
from wherry.images.importing import Described
from wherry.images.store import ImageStore
from wherry.images.unpacking import opener
from wherry.layers.files import walk
from wherry.linux.mounts import BindRoot
from wherry.metadata import Database
from wherry.reference import parse
from wherry.snapshots.erofs import ErofsSnapshotter
from wherry.spec import platform as platforms
from wherry.spec.digest import Digest
from wherry.spec.image import ImageConfig, RunConfig, decode_config
from wherry.spec.platform import Platform

Run = Callable[[RunStep, Path, Output], Awaitable[int]]
"""What a step does to the directory that its changes are in; answers its exit code."""


@dataclass
class Step:
    """A RUN that was really done."""

    args: tuple[str, ...]
    env: dict[str, str]
    step: RunStep


@dataclass
class Yard:
    """Builds, and knows what was done for it."""

    builder: Builder
    solver: Solver
    cache: Cache
    images: ImageStore
    snapshots: ErofsSnapshotter
    database: Database
    content: ContentStore
    steps: list[Step] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    run: Run | None = None

    async def build(
        self, dockerfile: str, files: Mapping[str, str] | None = None, **wanted: object
    ) -> Built:
        """Build with a context of `files`; `wanted` are members of the request."""
        members = {"Dockerfile": dockerfile, **(files or {})}
        tar = layertars.archive(
            *(layertars.file(name, text.encode()) for name, text in members.items())
        )
        self.events.clear()
        self.steps.clear()
        request = BuildRequest(**wanted)  # type: ignore[arg-type] # whatever the test wants
        return await self.builder.build(request, io.BytesIO(tar), self.events.append)

    def config(self, built: Built) -> ImageConfig:
        with self.content.open(Digest(built.image)) as stream:
            return decode_config(stream.read())

    def files(self, built: Built) -> dict[str, bytes]:
        """The regular files of the image."""
        with self.snapshots.browse(self.config(built).rootfs.diff_ids) as tree:
            return {
                path.decode(): tree.open(path).read()
                for path, node in walk(tree)
                if node.kind == "file"
            }

    def ran(self) -> list[str]:
        """The commands of the steps that were done."""
        return [step.args[-1] for step in self.steps]

    def cached(self) -> list[str]:
        """The instructions that were taken out of the cache."""
        ids = {event.id for event in self.events if isinstance(event, VertexCached)}
        return [
            event.instruction
            for event in self.events
            if isinstance(event, VertexStarted) and event.id in ids
        ]


class _Executor:
    def __init__(self, snapshots: ErofsSnapshotter) -> None:
        self._snapshots = snapshots
        self.yard: Yard | None = None

    async def run(self, step: RunStep, output: Output) -> Ended:
        assert self.yard is not None
        env = dict(entry.partition("=")[::2] for entry in step.env)
        self.yard.steps.append(Step(step.args, env, step))
        root = self._snapshots.mounts(step.id)
        assert not isinstance(root, BindRoot)
        run = self.yard.run or shell
        return Ended(await run(step, Path(root.upper), output))


async def shell(step: RunStep, upper: Path, output: Output) -> int:
    """`echo WORD > FILE`, `say WORD`, `exit CODE` and `true`, joined with `&&`."""
    for command in step.args[-1].split("&&"):
        match command.split():
            case ["echo", *words, ">", name]:
                path = upper / name.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(" ".join(words))
            case ["say", *words]:
                output("stdout", " ".join(words).encode() + b"\n")
            case ["exit", code]:
                return int(code)
            case ["true"]:
                pass
            case _:
                raise AssertionError(f"the test's shell knows no {command!r}")
    return 0


class _Caches:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.asynccontextmanager
    async def acquire(self, request: CacheRequest) -> AsyncIterator[Path]:
        yield self._folder


class _Images:
    def __init__(self, images: ImageStore) -> None:
        self._images = images

    async def resolve(self, name: str, platform: Platform, pull: bool) -> Base:
        image = await asyncio.to_thread(self._images.resolve, name)
        return Base(image.id, image.config, image.diff_ids, name)


def make_yard(folder: Path) -> Yard:
    """A yard with the image `base`, which has /etc/passwd and /bin/sh."""
    database = Database.open(folder / "wherry.db")
    content = ContentStore(folder / "content")
    snapshots = ErofsSnapshotter(folder / "erofs", opener(content, database))
    images = ImageStore(content, snapshots, database)
    executor = _Executor(snapshots)
    builds = folder / "build"
    builds.mkdir()
    solver = Solver(images.collector)
    around = Surroundings(
        collector=images.collector,
        solver=solver,
        executor=executor,
        caches=_Caches(folder),
        images=_Images(images),
        host=platforms.host(),
        folder=builds,
    )
    cache = Cache(images.collector, lambda: ())
    yard = Yard(Builder(around), solver, cache, images, snapshots, database, content)
    executor.yard = yard
    add_image(yard, "base")
    return yard


def add_image(yard: Yard, name: str, *changes: str) -> None:
    """An image of a few files, with these changes of its configuration."""
    tar = layertars.archive(
        layertars.file("etc/passwd", b"root:x:0:0::/:\nann:x:1000:1001::/home/ann:/bin/sh\n"),
        layertars.file("etc/group", b"root:x:0:\nstaff:x:50:ann\n"),
        layertars.file("bin/sh", b"#!", mode=0o755),
    )
    config = apply_changes(RunConfig(), changes)
    described = Described(platforms.host(), parse(name).tagged(), config=config)
    yard.images.import_image(io.BytesIO(tar), described)
