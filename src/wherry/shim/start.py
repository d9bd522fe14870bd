"""What the engine asks of the runtime: a container to start."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wherry.linux.mounts import RootMount
from wherry.shim.task import Attach
from wherry.spec.runtime import Spec


@dataclass
class Start:
    """A container to start. `bundle` holds `spec` as config.json; its root.path is not used,
    `rootfs` is.

    Without a `bundle` nothing of the spec is written to any disk. Its mounts of the types `layers`
    and `content` (`libcontainer.given`) show `layers` and `contents`, which don't go to a disk
    either; neither these nor a missing bundle are for a container in a user namespace, or in the
    processes of another. With `notes_mountpoints` the shim's folder tells which were made.

    Without `log_path` nothing is logged. `stdin_once` closes standard input when the first
    client's input has ended. `patient`: at the end, nothing is kept from clients that are slow to
    read, however long they take; for output that is nowhere else. The program does not run before
    `ready` is done, if there is one; what that raises, the start does.
    """

    id: str
    bundle: Path | None
    spec: Spec
    rootfs: RootMount
    log_path: Path | None = None
    log_max_size: int = 10_000_000
    log_max_files: int = 3
    open_stdin: bool = False
    stdin_once: bool = False
    attaches: list[Attach] = field(default_factory=list)
    layers: Sequence[RootMount] = ()
    contents: Sequence[bytes] = field(default=(), repr=False)
    notes_mountpoints: bool = False
    patient: bool = False
    ready: asyncio.Future[None] | None = None

    @property
    def binds_of_others(self) -> bool:
        """Whether something of the host is mounted that its owner may want back at the end."""
        own = f"{self.bundle}/"
        return any(
            mount.get("type") == "bind" and not mount.get("source", "").startswith(own)
            for mount in self.spec.get("mounts", [])
        )
