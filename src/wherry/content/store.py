"""The content store: bytes that are known by their digest, and that never change.

    content/
      blobs/sha256/<hex>     a blob: complete, verified, on the disk
      ingest/<id>/data       a blob in the making; nobody finds it there

A blob comes into being by an ingest. Its bytes are hashed while they are written; a commit compares
size and digest with what was promised, brings the file to the disk, and only then gives it its
name. Whoever sees the name sees the whole blob, also after a power cut.

    with store.ingest("layer of example.org/app") as ingest:
        for chunk in chunks:
            ingest.write(chunk)
        digest = ingest.commit(expected=descriptor.digest, size=descriptor.size)

Methods block on the disk. Any thread may call them, but an ingest belongs to one at a time. Files
are for root alone.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final

from wherry import errdefs
from wherry.content.disk import Reserve, make_directory, trying
from wherry.content.ingest import Ingest
from wherry.faults import fault
from wherry.spec.digest import Digest

_HEX: Final = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class BlobInfo:
    digest: Digest
    size: int
    """In bytes."""


class ContentStore:
    """The blobs below `root`, which is made if it is not there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._blobs = root / "blobs" / "sha256"
        self._ingests = root / "ingest"
        with trying(f"making the content store {root}"):
            make_directory(self._blobs)
            make_directory(self._ingests)

    def ingest(self, ref: str) -> Ingest:
        """Begin a blob. `ref` tells people what it will be; error messages begin with it."""
        return Ingest(ref, self._ingests / os.urandom(8).hex(), self._blobs, self.reserve())

    def reserve(self) -> Reserve:
        """For something else that grows on the store's disk: a layer that is unpacked."""
        return Reserve(self._root)

    def open(self, digest: Digest) -> BufferedReader:
        """The blob's bytes. They stay readable if it is deleted meanwhile. Raises NotFound."""
        with self._finding(digest):
            return self._path(digest).open("rb")

    def info(self, digest: Digest) -> BlobInfo:
        """Raises NotFound."""
        with self._finding(digest):
            return BlobInfo(digest, self._path(digest).stat().st_size)

    def contains(self, digest: Digest) -> bool:
        return self._path(digest).is_file()

    def digests(self) -> list[Digest]:
        """All blobs, in no order."""
        with trying("listing the content store"):
            return [Digest.from_hex(name) for name in os.listdir(self._blobs) if _HEX.match(name)]

    def delete(self, digest: Digest) -> None:
        """Idempotent: returning means that the blob is not there.

        A power cut soon after may bring it back, whole; the collector meets it again then.
        """
        fault("content.delete.before-unlink")
        with trying(f"deleting the blob {digest}"), suppress(FileNotFoundError):
            self._path(digest).unlink()
        fault("content.delete.after-unlink")

    def verify(self, digest: Digest) -> None:
        """Read the blob and compare. Raises DataLoss if its bytes have changed, or NotFound."""
        with self.open(digest) as blob, trying(f"reading the blob {digest}"):
            found = hashlib.file_digest(blob, "sha256").hexdigest()
        if found != digest.hex:
            raise errdefs.data_loss(
                f"the blob {digest} is damaged: its bytes now have the digest sha256:{found}"
                " (remove its image, and load or pull it again)"
            )

    def recover(self) -> None:
        """Remove what ingests left behind that a crash ended. Only while none is under way."""
        fault("content.recover.before-remove")
        with trying("removing what is left of ingests"):
            for leftover in self._ingests.iterdir():
                if leftover.is_dir() and not leftover.is_symlink():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink()
        fault("content.recover.after-remove")

    def _path(self, digest: Digest) -> Path:
        return self._blobs / digest.hex

    @contextmanager
    def _finding(self, digest: Digest) -> Iterator[None]:
        with trying(f"opening the blob {digest}"):
            try:
                yield
            except FileNotFoundError:
                raise errdefs.not_found(f"the content store has no blob {digest}") from None
