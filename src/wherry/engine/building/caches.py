"""Folders that outlive builds: `RUN --mount=type=cache`.

    <data root>/build/caches/
      <identity>-<number>/       one folder of a cache; more than one if it is used privately
        files/                   what the step sees
        about.json               what it is, and when it was used last
      new-<random>/              being made; renamed when it is whole
      gone-<random>/             being deleted

A cache is known by its id and by what it begins with, as in BuildKit: two mounts of one id that
begin with other files, or another owner, are two caches.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from wherry import errdefs
from wherry.build.protocols import CacheRequest
from wherry.build.threads import Stop, finish, in_thread
from wherry.build.usage import CacheEntry
from wherry.content.disk import Reserve, make_directory, sync_directory
from wherry.engine.building.filling import fill
from wherry.engine.document import timestamp
from wherry.engine.stores import Stores, log
from wherry.faults import fault
from wherry.snapshots.tree import usage_of
from wherry.threads import to_thread

_FILES: Final = "files"
_ABOUT: Final = "about.json"
_NEW: Final = "new-"
_GONE: Final = "gone-"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class About(msgspec.Struct, kw_only=True):
    """The content of about.json. Times in nanoseconds of the epoch."""

    version: int = 1
    id: str
    created: int
    used: int
    uses: int = 0


@dataclass(eq=False)
class Folder:
    """One folder of a cache, and who has it now; `alone`, who has it for itself."""

    name: str
    about: About
    holders: int = 0
    alone: asyncio.Task[object] | None = None
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def identity(self) -> str:
        return self.name.rpartition("-")[0]


class CacheStore:
    """Keeps the folders; see `build.protocols.CacheFolders`. Used on one event loop."""

    def __init__(self, stores: Stores, root: Path) -> None:
        self._root = root
        self._snapshots = stores.snapshots
        self._folders: dict[str, Folder] = {}
        self._changed = asyncio.Condition()
        self._open = False

    # --- for builds -------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def acquire(self, request: CacheRequest) -> AsyncIterator[Path]:
        """A folder, for as long as the context lasts. `shared` is had with other shared users,
        `private` alone, one more being made while others have all there are; `locked` alone, and
        others are waited for. A task that has one alone and asks again gets the same: a step may
        mount a cache in two places. Raises EngineError."""
        await self._load()
        folder = await self._take(request)
        try:
            yield self._root / folder.name / _FILES
        finally:
            await finish(asyncio.ensure_future(self._release(folder)))

    async def _take(self, request: CacheRequest) -> Folder:
        identity = _identity(request)
        async with self._changed:
            while True:
                known = [one for one in self._folders.values() if one.identity == identity]
                folder = _fitting(known, request.sharing == "shared", asyncio.current_task())
                if folder is None and not (known and request.sharing == "locked"):
                    # Made while the lock is held: who wants the same one finds it whole.
                    folder = await self._make(request, f"{identity}-{_free_number(known)}")
                if folder is not None:
                    folder.holders += 1
                    if request.sharing != "shared":
                        folder.alone = asyncio.current_task()
                    return folder
                await self._changed.wait()

    async def _release(self, folder: Folder) -> None:
        # Written while it is held still: nobody removes it meanwhile.
        async with folder.writing:
            folder.about.used = time.time_ns()
            folder.about.uses += 1
            try:
                await to_thread(_write_about, self._root / folder.name, folder.about)
            except errdefs.EngineError as error:
                log.warning("build cache %s: %s", folder.about.id, error.message)
        async with self._changed:
            folder.holders -= 1
            if not folder.holders:
                folder.alone = None
            self._changed.notify_all()

    async def _make(self, request: CacheRequest, name: str) -> Folder:
        now = time.time_ns()
        about = About(id=request.id, created=now, used=now)
        await in_thread(lambda stop: self._make_files(request, name, about, stop))
        folder = self._folders[name] = Folder(name, about)
        return folder

    def _make_files(self, request: CacheRequest, name: str, about: About, stop: Stop) -> None:
        """In a thread. A folder has all it begins with, or it is not there."""
        new = self._root / f"{_NEW}{secrets.token_hex(8)}"
        try:
            new.mkdir(mode=0o700)
            files = new / _FILES
            files.mkdir(mode=0o700)
            if request.stack:
                self._fill(files, request, stop)
            else:
                os.chown(files, request.uid, request.gid)
                files.chmod(request.mode)
            _write_about(new, about)
            sync_directory(new)
            fault("build.cache.before-rename")
            new.rename(self._root / name)
            fault("build.cache.after-rename")
            sync_directory(self._root)
        except OSError as error:
            raise errdefs.from_os_error(f"making the build cache {request.id}", error) from error
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _fill(self, files: Path, request: CacheRequest, stop: Stop) -> None:
        target = os.open(files, _DIRECTORY)
        try:
            with self._snapshots.browse(request.stack) as tree:
                source = os.fsencode(request.source.strip("/"))
                fill(target, tree, source, Reserve(self._root), stop)
        finally:
            os.close(target)

    # --- for people -------------------------------------------------------------------------------

    async def entries(self) -> list[CacheEntry]:
        """Every folder with its size, sorted by ID."""
        await self._load()
        folders = sorted(self._folders.values(), key=lambda folder: folder.name)
        return await to_thread(lambda: [self._entry(folder) for folder in folders])

    def _entry(self, folder: Folder) -> CacheEntry:
        about = folder.about
        return CacheEntry(
            id=folder.name,
            type="exec.cachemount",
            description=f'cached mount with id "{about.id}"',
            size=self._size(folder),
            created_at=timestamp(about.created),
            in_use=folder.holders > 0,
            last_used_at=timestamp(about.used),
            usage_count=about.uses,
        )

    def _size(self, folder: Folder) -> int:
        """In bytes; what goes meanwhile is not counted, as a step may be at work in there."""
        try:
            files = os.open(self._root / folder.name / _FILES, _DIRECTORY)
            try:
                return usage_of(files).bytes
            finally:
                os.close(files)
        except (OSError, errdefs.EngineError):
            return 0

    async def remove(self, ids: Collection[str]) -> list[str]:
        """Remove those of the folders that nobody has; answers their IDs."""
        await self._load()
        async with self._changed:
            going = [
                folder
                for name in ids
                if (folder := self._folders.get(name)) is not None and not folder.holders
            ]
            for folder in going:
                del self._folders[folder.name]
            await in_thread(lambda _: self._remove([folder.name for folder in going]))
        return [folder.name for folder in going]

    def _remove(self, names: Collection[str]) -> None:
        """In a thread. A rename makes a folder vanish as a whole."""
        for name in names:
            gone = self._root / f"{_GONE}{secrets.token_hex(8)}"
            try:
                (self._root / name).rename(gone)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise errdefs.from_os_error(f"removing the build cache {name}", error) from error
            fault("build.cache.after-removal")
            shutil.rmtree(gone, ignore_errors=True)

    # --- what is there ----------------------------------------------------------------------------

    async def _load(self) -> None:
        """Look once what earlier daemons have kept, and clear what they left half done."""
        async with self._changed:
            if not self._open:
                self._folders = await in_thread(lambda _: self._look())
                self._open = True

    def _look(self) -> dict[str, Folder]:
        found: dict[str, Folder] = {}
        try:
            make_directory(self._root)
            for name in sorted(os.listdir(self._root)):
                path = self._root / name
                about = None if name.startswith((_NEW, _GONE)) else _read_about(path)
                if about is None:
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    found[name] = Folder(name, about)
        except OSError as error:
            raise errdefs.from_os_error("reading the build caches", error) from error
        return found


def _identity(request: CacheRequest) -> str:
    """What the request's folders are named by: 32 hex digits."""
    begins = [*request.stack, request.source] if request.stack else []
    owner = [] if request.stack else [request.mode, request.uid, request.gid]
    text = json.dumps([request.id, begins, owner])
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]


def _fitting(known: list[Folder], shared: bool, task: asyncio.Task[object] | None) -> Folder | None:
    """One that can be had at once; what can be joined is, before another is taken."""
    for folder in known:
        if folder.holders and (folder.alone is task if folder.alone else shared):
            return folder
    return next((folder for folder in known if not folder.holders), None)


def _free_number(known: list[Folder]) -> int:
    taken = {int(folder.name.rpartition("-")[2]) for folder in known}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def _read_about(folder: Path) -> About | None:
    """None for what is no cache's folder."""
    try:
        about = msgspec.json.decode((folder / _ABOUT).read_bytes(), type=About)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    numbered = folder.name.rpartition("-")[2].isdecimal()
    return about if about.version == 1 and numbered else None


def _write_about(folder: Path, about: About) -> None:
    """Raises EngineError."""
    new = folder / f"{_ABOUT}.new"
    try:
        with new.open("wb") as file:
            file.write(msgspec.json.encode(about))
            file.flush()
            os.fsync(file.fileno())
        new.rename(folder / _ABOUT)
    except OSError as error:
        raise errdefs.from_os_error("writing a build cache's record", error) from error
