"""Images, as a program has them in hand."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from wherry import errdefs
from wherry.engine.model import ImportRequest
from wherry.engine.outflow import outflow
from wherry.hostimage import Archive as HostArchive
from wherry.hostimage import RunConfig, Wanted, collect, image_name
from wherry.library.loglines import closing_early
from wherry.reference import parse
from wherry.threads import to_thread

if TYPE_CHECKING:
    from wherry.engine.model import (
        ImageDeleteItem,
        ImageHistoryItem,
        ImageInspect,
        ImageSummary,
        JSONMessage,
    )
    from wherry.library.anyengine import AnyEngine

Archive = str | os.PathLike[str] | AsyncIterator[bytes]
"""A file's path, or bytes as they come."""

_PIECE: Final = 1 << 20
_SAID: Final = ("Loaded image: ", "Loaded image ID: ")


class Images:
    """The engine's images. A `ref` is a name, an ID, or the beginning of one."""

    def __init__(self, engine: AnyEngine) -> None:
        self._engine = engine

    async def load(
        self, archive: Archive, *, on_progress: Callable[[JSONMessage], None] | None = None
    ) -> Sequence[str]:
        """Load what `docker save` or `wherry save` has written, compressed or not.

        The images' names, or the IDs of those without.
        """
        loaded: list[str] = []
        async with _opened(archive) as pieces:
            messages = self._engine.backend.images.load(pieces, on_progress is None)
            async for message in messages:
                if message.error:
                    raise errdefs.invalid(message.error)
                text = message.stream or ""
                loaded += [text.removeprefix(said).strip() for said in _SAID if said in text]
                if on_progress:
                    on_progress(message)
        return loaded

    async def save(self, refs: str | Sequence[str], path: str | os.PathLike[str]) -> None:
        """Write images to a file, which `load` and `docker load` read."""
        wanted = [refs] if isinstance(refs, str) else refs
        async with closing_early(self._engine.backend.images.save(wanted)) as pieces:
            await _write(path, pieces)

    async def import_tar(
        self,
        archive: Archive,
        name: str = "",
        *,
        message: str = "",
        changes: Sequence[str] = (),
        platform: str = "",
    ) -> str:
        """Make an image of a root file system's tar; its ID. `changes` are Dockerfile lines."""
        request = ImportRequest(
            repo=name, message=message, changes=list(changes), platform=platform
        )
        async with _opened(archive) as pieces:
            return await self._engine.backend.images.import_image(pieces, request)

    async def from_host(
        self,
        name: str,
        programs: str | Sequence[str] = (),
        *,
        additions: Mapping[str, str | os.PathLike[str]] | None = None,
        extras: Sequence[str] = (),
        shell: bool = False,
        cmd: Sequence[str] = (),
        entrypoint: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Make an image of programs of this host, with all that they need: no network, no registry.

        A Python comes with its standard library. `additions` are further files and folders, by
        where they are in the image; `extras` are `certs`, `tz` and so on (`wherry image from-host
        --help`); `shell` adds one. Its name. NotFound for what is not here.
        """
        wanted = Wanted(
            programs=[programs] if isinstance(programs, str) else programs,
            additions=[(os.path.abspath(here), at) for at, here in (additions or {}).items()],
            extras=extras,
            shell=shell,
        )
        found = await to_thread(collect, wanted)
        run = RunConfig(
            env={**found.environment, **(env or {})},
            cmd=cmd or ([] if entrypoint else found.programs[:1]),
            entrypoint=entrypoint,
        )
        full = image_name(name)
        archive = HostArchive(found.tree, run, [full], f"wherry: {' '.join(wanted.programs)}")
        await self.load(outflow(_made(archive)))
        return full

    async def list(
        self,
        *,
        all: bool = False,  # noqa: A002 - the API's own word
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> Sequence[ImageSummary]:
        wanted = {name: list(values) for name, values in (filters or {}).items()}
        return await self._engine.backend.images.list(all, wanted, False, False)

    async def inspect(self, ref: str) -> ImageInspect:
        return await self._engine.backend.images.inspect(ref)

    async def exists(self, ref: str) -> bool:
        try:
            await self.inspect(ref)
        except errdefs.EngineError as error:
            if error.kind is errdefs.Kind.NOT_FOUND:
                return False
            raise
        return True

    async def history(self, ref: str) -> Sequence[ImageHistoryItem]:
        """The steps that made it, the newest first."""
        return await self._engine.backend.images.history(ref)

    async def tag(self, ref: str, name: str) -> None:
        """Give an image a further name."""
        reference = parse(name)
        await self._engine.backend.images.tag(ref, reference.familiar_name(), reference.tag or "")

    async def remove(self, ref: str, *, force: bool = False) -> Sequence[ImageDeleteItem]:
        """Take away a name, and the image with its last."""
        return await self._engine.backend.images.delete(ref, force, False)


def _made(archive: HostArchive) -> Generator[bytes]:
    try:
        yield from filter(None, archive.pieces())
    except OSError as error:
        raise errdefs.from_os_error("reading a file of this host", error) from error


@contextlib.asynccontextmanager
async def _opened(archive: Archive) -> AsyncIterator[AsyncIterator[bytes]]:
    if isinstance(archive, AsyncIterator):
        async with closing_early(archive) as pieces:
            yield pieces
        return
    path = Path(archive)
    try:
        file = await to_thread(path.open, "rb")
    except OSError as error:
        raise errdefs.from_os_error(f"opening {path}", error) from error
    try:
        yield _pieces(path, file)
    finally:
        file.close()


async def _pieces(path: Path, file: BinaryIO) -> AsyncIterator[bytes]:
    while True:
        reading = asyncio.ensure_future(to_thread(file.read, _PIECE))
        try:
            piece = await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.gather(reading, return_exceptions=True)  # the file is closed after us
            raise
        except OSError as error:
            raise errdefs.from_os_error(f"reading {path}", error) from error
        if not piece:
            return
        yield piece


async def _write(path: str | os.PathLike[str], pieces: AsyncIterator[bytes]) -> None:
    """Into a file of another name first: there is never half an archive."""
    target = Path(path)
    made = target.with_name(f"{target.name}.{os.urandom(4).hex()}")
    try:
        with made.open("xb") as file:
            async for piece in pieces:
                await to_thread(file.write, piece)
        made.replace(target)
    except OSError as error:
        raise errdefs.from_os_error(f"writing {target}", error) from error
    finally:
        made.unlink(missing_ok=True)
