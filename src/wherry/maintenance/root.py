"""The stores of a data root, opened to be looked at; nothing is recovered, nothing mounted."""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wherry import errdefs
from wherry.content.disk import make_directory, sync_directory
from wherry.content.store import ContentStore
from wherry.errdefs import EngineError
from wherry.faults import fault
from wherry.layers.compression import open_layer
from wherry.metadata import Database
from wherry.snapshots import drivers
from wherry.snapshots.directory import DirectorySnapshotter
from wherry.spec.digest import Digest

DATABASE = "wherry.db"


@dataclass
class DataRoot:
    """`database` is None if it can't be used, and `unusable` says why; `snapshots` is None if
    there is no layer and no active snapshot of any driver."""

    path: Path
    content: ContentStore
    database: Database | None
    unusable: EngineError | None
    snapshots: DirectorySnapshotter | None

    @classmethod
    def open(cls, path: Path) -> "DataRoot":
        """Raises NotFound where no data root is, Unavailable if its database is in use."""
        if not (path / DATABASE).exists() and not (path / "content").is_dir():
            raise errdefs.not_found(f"{path} is no data root of Wherry's (--data-root names one)")
        content = ContentStore(path / "content")
        database, unusable = None, None
        try:
            database = Database.open(path / DATABASE, create=False)
        except EngineError as error:
            if error.kind not in (errdefs.Kind.DATA_LOSS, errdefs.Kind.CONFLICT):
                raise
            unusable = error
        root = cls(path, content, database, unusable, None)
        try:
            root.snapshots = root.open_driver(drivers.recorded_driver(path / "snapshots"))
        except BaseException:
            root.close()
            raise
        return root

    def open_driver(self, name: str | None) -> DirectorySnapshotter | None:
        return drivers.open_unprobed(self.path, name, self.open_blob) if name else None

    def open_blob(self, diff_id: Digest) -> BinaryIO:
        """A layer's uncompressed tar out of the content store. Raises NotFound."""
        row = self.database.read(lambda tx: tx.layer(diff_id)) if self.database else None
        return open_layer(self.content.open(row.blob if row and row.blob else diff_id))

    def close(self) -> None:
        if self.database is not None:
            self.database.close()

    # --- setting aside ----------------------------------------------------------------------------

    def set_aside(self, path: Path, name: str) -> Path | None:
        """Move something away from where it does harm; where to, or None if it is not there."""
        place = self._place(name)
        fault("maintenance.set-aside.before-rename")
        try:
            path.rename(place)
            fault("maintenance.set-aside.after-rename")
            sync_directory(path.parent)
            sync_directory(place.parent)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise errdefs.from_os_error(f"setting aside {path}", error) from error
        return place

    def copy_aside(self, path: Path) -> None:
        """Give a file, if it is there, a second name where nobody changes it. May raise OSError."""
        place = self._place(path.name)
        with contextlib.suppress(FileNotFoundError):
            os.link(path, place)
            sync_directory(place.parent)

    def keep_aside(self, data: bytes, name: str) -> Path:
        """Write down what is about to leave the database."""
        place = self._place(name)
        try:
            fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(fd)
            sync_directory(place.parent)
        except OSError as error:
            raise errdefs.from_os_error(f"writing {place}", error) from error
        return place

    def _place(self, name: str) -> Path:
        folder = self.path / "set-aside"
        try:
            make_directory(folder)
        except OSError as error:
            raise errdefs.from_os_error(f"making {folder}", error) from error
        return folder / f"{name}-{time.time_ns()}"
