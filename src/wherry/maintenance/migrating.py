"""From one storage driver to another: every layer, and what every container has written.

::

    1  layers        copied, one by one; the old driver has them all       a daemon may open it
    2  `move`        the marker, snapshots/move                            from here none does
    3  containers    between erofs and overlay: renamed, as they have the
                     same form; else the changes applied upon the stack
    4  wherry.db     where each layer's tar is now
    5  `driver`      the record, in one rename
    6  the old one   out of sight by a rename, deleted afterwards
    7  `move`        gone                                                  a daemon may open it

A process that is killed anywhere is followed by another, that does the same again: each step finds
what it would do done, or does it. What fails before anything of a container was moved takes the
marker away again.
"""

import os
from dataclasses import dataclass
from typing import Final

from wherry import errdefs
from wherry.content.disk import sparing, sync_directory
from wherry.errdefs import EngineError, Kind
from wherry.faults import fault
from wherry.layers.compression import open_layer
from wherry.maintenance.checking import Progress
from wherry.maintenance.root import DATABASE, DataRoot
from wherry.metadata import Database, LayerRecord, Transaction
from wherry.snapshots import drivers
from wherry.snapshots.directory import DirectorySnapshotter
from wherry.snapshots.drivers import Move
from wherry.spec import media
from wherry.spec.digest import Digest

_CHUNK: Final = 1 << 20
_KEPT_FREE: Final = 1 << 28
_FILE_COST: Final = 4096  # of an unpacked file, beside its bytes: the last block and the inode
_ENTRY_COST: Final = 2048  # of an entry of a tar, and of its inode in the layer file
_OVERLAID: Final = frozenset({"erofs", "overlay"})


@dataclass(frozen=True)
class _Plan:
    """What there is to move: the layers with what is known of them, and the containers."""

    layers: dict[Digest, LayerRecord]
    keys: list[str]


class Migration:
    """The move of a data root to the driver `target`."""

    def __init__(self, root: DataRoot, target: str) -> None:
        """Raises Conflict if another move is under way, DataLoss for an unusable database."""
        if root.database is None:
            raise root.unusable or errdefs.internal(f"{root.path / DATABASE} is not open")
        self._root = root
        self._database: Database = root.database
        self._content = root.content
        self._target_name = target
        self._move = drivers.move_under_way(root.path)
        if self._move is not None and self._move.target != target:
            raise errdefs.conflict(
                f"a move of {root.path} from {self._move.source} to {self._move.target} was "
                f"interrupted: finish it first, by `wherry system migrate-storage "
                f"{self._move.target}`"
            )
        self._done = 0
        self._total = 1

    def run(self, progress: Progress) -> str:
        """Do it; what was done, in a sentence. Raises EngineError; then run it again."""
        path = self._root.path
        if self._move is None:
            source = self._root.snapshots
            if source is None:
                return (
                    f"{path} has no layers and no containers: start wherryd with "
                    f"--storage-driver {self._target_name}"
                )
            if source.name == self._target_name:
                return f"the storage driver of {path} is {source.name} already"
            move = Move(source.name, self._target_name)
        else:
            move = self._move
        old, new = self._open(move.source), self._open(move.target)
        if self._move is None and (why := drivers.why_not(path, move.target)):
            raise errdefs.unavailable(
                f"the storage driver {move.target} does not work in {path}: {why}"
            )
        for store in (old, new):
            store.recover()
        self._content.recover()
        plan = self._plan(old, new)
        if self._move is None:
            self._check_room(old, new, plan)
            self._copy_layers(old, new, plan, progress)
            self._drop_stale(new)
            drivers.begin_move(path, move)
        self._move_containers(old, new)
        self._finish(old, new, plan)
        return f"moved {path} from {move.source} to {move.target}: {self._counted(plan)}"

    def _open(self, name: str) -> DirectorySnapshotter:
        return drivers.open_unprobed(self._root.path, name, self._root.open_blob)

    def _counted(self, plan: _Plan) -> str:
        return f"{len(plan.layers)} layers, {len(plan.keys)} containers"

    def _plan(self, old: DirectorySnapshotter, new: DirectorySnapshotter) -> _Plan:
        """Layers that an image or a container needs. What else there is, nobody will miss."""
        in_old = old.keys()
        keys = sorted({*in_old, *(new.keys() if self._move else ())})
        rows, held = self._database.read(
            lambda tx: ({row.diff_id: row for row in tx.layers()}, tx.held_layers())
        )
        for key in keys:
            at_home = old if key in in_old else new
            held |= set(at_home.stack(key))
        layers = {}
        for diff_id in sorted(held):
            row = rows.get(diff_id)
            if row is None:
                usage = (old if old.contains(diff_id) else new).usage(diff_id).bytes
                row = LayerRecord(diff_id, None, media.OCI_LAYER, 0, usage)
            layers[diff_id] = row
        return _Plan(layers, keys)

    # --- is there room? ---------------------------------------------------------------------------

    def _check_room(
        self, old: DirectorySnapshotter, new: DirectorySnapshotter, plan: _Plan
    ) -> None:
        """For old and new at once, as the old one stays to the end. Raises ResourceExhausted."""
        size = files = 0
        for diff_id, row in plan.layers.items():
            if new.contains(diff_id):
                continue
            usage = old.usage(diff_id)
            tar = usage.bytes + _ENTRY_COST * usage.inodes
            if new.keeps_tar:
                size, files = size + tar, files + 2
            else:
                size += usage.bytes + _FILE_COST * usage.inodes
                files += usage.inodes
                size += tar if row.blob is None else 0
        for key in plan.keys if not self._can_rename(old, new) else ():
            stack = [old.usage(diff_id) for diff_id in set(old.stack(key))]
            usages = [old.key_usage(key), *(stack if new.name == "native" else ())]
            size += sum(usage.bytes + _FILE_COST * usage.inodes for usage in usages)
            files += sum(usage.inodes for usage in usages)
        disk = os.statvfs(self._root.path)
        free = disk.f_bavail * disk.f_frsize - _KEPT_FREE
        self._total = max(1, size)
        if size > free:
            raise errdefs.exhausted(
                f"moving {self._root.path} to {new.name} takes about {size >> 20} MB until the old "
                f"layers can go, and {max(0, free) >> 20} MB may be used: remove images or "
                "containers that are not needed, or use a larger disk"
            )
        if disk.f_files and files > disk.f_favail:
            raise errdefs.exhausted(
                f"moving {self._root.path} to {new.name} takes {files} files, and the file system "
                f"can take only {disk.f_favail} more"
            )

    @staticmethod
    def _can_rename(old: DirectorySnapshotter, new: DirectorySnapshotter) -> bool:
        return {old.name, new.name} <= _OVERLAID

    # --- layers -----------------------------------------------------------------------------------

    def _copy_layers(
        self,
        old: DirectorySnapshotter,
        new: DirectorySnapshotter,
        plan: _Plan,
        progress: Progress,
    ) -> None:
        for diff_id in set(new.layers()) - set(plan.layers):
            new.remove_layer(diff_id)  # of an earlier attempt, and no longer needed
        for diff_id, row in plan.layers.items():
            try:
                self._copy_layer(old, new, diff_id, row)
            except EngineError as error:
                if error.kind not in (Kind.DATA_LOSS, Kind.NOT_FOUND, Kind.INVALID_ARGUMENT):
                    raise
                raise errdefs.data_loss(
                    f"layer {diff_id} can't be moved: {error.message} (`wherry system check "
                    f"--repair --data-root {self._root.path}` says more, and mends what it can)"
                ) from error
            usage = old.usage(diff_id)
            self._done += usage.bytes + _FILE_COST * usage.inodes
            progress(min(self._done, self._total), self._total)

    def _copy_layer(
        self,
        old: DirectorySnapshotter,
        new: DirectorySnapshotter,
        diff_id: Digest,
        row: LayerRecord,
    ) -> None:
        fault("maintenance.migrate.before-layer")
        if new.keeps_tar:
            if not new.contains(diff_id):
                with old.open_tar(diff_id) as tar:
                    new.apply(diff_id, sparing(tar, self._content.reserve()))
        else:
            # The blob will be all that there is of the tar: the layer is made of it.
            blob = row.blob or self._store_tar(old, diff_id)
            if not self._content.contains(blob):
                raise errdefs.not_found(f"the content store has no blob {blob}")
            if not new.contains(diff_id):
                with open_layer(self._content.open(blob)) as tar:
                    new.apply(diff_id, sparing(tar, self._content.reserve()))
        fault("maintenance.migrate.after-layer")

    def _store_tar(self, old: DirectorySnapshotter, diff_id: Digest) -> Digest:
        """The tar that the old driver keeps becomes a blob."""
        if not self._content.contains(diff_id):
            with old.open_tar(diff_id) as tar, self._content.ingest(f"layer {diff_id}") as ingest:
                while chunk := tar.read(_CHUNK):
                    ingest.write(chunk)
                ingest.commit(diff_id)
        return diff_id

    # --- containers -------------------------------------------------------------------------------

    @staticmethod
    def _drop_stale(new: DirectorySnapshotter) -> None:
        """Containers that an attempt has copied which then failed: they may have run since."""
        stale = new.keys()
        for key in stale:
            new.remove(key)
        try:
            # From now on, what is there counts as moved: nothing may come back with the power.
            sync_directory(new.active_path("any").parent)
        except OSError as error:
            raise errdefs.from_os_error(
                "removing what an earlier attempt has copied", error
            ) from error

    def _move_containers(self, old: DirectorySnapshotter, new: DirectorySnapshotter) -> None:
        waiting = sorted(set(old.keys()) - set(new.keys()))
        if self._can_rename(old, new):
            for key in waiting:
                self._rename(old, new, key)
            return
        try:
            for key in waiting:
                new.restore(key, old.stack(key), old.changes(key))
        except EngineError as error:
            if drivers.record_is_good(self._root.path, old.name):
                # The old driver has all as it was: nothing has happened.
                drivers.end_move(self._root.path)
            raise errdefs.EngineError(
                error.kind,
                f"the data root stays with {old.name}: the files of a container can't be moved: "
                f"{error.message}",
            ) from error

    @staticmethod
    def _rename(old: DirectorySnapshotter, new: DirectorySnapshotter, key: str) -> None:
        fault("maintenance.migrate.before-container")
        source, target = old.active_path(key), new.active_path(key)
        try:
            source.rename(target)
            fault("maintenance.migrate.after-container")
            sync_directory(target.parent)
            sync_directory(source.parent)
        except OSError as error:
            raise errdefs.from_os_error(f"moving the snapshot {key}", error) from error

    # --- the end ----------------------------------------------------------------------------------

    def _finish(self, old: DirectorySnapshotter, new: DirectorySnapshotter, plan: _Plan) -> None:
        path = self._root.path
        rows = [self._record_of(row, new.keeps_tar) for row in plan.layers.values()]
        dropped = {row.diff_id for row in rows if row.blob is None}
        self._database.write(lambda tx: _note(tx, rows, dropped))
        drivers.switch(path, new.name)
        fault("maintenance.migrate.before-old")
        new.discard(old.root)
        fault("maintenance.migrate.after-old")
        drivers.end_move(path)
        held = self._database.read(lambda tx: tx.held_blobs())
        for digest in sorted(dropped - held):
            self._content.delete(digest)
        new.wait_until_clean()

    @staticmethod
    def _record_of(row: LayerRecord, keeps_tar: bool) -> LayerRecord:
        """Where the tar is from now on."""
        if keeps_tar:
            blob = None if row.blob == row.diff_id else row.blob
        else:
            blob = row.blob or row.diff_id
        return LayerRecord(row.diff_id, blob, row.media_type, row.size, row.usage)


def _note(tx: Transaction, rows: list[LayerRecord], dropped: set[Digest]) -> None:
    for row in rows:
        tx.put_layer(row)
    tx.drop_blobs(dropped)
