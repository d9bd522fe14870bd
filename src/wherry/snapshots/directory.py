"""The directory of a driver, and what is the same in all of them.

<root>/                      0700: a layer holds set-ID programs, which are nobody's but a
  layers/<hex>/              container's (CVE-2021-41103)
    ...                      the driver's
  active/<key>/
    stack                    diffIDs, bottom first, a line each
    ...                      the driver's
  ingest/<random>/           what is being made; renamed when it is whole, cleared by recover
  trash/<random>/            what is being deleted
"""

import contextlib
import os
import re
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, ClassVar, Final

from wherry import errdefs
from wherry.content.disk import make_directory
from wherry.faults import fault
from wherry.layers.tar import Readable
from wherry.linux.mounts import RootMount
from wherry.snapshots.protocol import Received, Usage
from wherry.snapshots.trash import Trash, put_aside
from wherry.spec.digest import Digest

_KEY: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}\Z")
_MAX_ENTRIES: Final = 4_000_000

OpenBlob = Callable[[Digest], BinaryIO]


class DirectorySnapshotter(ABC):
    """Layers and active snapshots by name, each seen only when it is whole; a driver adds what
    they are."""

    name: ClassVar[str]
    keeps_tar: ClassVar[bool]

    def __init__(
        self,
        root: Path,
        open_blob: OpenBlob,
        reason: str = "",
        max_entries: int | None = None,
    ) -> None:
        """`root` is the driver's own directory, made if it is missing. Raises EngineError."""
        self.root = root
        self.reason = reason
        self._open_blob = open_blob
        self._max_entries = max_entries or _MAX_ENTRIES
        self._layers = root / "layers"
        self._active = root / "active"
        self._ingest = root / "ingest"
        self._trash = Trash(root / "trash")
        # Guards what is decided by more than one look at the disk: a layer in use is not removed.
        self._lock = threading.Lock()
        self._applying: set[Digest] = set()
        self._applied = threading.Condition()
        self._preparing: dict[str, tuple[Digest, ...]] = {}
        try:
            for path in (root, self._layers, self._active, self._ingest, root / "trash"):
                make_directory(path)
        except OSError as error:
            raise errdefs.from_os_error(f"making the snapshots' directory {root}", error) from error

    def status(self) -> list[tuple[str, str]]:
        filesystem = _filesystem_of(self.root)
        lines = [("Backing Filesystem", filesystem)] if filesystem else []
        return lines + ([("Chosen Because", self.reason)] if self.reason else [])

    # --- layers -----------------------------------------------------------------------------------

    def apply(self, diff_id: Digest, tar: BinaryIO) -> Usage:
        with self._one_at_a_time(diff_id):
            if self._has(diff_id):
                return self.usage(diff_id)
            with self._making(f"layer {diff_id}") as ingest:
                usage = self._keep(ingest, diff_id, tar)
                self._show(ingest, diff_id)
            return usage

    def _show(self, ingest: Path, diff_id: Digest) -> None:
        fault("snapshots.apply.before-rename")
        ingest.rename(self._layers / diff_id.hex)
        fault("snapshots.apply.after-rename")
        _sync_directory(self._layers)

    @abstractmethod
    def _keep(self, ingest: Path, diff_id: Digest, tar: BinaryIO) -> Usage:
        """Make the layer in the empty directory `ingest`, verified and on the disk.

        Raises what `apply` raises; may raise OSError.
        """

    def receive(self, tar: Readable) -> AbstractContextManager[Received]:
        raise NotImplementedError(f"the driver {self.name} keeps no tars")

    def contains(self, diff_id: Digest) -> bool:
        # One that was renamed a moment ago may still be on its way to the disk.
        return diff_id not in self._applying and self._has(diff_id)

    def _has(self, diff_id: Digest) -> bool:
        return (self._layers / diff_id.hex).exists()

    def layers(self) -> list[Digest]:
        return [Digest.from_hex(name) for name in _names_in(self._layers)]

    @abstractmethod
    def usage(self, diff_id: Digest) -> Usage: ...

    @abstractmethod
    def open_tar(self, diff_id: Digest) -> BinaryIO: ...

    def remove_layer(self, diff_id: Digest) -> None:
        with self._lock:
            user = self._user_of(diff_id)
            if user is not None:
                raise errdefs.conflict(
                    f"layer {diff_id} is in use by the snapshot {user}; remove its container first"
                )
            fault("snapshots.remove-layer.before-rename")
            put_aside(self._trash, self._layers / diff_id.hex, f"layer {diff_id}")
            fault("snapshots.remove-layer.after-rename")

    # --- active snapshots -------------------------------------------------------------------------

    def prepare(self, key: str, stack: Sequence[Digest]) -> RootMount:
        if not _KEY.match(key):
            raise errdefs.invalid(
                f"snapshot key {key!r}: letters, digits, _, . and - only, at most 128"
            )
        layers = topmost_once(stack)
        with self._reserved(key, tuple(stack)), self._making(f"snapshot {key}") as ingest:
            self._fill(ingest, layers)
            # Last, and all on the disk before the rename: a snapshot that is seen knows its stack.
            write_new(ingest / "stack", "".join(f"{diff_id}\n" for diff_id in stack), durable=True)
            _sync_directory(ingest)
            fault("snapshots.prepare.before-rename")
            ingest.rename(self._active / key)
            fault("snapshots.prepare.after-rename")
            _sync_directory(self._active)
        return self._mount_of(key, layers)

    @abstractmethod
    def _fill(self, ingest: Path, layers: Sequence[Digest]) -> None:
        """Make what an active snapshot on `layers` (bottom first) begins with.

        May raise OSError.
        """

    @abstractmethod
    def _mount_of(self, key: str, layers: Sequence[Digest]) -> RootMount: ...

    def mounts(self, key: str) -> RootMount:
        return self._mount_of(key, topmost_once(self._stack(key)))

    def keys(self) -> list[str]:
        return _names_in(self._active)

    @abstractmethod
    def key_usage(self, key: str) -> Usage: ...

    @abstractmethod
    def diff(self, key: str) -> BinaryIO: ...

    def remove(self, key: str) -> None:
        if _KEY.match(key):
            fault("snapshots.remove.before-rename")
            put_aside(self._trash, self._active / key, f"snapshot {key}")
            fault("snapshots.remove.after-rename")

    # --- the directory ----------------------------------------------------------------------------

    def recover(self) -> None:
        for name in _names_in(self._ingest):
            put_aside(self._trash, self._ingest / name, f"the unfinished {name}")
        self._trash.empty_later()

    def wait_until_clean(self, timeout: float | None = None) -> bool:
        """Wait until what was removed is deleted; False after `timeout` seconds."""
        return self._trash.wait_until_empty(timeout)

    def _layer(self, diff_id: Digest) -> Path:
        path = self._layers / diff_id.hex
        if not path.exists():
            raise errdefs.not_found(f"no such layer: {diff_id} (load or pull an image that has it)")
        return path

    def _stack(self, key: str) -> list[Digest]:
        """The diffIDs that `key` stands on, bottom first, as `prepare` got them."""
        try:
            if not _KEY.match(key):
                raise FileNotFoundError
            return [Digest(line) for line in (self._active / key / "stack").read_text().split()]
        except FileNotFoundError:
            raise errdefs.not_found(f"no such snapshot: {key}") from None
        except OSError as error:
            raise errdefs.from_os_error(f"reading the snapshot {key}", error) from error

    def _user_of(self, diff_id: Digest) -> str | None:
        for key, stack in list(self._preparing.items()):
            if diff_id in stack:
                return key
        for key in self.keys():
            with contextlib.suppress(errdefs.EngineError):  # removed meanwhile
                if diff_id in self._stack(key):
                    return key
        return None

    @contextlib.contextmanager
    def _reserved(self, key: str, stack: tuple[Digest, ...]) -> Iterator[None]:
        """Hold the key and its layers, until the disk says that they are in use."""
        with self._lock:
            if key in self._preparing or (self._active / key).exists():
                raise errdefs.conflict(f"the snapshot {key} exists already; remove it first")
            for diff_id in stack:
                self._layer(diff_id)
            self._preparing[key] = stack
        try:
            yield
        finally:
            with self._lock:
                del self._preparing[key]

    @contextlib.contextmanager
    def _making(self, what: str) -> Iterator[Path]:
        """A new directory in ingest/, to be renamed away; whatever fails, nothing is left of it."""
        ingest = self._ingest / secrets.token_hex(8)
        try:
            ingest.mkdir(mode=0o700)
            yield ingest
        except OSError as error:
            raise errdefs.from_os_error(f"making {what}", error) from error
        finally:
            put_aside(self._trash, ingest, f"the unfinished {what}")

    @contextlib.contextmanager
    def _one_at_a_time(self, diff_id: Digest) -> Iterator[None]:
        """Others who bring the same layer wait, and find it there."""
        with self._applied:
            self._applied.wait_for(lambda: diff_id not in self._applying)
            self._applying.add(diff_id)
        try:
            yield
        finally:
            with self._applied:
                self._applying.remove(diff_id)
                self._applied.notify_all()


def topmost_once(stack: Sequence[Digest]) -> list[Digest]:
    """The stack without a layer's lower occurrences, which change nothing: all that it has and
    hides counts above. overlayfs takes no directory twice, and images do repeat empty layers."""
    return list(dict.fromkeys(reversed(stack)))[::-1]


def _names_in(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError as error:
        raise errdefs.from_os_error("reading the snapshots' directory", error) from error


def write_new(path: Path, text: str, durable: bool = False) -> None:
    """A new file; `durable` waits for the disk."""
    with path.open("x") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _filesystem_of(path: Path) -> str:
    """The type of the file system that `path` is on, or "" where /proc does not say."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            if before.split()[2] == number:
                return after.split()[0]
    return ""
