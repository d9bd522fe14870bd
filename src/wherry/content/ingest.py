"""One blob in the making."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from wherry import errdefs
from wherry.content.disk import Reserve, sync_directory, trying
from wherry.faults import fault
from wherry.spec.digest import Digest

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_DATA: Final = "data"


class Ingest:
    """Bytes on their way into the store: written, then committed or aborted.

    As a context manager it aborts on the way out, unless it was committed. A failed commit has
    aborted it.
    """

    def __init__(self, ref: str, directory: Path, blobs: Path, reserve: Reserve) -> None:
        self.ref = ref
        self._reserve = reserve
        self.size = 0
        """Bytes written so far."""
        self._directory = directory
        self._blobs = blobs
        self._sha256 = hashlib.sha256()
        with trying(f"beginning the ingest of {ref}"):
            directory.mkdir(mode=0o700)
            self._fd = os.open(directory / _DATA, _NEW_FILE, 0o600)

    @property
    def digest(self) -> Digest:
        """Of the bytes written so far."""
        return Digest.from_hex(self._sha256.hexdigest())

    def write(self, data: bytes | memoryview, /) -> int:
        """Append all of `data`. Raises ResourceExhausted where the disk is nearly full."""
        self._check_open()
        self._reserve.spend(len(data))
        with trying(f"writing {self.ref}"):
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
        self._sha256.update(data)
        self.size += len(data)
        return len(data)

    def commit(self, expected: Digest | None = None, size: int | None = None) -> Digest:
        """Make the bytes a blob, and return its digest once it would survive a power cut.

        Raises InvalidArgument if there are not `size` bytes, or if their digest is not the one
        that was expected; nothing is left then. A blob that is there already is kept.
        """
        self._check_open()
        try:
            self._compare(expected, size)
            with trying(f"committing {self.ref}"):
                self._publish(self._blobs / self.digest.hex)
        finally:
            self.abort()
        return self.digest

    def _compare(self, expected: Digest | None, size: int | None) -> None:
        if size is not None and size != self.size:
            raise errdefs.invalid(
                f"{self.ref} is {self.size} bytes long, but {size} were promised: it is damaged or"
                " cut off"
            )
        if expected is not None and expected != self.digest:
            raise errdefs.invalid(
                f"{self.ref} has the digest {self.digest}, but {expected} was promised: it is"
                " damaged, or was changed"
            )

    def _publish(self, blob: Path) -> None:
        if not self._is_there(blob):
            fault("content.commit.before-sync")
            os.fsync(self._fd)
            fault("content.commit.before-rename")
            (self._directory / _DATA).rename(blob)
            fault("content.commit.after-rename")
        # Also for a blob that was there: who renamed it may not have come this far yet.
        sync_directory(self._blobs)
        fault("content.commit.after-sync")

    def _is_there(self, blob: Path) -> bool:
        """One of another length was damaged on the disk, and ours takes its place."""
        try:
            return blob.stat().st_size == self.size
        except FileNotFoundError:
            return False

    def abort(self) -> None:
        """Forget the bytes. Does nothing after a commit or another abort."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        with trying(f"removing the ingest of {self.ref}"):
            with suppress(FileNotFoundError):
                (self._directory / _DATA).unlink()
            self._directory.rmdir()

    def _check_open(self) -> None:
        if self._fd < 0:
            raise errdefs.internal(f"the ingest of {self.ref} has ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()
