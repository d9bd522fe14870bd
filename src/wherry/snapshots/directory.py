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
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Final

from wherry import errdefs
from wherry.content.disk import make_directory, sync_directory, sync_filesystem, sync_path
from wherry.faults import fault
from wherry.layers.compression import HashingReader
from wherry.layers.files import FileTree
from wherry.layers.tar import Readable
from wherry.linux.mounts import RootMount
from wherry.snapshots.browsing.layer import EmptyRoot, LayerFile
from wherry.snapshots.browsing.merged import MergedTree
from wherry.snapshots.extractor.feed import WhiteoutForm, extract
from wherry.snapshots.extractor.report import Report
from wherry.snapshots.loose import LooseKeys
from wherry.snapshots.protocol import Received, Seen, Usage
from wherry.snapshots.roots import RootAttributes, attributes_of
from wherry.snapshots.trash import Trash, put_aside
from wherry.spec.digest import Digest

_KEY: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}\Z")
_MAX_ENTRIES: Final = 4_000_000

OpenBlob = Callable[[Digest], BinaryIO]


@dataclass(frozen=True)
class Changes:
    """What a container has changed: a layer's tar with its digest, and its root directory, of which
    a layer does not say all."""

    digest: Digest
    open: Callable[[], BinaryIO]
    root: RootAttributes


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
        self._loose = LooseKeys()
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
        sync_directory(self._layers)

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

    @abstractmethod
    def verify(self, diff_id: Digest, seen: Seen) -> None: ...

    def intact_tar(self, diff_id: Digest, sizes: Sequence[int]) -> BinaryIO | None:
        """The tar of a damaged layer, if the driver keeps it and it is whole.

        `sizes` are those that it may have, in bytes, if the layer itself does not say.
        """
        return None

    def replace(self, diff_id: Digest, tar: BinaryIO) -> Usage:
        """Put a layer that is made anew in the place of a damaged one, or of none.

        Raises what `apply` raises; then all is as before.
        """
        with self._one_at_a_time(diff_id), self._making(f"layer {diff_id}") as ingest:
            usage = self._keep(ingest, diff_id, tar)
            fault("snapshots.replace.before-rename")
            self._exchange(ingest, diff_id)
            fault("snapshots.replace.after-rename")
            sync_directory(self._layers)
            return usage

    def _exchange(self, ingest: Path, diff_id: Digest) -> None:
        """May raise OSError."""
        put_aside(self._trash, self._layers / diff_id.hex, f"layer {diff_id}")
        fault("snapshots.replace.between-renames")
        ingest.rename(self._layers / diff_id.hex)

    def layer_path(self, diff_id: Digest) -> Path:
        """Where the layer's files are, for who sets them aside."""
        return self._layers / diff_id.hex

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

    def view(self, stack: Sequence[Digest]) -> RootMount | None:
        return None

    def browse(self, stack: Sequence[Digest]) -> FileTree:
        layers = topmost_once(stack)
        for diff_id in layers:
            self._layer(diff_id)
        return MergedTree(self._roots(layers) if layers else [EmptyRoot()])

    def _roots(self, layers: Sequence[Digest]) -> Iterator[LayerFile]:
        """The root of each, TOP first, opened when it is asked for."""
        for number, diff_id in enumerate(reversed(layers), 1):
            try:
                yield self._root_of(diff_id, number)
            except OSError as error:
                raise errdefs.from_os_error(f"reading layer {diff_id}", error) from error

    @abstractmethod
    def _root_of(self, diff_id: Digest, number: int) -> LayerFile:
        """The layer's root directory, to be browsed; `number` is its own in the stack, not 0.

        May raise OSError.
        """

    # --- active snapshots -------------------------------------------------------------------------

    def prepare(self, key: str, stack: Sequence[Digest]) -> RootMount:
        if not _KEY.match(key):
            raise errdefs.invalid(
                f"snapshot key {key!r}: letters, digits, _, . and - only, at most 128"
            )
        layers = topmost_once(stack)
        with self._reserved(key, tuple(stack)), self._making(f"snapshot {key}") as ingest:
            self._fill(ingest, layers)
            # Last: a snapshot that is seen knows its stack.
            write_new(ingest / "stack", _lines(stack))
            fault("snapshots.prepare.before-rename")
            self._loose.add(key)
            ingest.rename(self._active / key)
            fault("snapshots.prepare.after-rename")
        return self._mount_of(key, layers)

    def secure(self, key: str) -> None:
        self._loose.secure(key, self._sync)

    def _sync(self, key: str) -> None:
        home = self._active / key
        try:
            for path in (home / "stack", self._top(key), home, self._active):
                sync_path(path)
        except FileNotFoundError:
            raise errdefs.not_found(f"no such snapshot: {key}") from None
        except OSError as error:
            raise errdefs.from_os_error(f"making snapshot {key}", error) from error

    def renew(self, key: str, stack: Sequence[Digest]) -> None:
        if not self._is_whole(key, stack):
            if self._may_hold_data(key):
                raise _damaged_stack(key)
            put_aside(self._trash, self._active / key, f"what is left of snapshot {key}")
            self.prepare(key, stack)
        self._loose.add(key)

    def _is_whole(self, key: str, stack: Sequence[Digest]) -> bool:
        """Whether all is there that `prepare` has made. What came later was made upon the whole."""
        try:
            found = (self._active / key / "stack").read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise errdefs.from_os_error(f"reading the snapshot {key}", error) from error
        return found == _lines(stack).encode() and self._is_filled(key)

    @abstractmethod
    def _is_filled(self, key: str) -> bool:
        """Whether the directories are there that `_fill` makes."""

    @abstractmethod
    def _may_hold_data(self, key: str) -> bool:
        """Whether there may be more in it than `_fill` has made. May raise OSError."""

    @abstractmethod
    def _fill(self, ingest: Path, layers: Sequence[Digest]) -> None:
        """Make what an active snapshot on `layers` (bottom first) begins with.

        May raise OSError.
        """

    @abstractmethod
    def _mount_of(self, key: str, layers: Sequence[Digest]) -> RootMount: ...

    def restore(self, key: str, stack: Sequence[Digest], changes: Changes) -> None:
        """`prepare` with changes that another driver's `changes` has told. Durable."""
        layers = topmost_once(stack)
        with self._reserved(key, tuple(stack)), self._making(f"snapshot {key}") as ingest:
            self._fill_with(ingest, layers, changes)
            write_new(ingest / "stack", _lines(stack))
            sync_filesystem(ingest)
            fault("snapshots.restore.before-rename")
            ingest.rename(self._active / key)
            fault("snapshots.restore.after-rename")
            sync_directory(self._active)

    @abstractmethod
    def _fill_with(self, ingest: Path, layers: Sequence[Digest], changes: Changes) -> None:
        """As `_fill`, with the changes."""

    @abstractmethod
    def _top(self, key: str) -> Path:
        """The directory of an active snapshot that is its root's."""

    def _extract(self, changes: Changes, target: Path, whiteouts: WhiteoutForm) -> Report:
        with changes.open() as tar:
            return extract(
                tar, changes.digest, target, whiteouts=whiteouts, max_entries=self._max_entries
            )

    def changes(self, key: str) -> Changes:
        """What `restore` of another driver needs; the snapshot must be still. Raises NotFound."""
        try:
            # The data root may have been copied, or come from a backup: all times are new then.
            self._distrust_times(self._active / key)
        except FileNotFoundError:
            raise errdefs.not_found(f"no such snapshot: {key}") from None
        except OSError as error:
            raise errdefs.from_os_error(f"reading the snapshot {key}", error) from error
        with self.diff(key) as tar:
            reader = HashingReader(tar)
            reader.drain()
        try:
            root = attributes_of(self._top(key))
        except OSError as error:
            raise errdefs.from_os_error(f"reading the snapshot {key}", error) from error
        return Changes(reader.digest, lambda: self.diff(key), root)

    def active_path(self, key: str) -> Path:
        """Where the snapshot's files are."""
        return self._active / key

    def stack(self, key: str) -> list[Digest]:
        """What `key` stands on, bottom first. Raises NotFound, or DataLoss if that is damaged."""
        return self._stack(key)

    def restack(self, key: str, stack: Sequence[Digest]) -> None:
        """Write anew what `key` stands on, which was damaged. Durable."""
        home = self._active / key
        try:
            self._distrust_times(home)
            new = home / "stack.new"
            new.unlink(missing_ok=True)
            write_new(new, _lines(stack), durable=True)
            fault("snapshots.restack.before-rename")
            new.rename(home / "stack")
            fault("snapshots.restack.after-rename")
            sync_directory(home)
        except OSError as error:
            raise errdefs.from_os_error(f"mending the snapshot {key}", error) from error

    def _distrust_times(self, home: Path) -> None:  # noqa: B027 - most drivers never trust them
        """The time of the file `stack` says no more when the snapshot was made."""

    def mounts(self, key: str) -> RootMount:
        return self._mount_of(key, topmost_once(self._stack(key)))

    @abstractmethod
    def browse_active(self, key: str) -> FileTree: ...

    def keys(self) -> list[str]:
        return _names_in(self._active)

    @abstractmethod
    def key_usage(self, key: str) -> Usage: ...

    @abstractmethod
    def diff(self, key: str) -> BinaryIO: ...

    def remove(self, key: str) -> None:
        if _KEY.match(key):
            self._loose.discard(key)
            fault("snapshots.remove.before-rename")
            put_aside(self._trash, self._active / key, f"snapshot {key}")
            fault("snapshots.remove.after-rename")

    # --- the directory ----------------------------------------------------------------------------

    def recover(self) -> None:
        for name in _names_in(self._ingest):
            put_aside(self._trash, self._ingest / name, f"the unfinished {name}")
        self._trash.empty_later()

    def discard(self, tree: Path) -> None:
        """Have a tree deleted that is no part of this driver, and lies on its file system."""
        put_aside(self._trash, tree, str(tree))

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
            lines = (self._active / key / "stack").read_text(encoding="ascii").split()
            return [Digest.parse(line) for line in lines]
        except (UnicodeDecodeError, errdefs.EngineError) as error:
            raise _damaged_stack(key) from error
        except FileNotFoundError:
            raise errdefs.not_found(f"no such snapshot: {key}") from None
        except OSError as error:
            raise errdefs.from_os_error(f"reading the snapshot {key}", error) from error

    def _user_of(self, diff_id: Digest) -> str | None:
        for key, stack in list(self._preparing.items()):
            if diff_id in stack:
                return key
        for key in self.keys():
            try:
                if diff_id in self._stack(key):
                    return key
            except errdefs.EngineError as error:
                if error.kind is errdefs.Kind.DATA_LOSS:
                    return key  # it may be; its stack is to be mended first
                # else removed meanwhile
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


def _damaged_stack(key: str) -> errdefs.EngineError:
    return errdefs.data_loss(
        f"snapshot {key}: its file stack is damaged (`wherry system check --repair` writes it anew)"
    )


def _lines(stack: Sequence[Digest]) -> str:
    """The content of a file `stack`."""
    return "".join(f"{diff_id}\n" for diff_id in stack)


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
