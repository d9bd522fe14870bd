"""What the engine's verbs work with: settings, facts and the rooms below."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from wherry.engine.events import Events
from wherry.engine.host import Host
from wherry.engine.settings import Settings
from wherry.images.store import ImageStore
from wherry.linux.cgroups import Cgroups
from wherry.metadata import Database
from wherry.shim.runtime import Runtime
from wherry.snapshots.protocol import Snapshotter

log = logging.getLogger("wherry.engine")

STEP_SOCKETS: Final = "builds"
"""The folder below the exec root where build steps' ways to agents are."""


@dataclass
class Stores:
    """One engine's rooms, its events, and the work that goes on behind answers already given."""

    settings: Settings
    host: Host
    database: Database
    snapshots: Snapshotter
    images: ImageStore
    runtime: Runtime
    cgroups: Cgroups
    events: Events = field(default_factory=Events)
    _background: set["asyncio.Task[None]"] = field(default_factory=set)

    def folder(self, container_id: str) -> Path:
        """Where the container's own files are: its bundle, its /etc files and its log."""
        return self.settings.data_root / "containers" / container_id

    def log_path(self, container_id: str) -> Path:
        return self.folder(container_id) / f"{container_id}-json.log"

    def in_background(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Let `work` go on by itself; `settle` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def settle(self) -> None:
        """Return when nothing goes on in the background any more."""
        while self._background:
            await asyncio.wait(self._background)
