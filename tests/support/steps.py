"""A bench to run a build's steps at: an engine with a stack of layers, without a builder."""

import asyncio
import contextlib
import io
import os
import secrets
import tarfile
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import busybox
import leaks

from wherry.build.protocols import Ended, RunStep, StepMount
from wherry.engine.building.executor import StepExecutor
from wherry.engine.engine import Engine
from wherry.engine.settings import Settings
from wherry.engine.stores import Stores
from wherry.spec.digest import Digest

PLACES = ("/etc", "/dev", "/proc", "/sys", "/tmp", "/root")


def layer(*files: tuple[str, bytes | str | None, int]) -> bytes:
    """A layer's tar: (path, content, mode); None is a directory, a text is a symlink's."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as writer:
        for path, content, mode in files:
            entry = tarfile.TarInfo(path)
            entry.mode, entry.mtime = mode, 1_000_000
            if content is None:
                entry.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size = len(content)
            writer.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return tar.getvalue()


def base(places: Iterable[str] = PLACES) -> bytes:
    """busybox, its links, and directories."""
    words = """sh cat echo ls id touch mkdir rm mv ln sleep env grep true chmod rmdir stat nc dd
        readlink hostname kill find seq yes tail ip cp"""
    names = words.split()
    return layer(
        ("bin", None, 0o755),
        ("bin/busybox", busybox.find().read_bytes(), 0o755),
        *((f"bin/{name}", "busybox", 0o777) for name in names),
        *((place.strip("/"), None, 0o755) for place in places),
    )


@dataclass
class Ran:
    """A step that has ended. `layer` are the names in its layer's tar, with `/` after those of
    directories."""

    ended: Ended
    output: str
    errors: str
    layer: set[str]


@dataclass
class Heard:
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)

    def __call__(self, stream: str, data: bytes) -> None:
        (self.stdout if stream == "stdout" else self.stderr).extend(data)


class Bench:
    """Runs steps on a stack."""

    def __init__(self, engine: Engine, stores: Stores, where: Settings) -> None:
        self.engine, self.stores, self.where = engine, stores, where
        self.executor = StepExecutor(stores)
        self.stack: list[Digest] = []

    def add(self, *tars: bytes) -> tuple[Digest, ...]:
        """Store layers; their diffIDs."""
        digests = [Digest.of(tar) for tar in tars]
        for digest, tar in zip(digests, tars, strict=True):
            self.stores.snapshots.apply(digest, io.BytesIO(tar))
        return tuple(digests)

    def step(self, *args: str, **options: object) -> RunStep:
        wanted = {"env": ("PATH=/bin",), "cwd": "/"} | options
        return RunStep(secrets.token_hex(32), args, **wanted)

    async def run(self, *args: str, mounts: Iterable[StepMount] = (), **options: object) -> Ran:
        """A command of several words, or one text for a shell."""
        words = args if len(args) > 1 else ("sh", "-c", *args)
        return await self.run_step(self.step(*words, mounts=tuple(mounts), **options))

    async def run_step(self, step: RunStep) -> Ran:
        heard = Heard()
        async with self.prepared(step):
            ended = await self.executor.run(step, heard)
            changed = self.changed(step)
        text = heard.stdout.decode(errors="replace"), heard.stderr.decode(errors="replace")
        return Ran(ended, *text, changed)

    @contextlib.asynccontextmanager
    async def prepared(self, step: RunStep) -> AsyncIterator[None]:
        snapshots = self.stores.snapshots
        await asyncio.to_thread(snapshots.prepare, step.id, self.stack)
        try:
            yield
        finally:
            await asyncio.to_thread(snapshots.remove, step.id)

    def changed(self, step: RunStep) -> set[str]:
        with tarfile.open(fileobj=self.stores.snapshots.diff(step.id), mode="r|") as tar:
            return {entry.name + "/" * entry.isdir() for entry in tar}

    def run_dirs(self) -> list[str]:
        return os.listdir(self.where.exec_root / "containers")

    def left(self) -> list[str]:
        """What a step could leave: of its own, not of the stack it ran upon."""
        found = list(self.stores.snapshots.keys()) + self.run_dirs()
        found += leaks.mounts(str(self.where.data_root)) + leaks.mounts(str(self.where.exec_root))
        found += [str(path) for path in self.where.exec_root.glob("builds/*")]
        found += os.listdir(self.where.data_root / "containers")
        return found

    async def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def opened(where: Settings) -> AsyncIterator[Bench]:
    engine = await Engine.open(where)
    try:
        bench = Bench(engine, engine._stores, where)
        bench.stack = list(bench.add(base()))
        yield bench
    finally:
        await engine.close()
