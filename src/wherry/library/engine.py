"""`wherry.Engine`: an engine in the program itself, without daemon and socket."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wherry import errdefs, threads
from wherry.engine.engine import Engine as Backend
from wherry.engine.ownership import LOCK_FILE, InUseError, Lock
from wherry.engine.settings import Settings
from wherry.library.anyengine import AnyEngine
from wherry.library.attaching import Attachment, SocketStream
from wherry.library.places import DEFAULT_ROOT, Places, choose
from wherry.linux import cgroups

if TYPE_CHECKING:
    from wherry.engine.model import AttachOptions, EventOptions, EventStream

# A library says nothing of itself, unless the program asks logging for it.
logging.getLogger("wherry").addHandler(logging.NullHandler())

_DEFAULT_HOST: Final = "unix:///run/wherry/wherry.sock"


class Engine(AnyEngine):
    """An engine of this program's own, which has the root for itself as long as it is open.

    `root` keeps images and containers; by default it is the daemon's. `exec_root` and
    `cgroup_parent` follow from it. `storage_driver` is erofs, overlay or native, by default what
    works. It needs root. It installs no signal handler, configures no logging, changes nothing of
    the process (its umask, its limits, its directory), and never forks: a program of its own, the
    launcher, does. All methods are to be called on the loop that has opened it.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        exec_root: str | os.PathLike[str] | None = None,
        cgroup_parent: str | None = None,
        storage_driver: str | None = None,
        labels: Sequence[str] = (),
        stop_timeout: int | None = None,
    ) -> None:
        super().__init__(stop_timeout=stop_timeout)
        self.root = Path(os.path.abspath(root)) if root is not None else DEFAULT_ROOT
        self._wanted = (exec_root, cgroup_parent)
        self._storage_driver = storage_driver
        self._labels = labels
        self._backend: Backend | None = None
        self._undo = contextlib.AsyncExitStack()

    @property
    def backend(self) -> Backend:
        """The very objects that a daemon serves: `containers`, `images`, `builds`, `system`.

        What is started by these is not stopped when the engine is left.
        """
        if self._backend is None:
            raise errdefs.unavailable(
                f"the engine of {self.root} is not open: it is inside of its `async with` only"
            )
        return self._backend

    async def attach(self, ref: str, options: AttachOptions) -> Attachment:
        attached = await self.backend.containers.attach(ref, options)
        assert attached.socket is not None, "a stream was asked for"
        return Attachment(await SocketStream.over(attached.socket), tty=attached.tty)

    async def listen(self, options: EventOptions) -> EventStream:
        return self.backend.system.events(options)

    async def _open(self) -> None:
        if self._backend is not None:
            raise errdefs.conflict(f"the engine of {self.root} is open already")
        if os.geteuid() != 0:
            raise errdefs.forbidden(
                "an engine needs root: run the program as root, or wherry.connect() to a daemon"
            )
        if not sys.executable:
            raise errdefs.unavailable(
                "an engine needs a Python to execute; sys.executable has none"
            )
        async with contextlib.AsyncExitStack() as undo:
            places = self._own(undo)
            await undo.enter_async_context(threads.own_threads())
            undo.push_async_callback(threads.to_thread, _remove_group, places)
            self._backend = await Backend.open(self._settings(places))
            self._undo = undo.pop_all()

    async def _close(self) -> None:
        async with self._undo:
            backend, self._backend = self.backend, None
            await backend.close()

    def _own(self, undo: contextlib.ExitStack | contextlib.AsyncExitStack) -> Places:
        """Lock root and exec root."""
        try:
            lock = Lock(self.root)
            undo.callback(lock.release)
            places = choose(self.root, *self._wanted, lock.before)
            notes = {"program": sys.argv[0].replace("\n", " "), **places.notes()}
            lock.note(notes)
            if places.exec_root != self.root:
                folder = places.exec_root
                second = Lock(folder, notes)
                undo.callback(_give_up, folder, second)
        except InUseError as error:
            raise _in_use(error) from error
        return places

    def _settings(self, places: Places) -> Settings:
        return Settings(
            data_root=self.root,
            exec_root=places.exec_root,
            cgroup_parent=places.cgroup_parent,
            storage_driver=self._storage_driver,
            labels=self._labels,
        )


def _give_up(folder: Path, lock: Lock) -> None:
    """The exec root goes with its lock if nothing runs on there."""
    for entry in [*folder.iterdir()]:
        with contextlib.suppress(OSError):
            entry.rmdir()
    empty = [entry.name for entry in folder.iterdir()] == [LOCK_FILE]
    lock.release(remove=empty)
    if empty:
        with contextlib.suppress(OSError):  # another has just come
            folder.rmdir()


def _remove_group(places: Places) -> None:
    """It stays if something runs on in there; the shims of what has just ended need a moment."""
    if any((places.exec_root / "containers").glob("*")):
        return
    with contextlib.suppress(errdefs.EngineError, OSError):
        cgroups.detect().remove(places.cgroup_parent)


def _in_use(error: InUseError) -> errdefs.EngineError:
    """The same, in words for a program."""
    if "program" in error.notes:
        return error
    host = error.notes.get("host", _DEFAULT_HOST)
    told = "" if host == _DEFAULT_HOST else repr(host)
    return InUseError(
        f"{error.folder} is in use by a daemon, process {error.pid or 'unknown'}: "
        f"wherry.connect({told}) has the same interface; or choose another root",
        error.folder,
        error.pid,
        error.notes,
    )
